-- SPDX-License-Identifier: Apache-2.0
-- perilune record and perilune replay: requests of a running proxy, and what another policy would do with them.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local POLICY = [[
local perilune = require "perilune"
local policy = {}
function policy.request_filter(session, ctx)
  if session:path() == "/admin" then
    return session:respond { status = 403 }
  end
  ctx.dice = math.random(1000)
end
function policy.upstream_peer() return { address = "$ORIGIN" } end
function policy.upstream_request_filter(session, request, ctx)
  request:set_header("X-Plan", "silver")
  request:set_header("X-Dice", tostring(ctx.dice))
end
perilune.listen("127.0.0.1:0", policy)
]]

local function with(origin) return (POLICY:gsub("$ORIGIN", origin)) end

local function start()
  local origin = origins.start(function(connection)
    while connection:read_request() do
      connection:respond { headers = { ["Set-Cookie"] = "sid=secret-of-peer; Path=/" }, body = "ok" }
    end
  end)
  local proxy = perilune.start { policy = with(origin.address), workers = 2 }
  return proxy, origin
end

local function pid(proxy) return "--pid", tostring(proxy.pid) end

-- Records while `body` runs, which returns how many requests it has made, and returns the file with all of them.
local function record(proxy, body, ...)
  local file = proxy.directory .. "/requests.plr"
  local recording = process.start { perilune.binary, "record", "-o", file, "--for", "1h",
    "--pid", tostring(proxy.pid), ... }
  scheduler.eventually(function() return recording:stderr():find "s left" end)
  local count = body()
  scheduler.eventually(function()
    return select(2, process.read_file(file):gsub("\nR %d+ ", "")) == count
  end, nil, count .. " recorded requests")
  recording:signal "INT"
  assert.equal(0, recording:wait(), recording:stderr())
  return file
end

local function requests(proxy)
  for i = 1, 4 do client.request { port = proxy.port, target = "/a?token=hush&i=" .. i,
    headers = { Authorization = "Bearer secret-of-client", Cookie = "sid=secret-of-client" } } end
  client.request { port = proxy.port, target = "/gold", method = "POST", body = "a body" }
  client.request { port = proxy.port, target = "/admin" }
  return 6
end

local function write(proxy, name, text) return process.write_file(proxy.directory .. "/" .. name, text) end

local function replay(...) return perilune.run("replay", ...) end

describe("a recording", function()
  it("has heads, bodies and answers, and no secrets", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    local text = process.read_file(file)
    assert.falsy(text:find "secret%-of" or text:find "hush")
    assert.truthy(text:find("GET /a?token=redacted-", 1, true))
    assert.truthy(text:find("Authorization: Bearer redacted-", 1, true))
    assert.truthy(text:find("body 6\na body\n", 1, true), text)
    assert.truthy(text:find("HTTP/1.1 200 ", 1, true))
    local recording = replay(file, "--policy", proxy.directory .. "/policy.lua")
    assert.equal(0, recording.code, recording.stdout .. recording.stderr)
    assert.truthy(recording.stdout:find "^6 requests, 0 decided differently\n")
  end)

  it("can be begun and ended many times under load and reloads, and takes a share", function()
    local proxy = start()
    for _ = 1, 3 do
      scheduler.spawn(function()
        while true do if not pcall(client.request, { port = proxy.port }) then scheduler.sleep(0.02) end end
      end)
    end
    for i = 1, 8 do
      if i % 3 == 0 then perilune.run("reload", pid(proxy)) end
      local file = proxy.directory .. "/" .. i
      local share = i % 2 == 0 and "50%" or "100%"
      local result = perilune.run("record", "-o", file, "--for", "100ms", "--share", share, pid(proxy))
      assert.equal(0, result.code, result.stderr)
      assert.equal(0, replay(file, "--policy", proxy.directory .. "/policy.lua").code)
    end
  end)

  it("that meets a full disk ends with a clear line, and the file is whole", function()
    if not io.open "/dev/full" then return pending "no /dev/full" end
    local proxy = start()
    local file = proxy.directory .. "/limited.plr"
    local recording = process.start { "prlimit", "--fsize=2500", perilune.binary, "record", "-o", file, "--for", "1h",
      pid(proxy) }
    scheduler.eventually(function() return recording:stderr():find "s left" end)
    requests(proxy)
    requests(proxy)
    assert.equal(1, recording:wait())
    assert.truthy(recording:stderr():find "the recording has ended early; %d+ requests are in", recording:stderr())
    assert.equal(0, replay(file, "--policy", proxy.directory .. "/policy.lua").code)
    assert.equal(200, client.request({ port = proxy.port }).status)
  end)
end)

