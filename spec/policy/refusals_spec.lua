-- SPDX-License-Identifier: Apache-2.0
-- What clients get whom a default policy refuses: all these policies have the option `answer`, and mean the same by it.
local json = require "perilune.json"
local test = require "perilune.test"

-- { module, options without `answer`, status, a pattern of the sentence, a field that stays whatever the answer is }
local POLICIES = {
  { "basic_auth", { users = { ada = "plain:x" } }, 401, "a user name and a password are needed", "WWW-Authenticate" },
  { "api_keys", { keys = { shop = "k" } }, 401, "a key is needed in the field X%-API%-Key", "WWW-Authenticate" },
  { "api_keys", { find = function() return nil, "away" end, header = "X-Is" }, 503, "keys cannot be checked",
    "Retry-After" },
  { "token_auth", { secret = "s" }, 401, "a token is needed", "WWW-Authenticate" },
  { "client_certificate", { subjects = { "*" } }, 403, "a client certificate is needed" },
  { "access_control", { deny = { "0.0.0.0/0", "::/0" } }, 403, "this address may not come in" },
  { "access_control", { allow = { "10.1.0.0/24" }, status = 404 }, 404, "this address may not come in" },
  { "forward_auth", { url = "http://127.0.0.1:1/", timeout = 1 }, 503, "requests cannot be checked", "Retry-After" },
  { "rate_limit", { by = "host", max = 0, name = "none" }, 429, "the limit of requests is used up",
    "X-Rate-Limit-Limit" },
  { "rate_limit.concurrency", { by = "host", max = 0, name = "few", fields = "draft" }, 429,
    "too many requests at the same time", "Retry-After" },
  { "oidc", { issuer = "https://id.example", client_id = "a", redirect_uri = "https://a.example/back",
    secret = ("s"):rep(32) }, 401, "sign in first", "Cache-Control" },
  { "files", { root = "docs" }, 404, "there is no such file" },
}

-- The check that the module makes, with this `answer`.
local function made(case, answer)
  local module, name = case[1]:match "^([%w_]+)%.(%w+)$"
  local make = require("perilune." .. (module or case[1]))[name or "new"]
  local options = { answer = answer }
  for key, value in pairs(case[2]) do options[key] = value end
  return make(options)
end

-- The answer to a request for which there is nothing to let it in.
local function refused(case, answer)
  local check = made(case, answer)
  local policy = test.policy {
    request_filter = function(session, ctx) if check(session, ctx) then return true end end,
    upstream_peer = function() return "127.0.0.1:8000" end,
  }
  return policy:request { method = "POST", path = "/nothing/here", headers = { Host = "a", ["X-Is"] = "k" } }
end

describe("a client who is refused by", function()
  for position, case in ipairs(POLICIES) do
    local call, status, why, field = case[1], case[3], case[4], case[5]
    if call == "files" then status, why, field = 405, "files are read with GET or HEAD", "Allow" end

    describe(("%s (%d, no. %d)"):format(call, status, position), function()
      it("is told why, in a line of text", function()
        local answer = refused(case)
        assert.status(status, answer)
        assert.matches(("^%d [%%a ]+: %s[%%w ]*\n$"):format(status, why), answer.body)
        assert.field("Content-Type", "text/plain; charset=utf-8", answer)
        if field then assert.truthy(answer.headers[field]) end
      end)

      it("or as JSON (RFC 9457), where the policy says so", function()
        local answer = refused(case, "json")
        assert.status(status, answer)
        assert.field("Content-Type", "application/problem+json", answer)
        local said = json.decode(answer.body)
        assert.equal(status, said.status)
        assert.matches(why, said.detail)
        assert.matches("%a", said.title)
        if field then assert.truthy(answer.headers[field]) end
      end)

      it("or not at all", function()
        local answer = refused(case, "none")
        assert.status(status, answer)
        assert.equal("", answer.body)
        assert.is_nil(answer.headers["Content-Type"])
        if field then assert.truthy(answer.headers[field]) end
      end)

      it("or by a table, whose fields have priority", function()
        local headers = { ["content-type"] = "application/json", ["X-Why"] = "no" }
        local answer = refused(case, { body = "{}", headers = headers })
        assert.status(status, answer)
        assert.equal("{}", answer.body)
        assert.field("Content-Type", "application/json", answer)
        assert.field("X-Why", "no", answer)
        if field then assert.truthy(answer.headers[field]) end
      end)

      it("or by a function, which is told the status and the sentence", function()
        local asked
        local answer = refused(case, function(session, given_status, given_why)
          asked = { session:method(), given_status, given_why }
          return "come back\n"
        end)
        assert.same({ "POST", status }, { asked[1], asked[2] })
        assert.matches(why, asked[3])
        assert.status(status, answer)
        assert.equal("come back\n", answer.body)
        if field then assert.truthy(answer.headers[field]) end
      end)
    end)
  end
end)

