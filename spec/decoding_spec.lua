-- SPDX-License-Identifier: Apache-2.0
-- Body hooks that get text, whatever the other side sent: `decode = true`, response:set_decoded, body_replace.
local client = require "client"
local coded = require "coded"
local perilune = require "perilune"
local process = require "process"
local scene = require "scene"

after_each(require("cleanup").run)

local ALL = { "zstd", "br", "gzip", "deflate" }
local TEXT = coded.json(200000)
local UPPER = "policy.decode = true\nfunction policy.response_body_filter(_, chunk) return chunk:upper() end"

-- An origin that answers `body`, said to be of the coding; and what asks the proxy before it.
local function asker(body, coding, options, more)
  options = options or { hooks = UPPER }
  local proxy, origin, ask = scene.proxied(function(connection)
    while connection:read_request() do
      local headers = { ["Content-Type"] = "text/html", ETag = '"a"', ["Content-Encoding"] = coding }
      local answer = { headers = headers, body = body }
      for name, value in pairs(more or {}) do answer[name] = value end
      connection:respond(answer)
    end
  end, options)
  return ask, origin, proxy
end

local function accept(coding) return { ["Accept-Encoding"] = coding } end

describe("decode = true", function()
  for _, coding in ipairs(ALL) do
    it("shows a response hook text that came as " .. coding .. ", and gives the client what it accepts", function()
      local ask, origin = asker(coded.encode(coding, TEXT), coding)
      for _, accepted in ipairs { "gzip", "br", "zstd", "identity", "deflate" } do
        local response = ask { headers = accept(accepted), version = accepted == "br" and "1.1" or nil, timeout = 60 }
        local expected = (accepted == "identity" or accepted == "deflate") and "-" or accepted
        assert.equal(expected, response.headers["content-encoding"] or "-")
        assert.is_true(TEXT:upper() == coded.text(response), accepted)
        assert.equal('W/"a"', response.headers.etag)
        assert.equal("Accept-Encoding", response.headers.vary)
      end
      assert.equal("zstd, br, gzip", origin.requests[1].headers["accept-encoding"])
      assert.is_true(TEXT:upper() == ask({ version = "1.0" }).body)
    end)
  end

  it("gives the same to HTTP/2", function()
    local ask = asker(coded.encode("gzip", TEXT), "gzip", { hooks = UPPER, listen = "h2c = true" })
    local response = ask { headers = accept "br", version = "2", timeout = 60 }
    assert.is_true(TEXT:upper() == coded.decode("br", response.body))
    assert.equal("br", ask({ headers = accept "br", version = "2", method = "HEAD" }).headers["content-encoding"])
  end)

  it("undoes two codings, several members of gzip, and an empty body", function()
    local twice = coded.encode("br", coded.encode("gzip", TEXT))
    assert.is_true(TEXT:upper() == asker(twice, "gzip, br") { }.body)
    local members = coded.encode("gzip", "one ") .. coded.encode("gzip", "two")
    assert.equal("ONE TWO", asker(members, "gzip") { }.body)
    assert.equal("", asker("", "gzip") { }.body)
    assert.equal("PLAIN", asker("plain", nil) { }.body)
  end)

  it("leaves alone what it cannot undo: unknown codings, more than two, parts", function()
    for _, case in ipairs { { "rot13" }, { "gzip, gzip, gzip" }, { "gzip", { status = 206 } }, { "gzip, rot13" } } do
      local response = asker("bytes", case[1], nil, case[2]) { headers = accept "gzip" }
      assert.equal(case[1], response.headers["content-encoding"])
      assert.equal("BYTES", response.body)
    end
    local ask, origin = asker("x", nil)
    ask { headers = { Range = "bytes=0-1" } }
    assert.equal("identity", origin.requests[1].headers["accept-encoding"])
  end)

  it("decodes nothing where no hook looks at bodies", function()
    local bytes = coded.encode("gzip", TEXT)
    local ask, origin = asker(bytes, "gzip", { hooks = "policy.decode = true" })
    local response = ask { headers = accept "br, gzip" }
    assert.is_true(bytes == response.body)
    assert.equal("br, gzip", origin.requests[1].headers["accept-encoding"])
  end)

  it("ends a response that is not what its coding says, before anything of it was sent and in the midst", function()
    for _, coding in ipairs(ALL) do
      local ask, _, proxy = asker("this is none of it, for sure: " .. TEXT:sub(1, 3000), coding)
      assert.equal(502, ask({}).status, coding)
      proxy:wait_log "is not what its coding says"
      local bytes = coded.encode(coding, TEXT)
      local cut = bytes:sub(1, #bytes - 100)
      local response = asker(cut, coding) { headers = accept "gzip" }
      assert.is_true(not response or response.status == 502 or response.failure ~= nil, coding)
      response = asker(bytes .. "more", coding) {}
      assert.is_true(not response or response.status == 502 or response.failure ~= nil, coding .. " with a tail")
    end
  end)

  it("ends what grows out of all proportion, with a clear line", function()
    for _, coding in ipairs(ALL) do
      local ask, _, proxy = asker(coded.encode(coding, ("\0"):rep(30000000)), coding,
        { hooks = [[
          policy.decode = true
          function policy.response_body_filter(_, _, is_last) return is_last and "x" or nil end]] })
      assert.equal(502, ask({ timeout = 60 }).status, coding)
      proxy:wait_log "out of all proportion: the decoded body is larger than allowed"
      assert.is_true(proxy:rss() < 400 * 1048576)
    end
  end)

  it("shows request hooks text, which the peer gets without its coding", function()
    local proxy, origin = scene.proxied("ok", { hooks = [[
      policy.decode = true
      function policy.request_body_filter(_, chunk) return chunk:upper() end]] })
    for _, coding in ipairs(ALL) do
      for _, chunked in ipairs { false, true } do
        local response = client.request { port = proxy.port, method = "POST", body = coded.encode(coding, TEXT),
          chunked = chunked, headers = { ["Content-Encoding"] = coding } }
        assert.equal(200, response.status)
        local seen = origin.requests[#origin.requests]
        assert.is_true(TEXT:upper() == seen.body, coding)
        assert.is_nil(seen.headers["content-encoding"])
      end
    end
    local response = client.request { port = proxy.port, method = "POST", body = "x",
      headers = { ["Content-Encoding"] = "rot13" } }
    assert.equal(200, response.status)
    assert.equal("rot13", origin.requests[#origin.requests].headers["content-encoding"])
  end)

  it("gives read_body text, whose limit counts the text", function()
    local proxy, origin = scene.proxied("ok", { hooks = [[
      policy.decode = true
      function policy.request_filter(session)
        local limit = tonumber(session:query_arg "limit")
        local text = session:read_body(limit)
        if session:query_arg "set" then session:set_body(#text .. text:sub(1, 3)) end
      end]] })
    local function post(target, coding, body)
      return client.request { port = proxy.port, method = "POST", target = target,
        body = body or coded.encode(coding, TEXT), headers = { ["Content-Encoding"] = coding } }.status
    end
    for _, coding in ipairs(ALL) do
      assert.equal(200, post("/?limit=200000", coding))
      local seen = origin.requests[#origin.requests]
      assert.is_true(TEXT == seen.body)
      assert.is_nil(seen.headers["content-encoding"])
      assert.equal(200, post("/?limit=200000&set=1", coding))
      assert.equal("200000" .. TEXT:sub(1, 3), origin.requests[#origin.requests].body)
      assert.equal(413, post("/?limit=199999", coding))
      assert.equal(400, post("/?limit=200000", coding, "none of it, for sure, in any of them"))
      assert.equal(400, post("/?limit=200000", coding, coded.encode(coding, TEXT):sub(1, -50)))
    end
  end)

  it("stops a request that becomes more than body_limit", function()
    local proxy = scene.proxied("ok", { listen = "body_limit = 100000", hooks = [[
      policy.decode = true
      function policy.request_body_filter(_, chunk) return chunk end]] })
    local response = client.request { port = proxy.port, method = "POST", body = coded.encode("gzip", TEXT),
      headers = { ["Content-Encoding"] = "gzip" } }
    assert.equal(413, response.status)
  end)

  it("must be true or false", function()
    local path = process.write_file(process.directory() .. "/p.lua",
      'require("perilune").listen("127.0.0.1:0", { decode = "gzip", upstream_peer = function() return ":1" end })')
    local run = perilune.run { args = { "check", path } }
    assert.matches("p.lua:1: perilune.listen: 'decode', among the hooks, must be true or false", run.stderr, 1, true)
  end)
end)

describe("response:set_decoded", function()
  it("decodes one response, and says whether the hooks get text", function()
    local hooks = [[
      function policy.response_filter(session, response, ctx)
        if session:path() == "/text" then response:set_header("X-Text", tostring(response:set_decoded())) end
      end
      function policy.response_body_filter(_, chunk) return chunk end]]
    local ask = asker(coded.encode("br", TEXT), "br", { hooks = hooks })
    local response = ask { target = "/text" }
    assert.is_true(TEXT == response.body)
    assert.equal("true", response.headers["x-text"])
    assert.equal("br", ask({ target = "/as-it-is" }).headers["content-encoding"])
    assert.equal("false", asker("x", "rot13", { hooks = hooks }) { target = "/text" }.headers["x-text"])
    assert.equal("true", asker("x", nil, { hooks = hooks }) { target = "/text" }.headers["x-text"])
  end)
end)

describe("body_replace", function()
  it("replaces in what the peer has compressed, and the client gets it compressed", function()
    local page = ("<a href=http://inside.example/>"):rep(3000)
    for _, coding in ipairs(ALL) do
      local ask = asker(coded.encode(coding, page), coding, { hooks = [[
        local texts = { ["http://inside.example"] = "https://www.example" }
        require("perilune.body_replace").new({ texts = texts }).install(policy)]] })
      local response = ask { headers = accept "gzip" }
      assert.equal(("<a href=https://www.example/>"):rep(3000), coded.decode("gzip", response.body))
      assert.equal(("<a href=https://www.example/>"):rep(3000), ask({}).body)
    end
  end)
end)

describe("examples/compression.lua", function()
  it("compresses, leaves the account's pages, and changes the footer of what came compressed", function()
    local _, origin = asker(coded.encode("br", ("<p>a page</p>"):rep(300)), "br")
    local proxy = perilune.start { args = { "run", "--workers", "1", "examples/compression.lua" },
      env = { ORIGIN = origin.address, LISTEN = "127.0.0.1:0" } }
    local page = ("<p>a page</p>"):rep(300) .. "<!-- by way of perilune -->\n"
    local response = client.request { port = proxy.port, headers = accept "gzip" }
    assert.equal(page, coded.decode("gzip", response.body))
    response = client.request { port = proxy.port, headers = accept "gzip", target = "/account" }
    assert.equal(page, response.body)
    assert.is_nil(response.headers["content-encoding"])
  end)
end)