describe("a replay", function()
  it("tells each decision that differs, in groups, with the lines that decided", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    local old = proxy.directory .. "/policy.lua"
    local new = write(proxy, "new.lua", (process.read_file(old)
      :gsub('"silver"', 'session:path() == "/gold" and "gold" or "silver"'):gsub('"/admin"', '"/other"')))
    local result = replay(file, "--policy", new, "--against", old)
    assert.equal(1, result.code, result.stderr)
    assert.truthy(result.stdout:find("6 requests, 2 decided differently", 1, true), result.stdout)
    assert.truthy(result.stdout:find("X-Plan at new.lua:11; before it at policy.lua:11", 1, true), result.stdout)
    assert.truthy(result.stdout:find("asks a peer, and the client gets 200 at new.lua:9; " ..
      "before it answers 403 at policy.lua:5", 1, true), result.stdout)
    assert.equal(result.stdout, replay(file, "--policy", new, "--against", old).stdout)
    local recorded = replay(file, "--policy", new)
    assert.equal(1, recorded.code)
    assert.truthy(recorded.stdout:find("6 requests, 1 decided differently", 1, true), recorded.stdout)
  end)

  it("draws the same in each run and for each policy, whatever other requests have drawn", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do connection:respond { body = "ok" } end
    end)
    local proxy = perilune.start { policy = ([[
      local perilune = require "perilune"
      local crypto = perilune.crypto
      local canary = require("perilune.canary").new { percent = 50, cookie = "canary" }
      local key = ("k"):rep(32)
      local draws_more = false
      local policy = {}
      function policy.request_filter(session, ctx)
        if draws_more and session:path() == "/gold" then crypto.random(8) math.random() end
        ctx.drawn = table.concat({ crypto.hex(crypto.random(5)), math.random(1000000),
          crypto.hex(crypto.seal(key, "text")), tostring(canary:is_chosen(session, ctx)) }, " ")
      end
      function policy.upstream_peer() return "$ORIGIN" end
      function policy.upstream_request_filter(_, request, ctx) request:set_header("X-Drawn", ctx.drawn) end
      function policy.response_filter(_, response, ctx) canary:remember(response, ctx) end
      perilune.listen("127.0.0.1:0", policy)
    ]]):gsub("$ORIGIN", origin.address) }
    local file = record(proxy, function()
      for _ = 1, 4 do requests(proxy) end
      return 24
    end)
    local old = proxy.directory .. "/policy.lua"
    local same = replay(file, "--policy", old, "--against", old)
    assert.truthy(same.stdout:find("^24 requests, 0 decided differently\n"), same.stdout .. same.stderr)
    assert.equal(0, same.code)
    local extra = write(proxy, "extra.lua", (process.read_file(old):gsub("draws_more = false", "draws_more = true")))
    local other = replay(file, "--policy", extra, "--against", old)
    assert.truthy(other.stdout:find("^24 requests, 4 decided differently\n"), other.stdout .. other.stderr)
    assert.truthy(other.stdout:find("\n +4  other fields in the request to the peer: X%-Drawn"), other.stdout)
    assert.equal(other.stdout, replay(file, "--policy", extra, "--against", old).stdout)
  end)

  it("knows a client without a port, as X-Forwarded-For names it, and so do specs", function()
    local proxy = perilune.start { policy = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = session:client_ip():find "7$" and 201 or 202 }
      end }, { trusted_proxies = { "127.0.0.0/8" } })
    ]] }
    local file = record(proxy, function()
      for _, from in ipairs { "203.0.113.7", "2001:db8::7", "203.0.113.8" } do
        client.request { port = proxy.port, headers = { ["X-Forwarded-For"] = from } }
      end
      return 3
    end)
    assert.truthy(process.read_file(file):find("client 11\n203.0.113.7\n", 1, true))
    local result = replay(file, "--policy", proxy.directory .. "/policy.lua")
    assert.truthy(result.stdout:find "^3 requests, 0 decided differently\n", result.stdout .. result.stderr)
    write(proxy, "client_spec.lua", [[
      local test = require "perilune.test"
      it("decides as it was recorded", function()
        local policy = test.policy "policy.lua"
        for _, recorded in ipairs(test.recording "requests.plr") do
          assert.equal(recorded.status, policy:request(recorded.request, recorded.answer).status)
        end
        assert.error_matches(function() policy:request { client = "a.name" } end, "a client's address is an IP address")
      end)
    ]])
    result = perilune.run("test", proxy.directory .. "/client_spec.lua")
    assert.equal(0, result.code, result.stdout .. result.stderr)
  end)

  it("counts what had come from the cache apart, and compares it where the policy decides without a peer", function()
    local origin = origins.start(function(connection)
      while connection:read_request() do
        connection:respond { headers = { ["Cache-Control"] = "max-age=600" }, body = "ok" }
      end
    end)
    local proxy = perilune.start { policy = ([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return "$ORIGIN" end },
        { cache = perilune.cache("pages", { size = "1M" }) })
    ]]):gsub("$ORIGIN", origin.address) }
    local file = record(proxy, function()
      for _ = 1, 3 do client.request { port = proxy.port, target = "/page" } end
      return 3
    end)
    local policy = proxy.directory .. "/policy.lua"
    local result = replay(file, "--policy", policy)
    assert.equal(0, result.code, result.stdout .. result.stderr)
    assert.truthy(result.stdout:find("^3 requests, 0 decided differently\n2 requests had come from the cache"),
      result.stdout)
    local refuses = write(proxy, "refuses.lua", (process.read_file(policy):gsub("{ upstream_peer",
      "{ request_filter = function(session) return session:respond { status = 403 } end, upstream_peer")))
    result = replay(file, "--policy", refuses)
    assert.equal(1, result.code)
    assert.truthy(result.stdout:find("2  answers 403 at refuses.lua:2; the recording: answers 200", 1, true),
      result.stdout)
  end)

  it("of no request exits with 1: nothing was tested", function()
    local proxy = start()
    local file = record(proxy, function() return 0 end)
    local result = replay(file, "--policy", proxy.directory .. "/policy.lua")
    assert.equal(1, result.code, result.stderr)
    assert.truthy(result.stderr:find("the recording holds no request: nothing was tested", 1, true), result.stderr)
  end)

  it("tells of errors and waits with their lines", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    local old = proxy.directory .. "/policy.lua"
    local slow = write(proxy, "slow.lua", (process.read_file(old):gsub("ctx.dice = math.random%(1000%)",
      "ctx.dice = math.random(1000)\n  perilune.sleep(0.25)")))
    local result = replay(file, "--policy", slow, "--against", old)
    assert.truthy(result.stdout:find("hooks wait for 250 ms at slow.lua:8; before it for 0 ms", 1, true), result.stdout)
    local wrong = write(proxy, "wrong.lua", (process.read_file(old):gsub("math.random%(1000%)", "nothing.here")))
    result = replay(file, "--policy", wrong)
    assert.equal(1, result.code)
    assert.truthy(result.stdout:find "fails %(script%) with 500 at wrong.lua:7", result.stdout)
  end)

  it("shows what streamed answers begin with, also of those that do not end", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    local old = proxy.directory .. "/policy.lua"
    local function streams(name, word)
      return write(proxy, name, (process.read_file(old):gsub("return session:respond { status = 403 }",
        'session:start_response { status = 200 } while session:send "' .. word .. ' " do perilune.sleep(5) end')))
    end
    local one, two = streams("one.lua", "one"), streams("two.lua", "two")
    assert.equal(0, replay(file, "--policy", one, "--against", one).code)
    local result = replay(file, "--policy", two, "--against", one)
    assert.equal(1, result.code, result.stderr)
    assert.truthy(result.stdout:find("6 requests, 1 decided differently", 1, true), result.stdout)
  end)

  it("of a policy that loops, or does not load, ends with a clear line", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    local result = replay(file, "--policy", write(proxy, "loop.lua", [[
      require("perilune").configure { hook_time = 0.1 }
      require("perilune").listen("127.0.0.1:0", { request_filter = function() while true do end end })
    ]]))
    assert.equal(2, result.code)
    assert.truthy(result.stderr:find "request 1 %(GET /a.*loop.lua:2: used up its time", result.stderr)
    result = replay(file, "--policy", write(proxy, "bad.lua", "nonsense("))
    assert.equal(2, result.code)
    assert.truthy(result.stderr:find "bad.lua", result.stderr)
  end)

  it("refuses a recording that is cut short, forged, or none", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    local policy, text = proxy.directory .. "/policy.lua", process.read_file(file)
    local function refusal(content)
      local result = replay(write(proxy, "it.plr", content), "--policy", policy)
      assert.equal(2, result.code, result.stdout)
      return result.stderr
    end
    for _, at in ipairs { 30, 70, 200, #text - 200, #text - 1 } do
      local why = refusal(text:sub(1, at))
      assert.truthy(why:find "was cut short" or why:find "not as it was recorded", why)
    end
    assert.truthy(refusal((text:gsub("GET /admin", "GET /nimda"))):find "not as it was recorded")
    assert.truthy(refusal(text .. "R 1 0\nx\n"):find "behind its end")
    local first, second = text:match "\n(R %d+ .-\n)(R %d+ .-\n)R "
    local from, to = text:find(first, 1, true)
    assert.truthy(refusal(text:sub(1, from - 1) .. text:sub(to + 1)):find "not as it was recorded")
    assert.truthy(second and refusal("GET / HTTP/1.1\r\n"):find "is no recording")
  end)

  it("has no network: what a hook asks for fails, and nothing is sent", function()
    local proxy, origin = start()
    local file = record(proxy, function() return requests(proxy) end)
    local before = #origin.requests
    local asking = ("pcall(require('perilune.http').get, 'http://%s/')"):format(origin.address)
    local asks = write(proxy, "asks.lua", (process.read_file(proxy.directory .. "/policy.lua")
      :gsub("math.random%(1000%)", asking)))
    local result = replay(file, "--policy", asks)
    assert.truthy(result.code < 2, result.stderr)
    assert.equal(before, #origin.requests)
  end)

  it("is what perilune.test can read, too", function()
    local proxy = start()
    local file = record(proxy, function() return requests(proxy) end)
    write(proxy, "some_spec.lua", ([[
      local test = require "perilune.test"
      it("decides as it was recorded", function()
        local policy, all = test.policy "policy.lua", test.recording "requests.plr"
        assert.equal(6, #all)
        for _, recorded in ipairs(all) do
          assert.equal(recorded.status, policy:request(recorded.request, recorded.answer).status)
        end
      end)
    ]]))
    local result = perilune.run("test", proxy.directory .. "/some_spec.lua")
    assert.equal(0, result.code, result.stdout .. result.stderr .. file)
  end)
end)
