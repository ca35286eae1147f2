-- SPDX-License-Identifier: Apache-2.0
-- A reload is a transaction and costs no request: all workers change to the next policy, or none.
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local function answering(text, listen)
  return ([[
    local perilune = require "perilune"
    perilune.listen("%s", { request_filter = function(session)
      return session:respond { status = 200, body = "%s" }
    end })
  ]]):format(listen or "127.0.0.1:0", text)
end

-- A proxy whose policy can be replaced: proxy:replace(text), proxy:command("reload").
local function start(policy, options)
  local path = process.write_file(process.directory() .. "/policy.lua", policy)
  local args = { "run", "--workers", "3", "--pid-file", path .. ".pid" }
  for _, word in ipairs(options or {}) do args[#args + 1] = word end
  args[#args + 1] = path
  local proxy = perilune.start { args = args }
  return {
    proxy = proxy, path = path, port = proxy.port,
    replace = function(_, text) process.write_file(path, text) end,
    command = function(_, ...)
      return perilune.run { args = { (...), "--pid-file", path .. ".pid", select(2, ...) }, timeout = 60 }
    end,
    body = function(_, port) return client.request { port = port or proxy.port }.body end,
  }
end

describe("perilune reload", function()
  it("puts the changed policy in force for new requests, also on connections that are open", function()
    local it = start(answering "one")
    local connection = client.connect(it.port)
    assert.equal("one", connection:request().body)
    it:replace(answering "two")
    local result = it:command "reload"
    assert.equal(0, result.code, result.stderr)
    assert.matches("generation 2 is in force on 3 workers", result.stdout)
    assert.equal("two", connection:request().body)
    for _ = 1, 12 do assert.equal("two", it:body()) end
  end)

  it("leaves the old policy in force when the new one has a syntax error, and says where", function()
    local it = start(answering "one")
    it:replace "local perilune = \n\nend"
    local result = it:command "reload"
    assert.equal(2, result.code)
    assert.matches("policy%.lua:3:", result.stderr)
    assert.matches("generation 1 stays in force", result.stderr)
    assert.equal("one", it:body())
  end)

  it("refuses with --strict what it otherwise warns of, also as a canary and as a shadow", function()
    local it = start(answering "one")
    it:replace((answering "two":gsub("return session", "misspelt = session:pathh(); return session")))
    for _, words in ipairs { {}, { "--canary", "50%", "--for", "100ms" }, { "--shadow", "--for", "100ms" } } do
      local strict = it:command("reload", "--strict", unpack(words))
      assert.equal(2, strict.code, strict.stdout .. strict.stderr)
      assert.matches("%-%-strict refuses it: .*policy%.lua:3: .*'pathh'", strict.stderr)
      assert.matches("generation 1 stays in force", strict.stderr)
    end
    assert.equal("one", it:body())
    local lenient = it:command "reload"
    assert.equal(0, lenient.code, lenient.stderr)
    assert.matches("warning: .*policy%.lua:3: .*'pathh'", lenient.stdout .. lenient.stderr)
    it:replace(answering "three")
    assert.equal(0, it:command("reload", "--strict").code)
    assert.equal("three", it:body())
  end)

  it("leaves the old policy in force when the new one raises while it loads", function()
    local it = start(answering "one")
    it:replace(answering "two" .. "\nerror 'not today'")
    local result = it:command "reload"
    assert.equal(2, result.code)
    assert.matches("policy%.lua:%d+: not today", result.stderr)
    assert.equal("one", it:body())
  end)

  it("changes no worker when the policy fails on the third one only", function()
    local it = start(answering "one")
    it:replace(answering "two" .. "\nif require('perilune').worker() == 2 then error 'not here' end")
    assert.equal(2, it:command("reload").code)
    for _ = 1, 24 do assert.equal("one", it:body()) end
  end)

  it("lets running exchanges end on the policy that they began with", function()
    local slow = answering("X"):gsub("return session:respond",
      "if session:path() == '/slow' then perilune.log.info 'it has begun' perilune.sleep(0.3) end %0")
    local it = start((slow:gsub("X", "one")))
    local connection = client.connect(it.port)
    connection:send_request { path = "/slow" }
    it.proxy:wait_log "(it has begun)"
    it:replace((slow:gsub("X", "two")))
    it.proxy:signal "HUP"
    it.proxy:wait_log "generation 2 is in force"
    assert.equal("two", it:body())
    assert.equal("one", connection:read_response().body)
  end)

  it("opens listeners that are new and closes those that are gone, keeping the others' sockets", function()
    local directory = process.directory()
    local first, second = "unix:" .. directory .. "/first", "unix:" .. directory .. "/second"
    local it = start(answering "one" .. answering("first", first))
    it:replace(answering "one" .. answering("second", second))
    local result = it:command "reload"
    assert.equal(0, result.code, result.stderr)
    assert.equal("one", it:body())
    assert.equal("second", client.request { path = "/", unix = directory .. "/second" }.body)
    assert.is_false((pcall(client.request, { path = "/", unix = directory .. "/first" })))
  end)

  it("changes nothing when a listener cannot be opened", function()
    local taken = perilune.start { policy = answering "other" }
    local it = start(answering "one")
    it:replace(answering "two" .. answering("three", "127.0.0.1:" .. taken.port))
    local result = it:command "reload"
    assert.equal(2, result.code)
    assert.matches("cannot listen on 127%.0%.0%.1:" .. taken.port, result.stderr)
    assert.equal("one", it:body())
  end)

  it("keeps rate estimates", function()
    local policy = [[
      local perilune = require "perilune"
      local limit = require("perilune.rate_limit").new { header = "appid", max = 2, interval = 60 }
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        return limit(session) or session:respond { status = 200 }
      end })
    ]]
    local it = start(policy)
    local function status() return client.request { port = it.port, headers = { { "appid", "1" } } }.status end
    assert.equal(200, status())
    assert.equal(0, it:command("reload").code)
    assert.equal(200, status())
    assert.equal(429, status())
  end)

  it("keeps a policy's background work to one generation", function()
    local function ticking(word)
      return answering(word) .. ([[
        local perilune = require "perilune"
        perilune.every(0.05, function() perilune.log.info("tick of %s") end)
      ]]):format(word)
    end
    local it = start(ticking "one")
    it.proxy:wait_log "(tick of one)"
    it:replace(ticking "two")
    assert.equal(0, it:command("reload").code)
    it.proxy:wait_log "(tick of two)"
    local ones = it.proxy:count_log "tick of one"
    local twos = it.proxy:count_log "tick of two"
    scheduler.eventually(function() return it.proxy:count_log "tick of two" > twos + 3 end)
    assert.equal(ones, it.proxy:count_log "tick of one")
  end)

  it("costs no request under load, a hundred times in a row, and leaves no descriptor behind", function()
    local it = start(answering "ok")
    it:body()
    local before, done = it.proxy:open_files(), false
    local bodies = { function()
      for i = 1, 100 do
        it.proxy:signal "HUP"
        scheduler.eventually(function() return it.proxy:count_log "is in force" >= i end)
      end
      done = true
      return 0
    end }
    for _ = 1, 4 do
      bodies[#bodies + 1] = function()
        local failed, connection = 0, client.connect(it.port)
        while not done do
          if connection:request().body ~= "ok" then failed = failed + 1 end
          if it:body() ~= "ok" then failed = failed + 1 end
        end
        connection:close()
        return failed
      end
    end
    assert.same({ 0, 0, 0, 0, 0 }, scheduler.all(bodies, 300))
    scheduler.eventually(function() return it.proxy:open_files() <= before end)
  end)
end)

describe("perilune run --watch", function()
  it("reloads when the policy changes on disk, and when a module that it requires does", function()
    local directory = process.directory()
    process.write_file(directory .. "/words.lua", "return 'one'")
    local policy = "local words = require 'words'\n" .. answering "X":gsub('"X"', "words")
    local path = process.write_file(directory .. "/policy.lua", policy)
    local proxy = perilune.start { args = { "run", "--watch", path } }
    assert.equal("one", client.request(proxy.port).body)
    process.write_file(directory .. "/words.lua", "return 'two'")
    proxy:wait_log "(generation 2) is in force"
    assert.equal("two", client.request(proxy.port).body)
    process.write_file(path, policy .. "\n-- changed")
    proxy:wait_log "(generation 3) is in force"
  end)
end)

describe("perilune reload --canary", function()

  local function try(it, policy, seconds, ...)
    local result
    it:replace(policy)
    local words = { ... }
    local done = false
    local bodies = { function()
      result = it:command("reload", "--canary", "50%", unpack(words))
      done = true
    end }
    for _ = 1, 2 do
      bodies[#bodies + 1] = function()
        while not done do pcall(function() client.request(it.port) end) scheduler.sleep(0.002) end
      end
    end
    scheduler.all(bodies, seconds)
    return result
  end

  it("goes on to all requests when nothing speaks against the new policy", function()
    local it = start(answering "one")
    local result = try(it, answering "two", 20, "--for", "1500ms")
    assert.equal(0, result.code, result.stderr)
    assert.matches("goes on to 100 %%", result.stdout)
    it.proxy:wait_log "(generation 2) is in force"
    for _ = 1, 12 do assert.equal("two", it:body()) end
  end)

  it("is rolled back by itself when one in ten of its requests raises, before its time is over", function()
    local it = start(answering "one")
    local raising = answering "two":gsub("return session:respond",
      "if math.random() < 0.1 then error 'boom' end return session:respond")
    local result = try(it, raising, 20, "--for", "60s")
    assert.equal(1, result.code)
    assert.matches("rolled back, more script errors", result.stderr)
    for _ = 1, 12 do assert.equal("one", it:body()) end
  end)

  it("is not put in force when no request came to it", function()
    local it = start(answering "one")
    it:replace(answering "two")
    local result = it:command("reload", "--canary", "10%", "--for", "300ms")
    assert.equal(1, result.code)
    assert.matches("no request came to it", result.stderr)
    assert.equal("one", it:body())
  end)

  it("refuses other listeners, and shares and times that are none", function()
    local it = start(answering "one")
    it:replace(answering "one" .. answering "two")
    assert.matches("must listen where", it:command("reload", "--canary", "10%", "--for", "1s").stderr)
    for _, words in ipairs { { "--canary", "10" }, { "--canary", "0%" }, { "--canary", "5%", "--for", "soon" } } do
      assert.equal(2, it:command("reload", unpack(words)).code)
    end
  end)
end)

describe("perilune reload --shadow", function()
  -- Asks again and again while the changed policy is tried. The command's result.
  local function shadow(it, time, ask)
    local result
    scheduler.all({
      function() result = it:command("reload", "--shadow", "--for", time) end,
      function()
        while not result do
          ask()
          scheduler.sleep(0.005)
        end
      end,
    }, 300)
    assert.equal(0, result.code, result.stderr)
    return result
  end

  it("tells where the changed policy would decide otherwise, and changes nothing", function()
    local it = start(answering "one")
    it:replace(([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        perilune.sleep(0.01)
        if session:path() == "/no" then return session:respond { status = 403 } end
        if session:path() == "/oops" then error "boom" end
        return session:respond { status = 200 }
      end })
    ]]))
    local result = shadow(it, "1500ms", function()
      for _, path in ipairs { "/", "/no", "/oops" } do
        assert.equal("one", client.request { port = it.port, path = path }.body)
      end
    end)
    assert.matches("GET /no: answers 200; the new policy answers 403", result.stdout)
    assert.matches("GET /oops: answers 200; the new policy fails %(script%)", result.stdout)
    assert.not_matches("GET /:", result.stdout)
    assert.equal("one", it:body())
  end)

  it("knows of the client what the policy in force does, and compares nothing where a body is read", function()
    local text = [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(session)
        local tls, what = session:tls(), {}
        if $READS then what[#what + 1] = session:read_body() end
        what[#what + 1] = session:scheme()
        what[#what + 1] = tls and tls.server_name
        what[#what + 1] = session:server_address():match "^[^:]*"
        what[#what + 1] = session:client_ip() .. session:connection_requests()
        local known = table.concat(what, " ") == "https one.example 127.0.0.1 127.0.0.11" or session:method() == "POST"
        return session:respond { status = known and 200 or 403, body = "$WORD" }
      end }, { certificate = %q, key = %q })
    ]]
    local files = tls.certificate "one.example"
    local function policy(word, reads)
      return (text:format(files.certificate, files.key):gsub("%$(%u+)", { WORD = word, READS = reads }))
    end
    local it = start(policy("one", "false"))
    it:replace(policy("two", "session:method() == 'POST'"))
    local secure = { name = "one.example", ca = tls.authority().certificate }
    local result = shadow(it, "2s", function()
      assert.equal(200, client.request { port = it.port, tls = secure }.status)
      assert.equal(200, client.request { port = it.port, tls = secure, method = "POST", body = "a body" }.status)
    end)
    assert.matches("shadow: [1-9]%d* requests? compared, 0 decided otherwise", result.stdout)
    assert.matches("[1-9]%d* requests were not compared: the new policy reads their bodies", result.stdout)
    assert.not_matches("403", result.stdout)
  end)

  it("answers once what the proxy itself is the last recipient of", function()
    local forwarding = [[
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return "127.0.0.1:1" end })
    ]]
    local it = start(forwarding)
    it:replace(forwarding .. "-- changed")
    local result = shadow(it, "500ms", function()
      local headers = { ["Max-Forwards"] = "0" }
      assert.equal(200, client.request { port = it.port, method = "OPTIONS", headers = headers }.status)
    end)
    assert.not_matches("OPTIONS", result.stdout)
  end)
end)

describe("perilune reload --close-old", function()
  it("closes what still runs on an older policy", function()
    local slow = answering "one":gsub("return session:respond",
      "perilune.log.info 'it has begun' perilune.sleep(60) return session:respond")
    local it = start(slow)
    local connection = client.connect(it.port)
    connection:send_request {}
    it.proxy:wait_log "(it has begun)"
    it:replace(answering "two")
    assert.equal(0, it:command("reload").code)
    assert.equal(0, it:command("reload", "--close-old").code)
    assert.is_true(connection:is_closed())
    assert.equal("two", it:body())
  end)
end)