describe("the option `answer`", function()
  local case = { "access_control", { deny = { "0.0.0.0/0", "::/0" } } }

  it("may send clients elsewhere", function()
    local answer = refused(case, { status = 302, headers = { Location = "/sorry" } })
    assert.status(302, answer)
    assert.field("Location", "/sorry", answer)
  end)

  it("may be a function that answers by itself", function()
    local answer = refused(case, function(session) return session:respond { status = 418, body = "tea" } end)
    assert.status(418, answer)
    assert.equal("tea", answer.body)
  end)

  it("sends no text where the status has none", function()
    assert.status(204, refused { "access_control", { deny = { "0.0.0.0/0", "::/0" }, status = 204 } })
  end)

  it("is refused where it is none, with what would be right", function()
    for _, wrong in ipairs {
      { "xml", "option 'answer' must be \"text\", \"json\", \"none\", a table { body = \"...\".* got 'xml'" },
      { 5, "option 'answer' must be .* got 5" },
      { { text = "x" }, "option 'answer': a table has body, headers and status, not 'text'" },
      { { body = 5 }, "option 'answer': 'body' is a number value, not a string" },
      { { status = 700 }, "option 'answer': 'status' is a whole number from 200 to 599, not 700" },
    } do
      local ok, why = pcall(made, case, wrong[1])
      assert.is_false(ok)
      assert.matches("access_control.new: " .. wrong[2], why)
    end
    assert.error_matches(function()
      require("perilune.maintenance").new { page = "x", answer = "json" }
    end, "maintenance.new: give 'page' or 'answer', not both")
  end)

  it("is an error of the hook if the function returns no answer", function()
    local answer = refused(case, function() return nil end)
    assert.status(500, answer)
  end)
end)

describe("a second answer of the same hook", function()
  local function answered(hook) return test.policy { request_filter = hook }:request() end

  it("counts, and nothing of the first one is left", function()
    local guard = made({ "access_control", { deny = { "0.0.0.0/0", "::/0" } } })
    local answer = answered(function(session)
      if guard(session) then return session:respond { status = 429, headers = { ["X-Own"] = "1" }, body = "later" } end
    end)
    assert.status(429, answer)
    assert.equal("later", answer.body)
    assert.is_nil(answer.headers["Content-Type"])
    assert.field("X-Own", "1", answer)
  end)

  it("counts also where the first one was not returned", function()
    local answer = answered(function(session)
      session:respond { status = 403, body = "no", headers = { ["X-First"] = "1" }, close = true }
      return session:respond { status = 200, body = "yes" }
    end)
    assert.status(200, answer)
    assert.equal("yes", answer.body)
    assert.is_nil(answer.headers["X-First"])
  end)
end)

describe("maintenance", function()
  local function closed(options)
    local switch = require("perilune.maintenance").new(options)
    switch:turn(true)
    return test.policy { request_filter = function(session) return switch(session) end }:request()
  end

  it("has a page, or what `answer` says", function()
    local page = closed { name = "page", retry_after = 60 }
    assert.status(503, page)
    assert.field("Content-Type", "text/html; charset=utf-8", page)
    assert.field("Retry-After", "60", page)
    assert.matches("Back soon", page.body)
    local text = closed { name = "json", answer = "json", retry_after = 60 }
    assert.status(503, text)
    assert.equal("the site is closed for maintenance", json.decode(text.body).detail)
    assert.field("Retry-After", "60", text)
    assert.field("Cache-Control", "no-store", text)
  end)
end)
