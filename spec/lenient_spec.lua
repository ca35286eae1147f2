-- SPDX-License-Identifier: Apache-2.0
-- What of a peer's responses is taken although RFC 9112 does not allow it: each deviation by its name, on and off. What
-- two parties could read in two ways is refused unless the policy asks for it; the rest is taken unless it says no.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local wire = require "wire"

local OK = "HTTP/1.1 200 OK\r\n"
local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"
local LENGTH = "Content-Length: 5\r\n\r\nhello"

-- The client's field Lenient says what the peer is allowed: "bare_lf=true obs_fold=false".
local POLICY = [[
local perilune = require "perilune"
perilune.listen("127.0.0.1:0", { upstream_peer = function(session)
  local lenient
  for name, value in (session:get_header "Lenient" or ""):gmatch "([%w_]+)=(%a+)" do
    lenient = lenient or {}
    lenient[name] = value == "true"
  end
  return { address = "$ADDRESS", lenient = lenient }
end })
]]

-- Without a lenient option, with it on, with it off.
local function ask(name, answer, closes)
  local results = {}
  for i, option in ipairs { "", name .. "=true", name .. "=false" } do
    local request = wire.get(option ~= "" and "Lenient: " .. option .. "\r\n" or "")
    results[i] = wire.exchange(request .. wire.NEXT, { answer = answer, closes = closes })
    wire.check(results[i], #results[i].responses == 2 and results[i].responses[2].body == "ok", "the next is served")
  end
  return unpack(results)
end

-- name, taken from the start, sentence, answer, what the client gets (head's pattern, body; default: 200, hello)
local taken = {
  { "chunk_padding", true, "a size with spaces behind it", CHUNKED .. "5     \r\nhello\r\n0  \r\n\r\n" },
  { "chunk_padding", true, "a size with tabs behind it", CHUNKED .. "5\t\t\r\nhello\r\n0\t\r\n\r\n" },
  { "chunk_padding", true, "white space behind an extension", CHUNKED .. "5;a=b \r\nhello\r\n0\r\n\r\n" },
  { "odd_status", true, "status 600", "HTTP/1.1 600 Odd\r\n" .. LENGTH, "^HTTP/1.1 600 Odd\r\n" },
  { "odd_status", true, "status 999", "HTTP/1.1 999 Request Denied\r\n" .. LENGTH, "^HTTP/1.1 999 Request Denied\r\n" },
  { "many_fields", true, "150 Set-Cookie", OK .. ("Set-Cookie: a=b\r\n"):rep(150) .. LENGTH, "Set%-Cookie: a=b\r\n" },
  { "bare_lf", false, "a head with LF alone", ("HTTP/1.1 200 OK\nX: y\n" .. LENGTH):gsub("\r\n", "\n"),
    "\r\nX: y\r\n" },
  { "bare_lf", false, "LF alone behind the status line", "HTTP/1.1 200 OK\nX: y\r\n" .. LENGTH, "\r\nX: y\r\n" },
  { "bare_lf", false, "LF alone behind a field", OK .. "X: y\n" .. LENGTH, "\r\nX: y\r\n" },
  { "bare_lf", false, "LF alone as the end", OK .. "X: y\r\nContent-Length: 5\r\n\nhello", "\r\nX: y\r\n" },
  { "obs_fold", false, "a folded field", OK .. "X: a\r\n b\r\n" .. LENGTH, "\r\nX: a b\r\n" },
  { "obs_fold", false, "a field folded twice, with tabs",
    OK .. "X:\r\n\ta \r\n\t  b\r\n" .. LENGTH, "\r\nX: a%s+b\r\n" },
  { "both_lengths", false, "Content-Length beside chunked", OK ..
    "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "\r\nTransfer%-Encoding: chunked\r\n" },
}

-- What stays refused, whatever is allowed: name, sentence, answer.
local refused = {
  { "chunk_padding", "white space before a size", CHUNKED .. " 5\r\nhello\r\n0\r\n\r\n" },
  { "chunk_padding", "white space within a size", CHUNKED .. "1 0\r\nhello\r\n0\r\n\r\n" },
  { "chunk_padding", "a vertical tab behind a size", CHUNKED .. "5\v\r\nhello\r\n0\r\n\r\n" },
  { "chunk_padding", "LF alone behind a padded size", CHUNKED .. "5 \nhello\r\n0\r\n\r\n" },
  { "odd_status", "status 099", "HTTP/1.1 099 X\r\n" .. LENGTH },
  { "odd_status", "status 1000", "HTTP/1.1 1000 X\r\n" .. LENGTH },
  { "many_fields", "1,001 fields", OK .. ("A: b\r\n"):rep(1001) .. LENGTH },
  { "bare_lf", "CR alone", OK .. "X: a\rY: b\r\n" .. LENGTH },
  { "bare_lf", "CR CR LF", OK .. "X: a\r\r\n" .. LENGTH },
  { "bare_lf", "NUL", OK .. "X: a\0\n" .. LENGTH },
  { "bare_lf", "LF alone behind a size of a chunk", CHUNKED .. "5\nhello\r\n0\r\n\r\n" },
  { "bare_lf", "a folded line", "HTTP/1.1 200 OK\nX: a\n b\n" .. LENGTH },
  { "obs_fold", "a folded line behind the status line", OK .. " X: a\r\n" .. LENGTH },
  { "obs_fold", "a line of white space", OK .. "X: a\r\n \r\n" .. LENGTH },
  { "obs_fold", "a folded line behind LF alone", OK .. "X: a\n b\r\n" .. LENGTH },
  { "both_lengths", "two different lengths", OK .. "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" },
  { "both_lengths", "a length that is none", OK ..
    "Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" },
  { "both_lengths", "another coding", OK .. "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello" },
}

describe("of a peer", function()
  lazy_setup(function()
    wire.start(function(origin) return { policy = policies.fill(POLICY, { ADDRESS = origin.address }) } end)
  end)
  lazy_teardown(wire.stop)

  for _, case in ipairs(taken) do
    local name, is_default = case[1], case[2]
    local start = is_default and "on" or "off"
    it(("%s is taken with %s, which is %s from the start"):format(case[3], name, start), function()
      local otherwise, on, off = ask(name, case[4])
      local response = on.responses[1]
      wire.check(on, response.status < 500 or response.status >= 600, "taken")
      assert.matches(case[5] or "^HTTP/1.1 200 OK\r\n", response.head)
      assert.equal("hello", response.body)
      assert.is_nil(response.failure)
      wire.check(off, off.responses[1].status == 502, "refused where it is off")
      local first = otherwise.responses[1]
      assert.equal(is_default and response.head:gsub("\r\nDate.*", "") or "502",
        is_default and first.head:gsub("\r\nDate.*", "") or tostring(first.status))
    end)
  end

  for _, case in ipairs(refused) do
    it(("%s is refused, although %s is on"):format(case[2], case[1]), function()
      local _, on = ask(case[1], case[3])
      wire.check(on, on.responses[1].status == 502, "502")
    end)
  end

  it("no Content-Length goes on that stood beside chunks, and its connection is not used again", function()
    local answer = OK .. "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    local result = wire.exchange(wire.get "Lenient: both_lengths=true\r\n" .. wire.NEXT, { answer = answer })
    assert.is_nil(result.responses[1].headers.content_length)
    assert.is_true(result.requests[1].connection ~= result.requests[2].connection)
  end)

  it("requests are read as strictly as ever", function()
    wire.refuses("GET / HTTP/1.1\nHost: a\nLenient: bare_lf=true\n\n", "400")
    wire.refuses(wire.post("Lenient: chunk_padding=true\r\nTransfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
      "400 502") -- the head has gone to the peer before the chunk came
  end)
end)

describe("of a peer over TLS", function()
  after_each(require("cleanup").run)

  -- A body that ends with the connection, which ends without close_notify.
  local function cut(fields, body)
    return origins.start(function(connection)
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\n" .. fields .. "\r\n" .. (body or "hello"))
      connection.tls = nil
      connection:close()
    end, { names = { "app.test" } })
  end

  local function ask_cut(fields, lenient, body)
    local proxy = perilune.start { workers = 1, policy = policies.to(cut(fields, body), { peer = (
      ", tls = true, sni = 'app.test', ca = %q, lenient = { %s }"):format(
      require("tls").authority().certificate, lenient) }) }
    local connection = client.connect(proxy.port)
    connection:send_request {}
    return connection:read_response()
  end

  it("an end without close_notify is the end with no_close_notify, which is off from the start", function()
    local response = ask_cut("", "no_close_notify = true")
    assert.equal("hello", response.body)
    assert.is_nil(response.failure)
    assert.is_truthy(ask_cut("", "").failure)
    assert.is_truthy(ask_cut("", "no_close_notify = false").failure)
  end)

  it("a body that is shorter than its length stays cut", function()
    assert.is_truthy(ask_cut("Content-Length: 10\r\n", "no_close_notify = true").failure)
    assert.is_truthy(ask_cut("Transfer-Encoding: chunked\r\n", "no_close_notify = true", "5\r\nhello\r\n").failure)
  end)
end)

describe("the option lenient", function()
  after_each(require("cleanup").run)

  for option, message in pairs {
    ["{ bare_fl = true }"] = "option 'lenient' must be a table with true or false for any of: chunk_padding, "
      .. "odd_status, many_fields, bare_lf, obs_fold, both_lengths, no_close_notify; got 'bare_fl'",
    ["{ bare_lf = 1 }"] = "got a number value",
    ["{ 'bare_fl' }"] = "got 'bare_fl'",
    ["true"] = "any of: chunk_padding, [^\n]*got boolean",
    ["{ no_close_notify = true }"] = "lenient.no_close_notify is for TLS",
  } do
    it("is refused as " .. option, function()
      local origin = origins.start "ok"
      local proxy = perilune.start {
        workers = 1, policy = policies.to(origin, { peer = ", lenient = " .. option }) }
      assert.equal(500, client.request(proxy.port).status)
      proxy:wait_log(message)
    end)
  end

  it("may be a list of names", function()
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:send "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"
    end)
    local proxy = perilune.start { workers = 1, policy = policies.to(origin, { peer = ", lenient = { 'bare_lf' }" }) }
    assert.equal("ok", client.request(proxy.port).body)
  end)
end)

describe("perilune.http and health checks", function()
  after_each(require("cleanup").run)

  local function start(answer, lenient)
    local origin = origins.start(function(connection)
      if connection:read_request() then connection:send(answer) end
    end)
    return perilune.start { workers = 1, policy = policies.fill([[
      local perilune, http = require "perilune", require "perilune.http"
      local set = require("perilune.random").new { "$ADDRESS" }
      require("perilune.health_check").http(set, { interval = 0.1, lenient = $LENIENT, statuses = { "200-999" } })
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local called, response, why = pcall(http.get, "http://$ADDRESS/", { lenient = $LENIENT })
        return session:respond { status = 200, body = called and response and response.body
          or tostring(why or response) }
      end, upstream_peer = function() end })
    ]], { ADDRESS = origin.address, LENIENT = lenient or "nil" }) }, origin
  end

  it("take what is taken of peers from the start", function()
    for _, answer in ipairs {
      CHUNKED .. "5  \r\nhello\r\n0\r\n\r\n", "HTTP/1.1 999 X\r\n" .. LENGTH,
      OK .. ("Set-Cookie: a=b\r\n"):rep(300) .. LENGTH,
    } do
      local proxy = start(answer)
      assert.equal("hello", client.request(proxy.port).body)
      assert.equal(0, proxy:count_log "unhealthy")
    end
  end)

  it("take more, or less, where they are told to", function()
    local lines = ("HTTP/1.1 200 OK\n" .. LENGTH):gsub("\r\n", "\n")
    assert.equal("hello", client.request(start(lines, "{ bare_lf = true }").port).body)
    local proxy = start(lines)
    proxy:wait_log "is unhealthy: [^\n]*malformed"
    local padded = start(CHUNKED .. "5  \r\nhello\r\n0\r\n\r\n", "{ chunk_padding = false }")
    assert.is_true(client.request(padded.port).body ~= "hello")
  end)

  it("name what is no deviation", function()
    local wrong = "option 'lenient' must be a table with true or false for any of bare_lf, .*, got 'bare'"
    local check = 'require("perilune.health_check").http(require("perilune.round_robin").new { "127.0.0.1:1" }, %s)'
    local result = perilune.run("check", process.write_file(process.directory() .. "/policy.lua",
      check:format "{ lenient = { bare = true } }"))
    assert.equal(2, result.code)
    assert.matches("policy%.lua:1: health_check%.http: " .. wrong, result.stderr)
    local proxy = perilune.start { policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local _, why = pcall(perilune.http.get, "http://127.0.0.1:1", { lenient = { bare = true } })
        return session:respond { status = 200, body = why }
      end })
    ]] }
    assert.matches("http%.get: " .. wrong, client.request(proxy.port).body)
  end)
end)
