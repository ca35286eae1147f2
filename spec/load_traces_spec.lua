-- SPDX-License-Identifier: Apache-2.0
-- A policy that is loaded changes nothing before it is in force: what is refused, rolled back or tried in the shadow
-- leaves no trace in what workers share, nor in what others see of the process.
local cleanup = require "cleanup"
local client = require "client"
local name_server = require "name_server"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

local command = running.command

-- Everything that workers share, with what $WORDS say of it. "/print" shows it, "/fill" puts something in.
local POLICY = [[
  local perilune = require "perilune"
  local limit = require("perilune.rate_limit").new { by = "path", max = $MAX, interval = 3600, name = "limit" }
  local dict = perilune.dict("dict", { size = $SIZE })
  local rate = perilune.rate("rate", { interval = $INTERVAL })
  local count = perilune.counter "count"
  local under_way = perilune.inflight "under way"
  local set = require("perilune.round_robin").new { name = "set", $LIST }
  local total = perilune.metrics.counter("app_total", { labels = { $LABELS } })
  local gauge = perilune.metrics.gauge "app_gauge"
  local sizes = perilune.metrics.histogram("app_sizes", { buckets = { $BUCKETS } })
  local labels = { $LABELS }
  local function print_all()
    local lines = { dict:size(), tostring(dict:get "k"), tostring(dict:get "n"), tostring(dict:get "new"),
      rate:observe("key", 0), count:get(), under_way:count "key", set:ready_count(), tostring(set) }
    for _, address in ipairs(set:addresses()) do
      local healthy, enabled = set:is_healthy(address), set:is_enabled(address)
      lines[#lines + 1] = ("%s %s %s"):format(address, tostring(healthy), tostring(enabled))
    end
    return table.concat(lines, "\n")
  end
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    local path = session:path()
    if path == "/limited" and limit(session) then return true end
    if path == "/fail" and "$WORD" == "other" then error "boom" end
    if path == "/fill" then
      dict:set("k", "kept") dict:set("n", 7)
      rate:observe("key", 5)
      count:add(3)
      set:update { "127.0.0.1:7", "127.0.0.1:8" }
      set:set_enabled("127.0.0.1:8", false)
      total:add(2, unpack(labels))
      gauge:set(1.5)
      sizes:observe(3)
    end
    return session:respond { status = 200, body = path == "/word" and "$WORD" or print_all() }
  end })
  $MORE
]]

local function policy(words)
  local usual = { MAX = 3, SIZE = 65536, INTERVAL = 3600, LIST = '"127.0.0.1:1", "127.0.0.1:2"', LABELS = '"a"',
    BUCKETS = "1, 10", WORD = "first", MORE = "" }
  return (POLICY:gsub("%$(%u+)", function(name) return words[name] or usual[name] end))
end

-- Nothing of it fits, and its main chunk changes all that it can get hold of.
local OTHER = {
  MAX = 9, SIZE = 131072, INTERVAL = 1800, LIST = '"127.0.0.1:3"', LABELS = '"b", "c"', BUCKETS = "5", WORD = "other",
}
local WRITES = [[
  dict:set("k", "lost") dict:incr("n", 1) dict:add("new", 1) dict:delete "k" dict:flush()
  rate:observe("key", 100)
  count:add(10) count:set(99)
  set:update { "127.0.0.1:9" }
  set:set_enabled(1, false)
  set:select()
  total:add(100, unpack(labels))
  gauge:set(99)
  sizes:observe(100)
  require("perilune.dns").set_servers "127.0.0.1:9"
]]

local function request(proxy, path) return client.request { port = proxy.port, path = path } end

-- What is shared, what /metrics says of the policy, and what status says of backends.
local function fingerprint(proxy, pid_file)
  local parts = { request(proxy, "/print").body }
  local page = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/metrics" }.body
  for line in page:gmatch "[^\n]+" do
    if line:find "app_" or line:find "perilune_backend" and not line:find "seconds" then parts[#parts + 1] = line end
  end
  for line in command(pid_file, "status").stdout:gmatch "[^\n]+" do
    if line:find "^backend" or line:find "^listening" then parts[#parts + 1] = line end
  end
  return table.concat(parts, "\n")
end

local function start(words)
  local proxy, pid_file, path = running.start {
    policy = policy(words or {}), workers = 2, words = { "--admin", "127.0.0.1:0" },
  }
  request(proxy, "/fill")
  assert.equal(200, request(proxy, "/limited").status)
  return proxy, pid_file, path
end

-- All is as it was, and goes on where it was: also after a reload of the first policy.
local function is_untouched(proxy, pid_file, path, before)
  assert.equal(before, fingerprint(proxy, pid_file))
  process.write_file(path, policy {})
  assert.equal(0, command(pid_file, "reload").code)
  assert.equal(before, fingerprint(proxy, pid_file))
  for i = 1, 3 do assert.equal(i < 3 and 200 or 429, request(proxy, "/limited").status) end
end

local function words(given, more)
  local all = { MORE = more }
  for name, value in pairs(given) do all[name] = value end
  return all
end

describe("A policy that is refused", function()
  it("leaves no trace, also where nothing of it fits", function()
    local proxy, pid_file, path = start()
    local before = fingerprint(proxy, pid_file)
    assert.matches("kept", before)
    assert.matches("127.0.0.1:8 true false", before)
    for _, given in ipairs { {}, OTHER } do
      process.write_file(path, policy(words(given, WRITES .. "error 'not today'")))
      local result = command(pid_file, "reload")
      assert.equal(2, result.code)
      assert.matches("not today", result.stderr)
      assert.equal(before, fingerprint(proxy, pid_file))
    end
    is_untouched(proxy, pid_file, path, before)
  end)

  it("leaves no trace when the last worker, or a listener, refuses it", function()
    local proxy, pid_file, path = start()
    local before = fingerprint(proxy, pid_file)
    local directory = path:match "^(.*)/"
    for _, more in ipairs {
      "if perilune.is_control() then error 'not here' end",
      ("perilune.listen('unix:%s/new', {}) perilune.listen('unix:%s/none/new', {})"):format(directory, directory),
    } do
      process.write_file(path, policy(words(OTHER, WRITES .. more)))
      assert.equal(2, command(pid_file, "reload").code)
    end
    assert.is_nil(io.open(directory .. "/new"))
    is_untouched(proxy, pid_file, path, before)
  end)

  it("has its name servers asked by nobody; one that comes into force by all workers, while they look up", function()
    local function resolving(server, more)
      return ([[
        local dns = require "perilune.dns"
        dns.set_servers "%s"
        require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
          return session:respond { status = 200, body = (dns.addresses "a.example:80" or { "none" })[1] }
        end }) %s
      ]]):format(server.address, more or "")
    end
    local one = name_server.start { ["a.example"] = { A = { "127.0.0.1" }, ttl = 0 } }
    local two = name_server.start { ["a.example"] = { A = { "127.0.0.2" }, ttl = 0 } }
    local proxy, pid_file, path = running.start { policy = resolving(one), workers = 2 }
    process.write_file(path, resolving(two, "error 'refused'"))
    assert.equal(2, command(pid_file, "reload").code)
    for _ = 1, 10 do assert.equal("127.0.0.1:80", request(proxy, "/").body) end
    process.write_file(path, resolving(two))
    local reloaded = false
    scheduler.all({
      function()
        for _ = 1, 5 do assert.equal(0, command(pid_file, "reload").code) end
        reloaded = true
      end,
      function()
        while not reloaded do assert.matches("^127%.0%.0%.[12]:80$", request(proxy, "/").body) end
      end,
    }, 60)
    for _ = 1, 10 do assert.equal("127.0.0.2:80", request(proxy, "/").body) end
  end)
end)

describe("A canary that is rolled back", function()
  it("leaves no trace, though requests have used what it made", function()
    local proxy, pid_file, path = start()
    local before = fingerprint(proxy, pid_file)
    process.write_file(path, policy(words(OTHER, WRITES)))
    local result, seen
    scheduler.all({
      function() result = command(pid_file, "reload", "--canary", "50%", "--for", "60s") end,
      function()
        scheduler.eventually(function() return request(proxy, "/word").body == "other" end)
        scheduler.eventually(function() -- its own objects, its own list
          local body = request(proxy, "/print").body
          seen = body:find "131072" and body
          return seen
        end)
        while not result do request(proxy, "/fail") end
      end,
    }, 60)
    assert.equal(1, result.code)
    assert.matches("127.0.0.1:3", seen)
    is_untouched(proxy, pid_file, path, before)
  end)
end)

describe("A trial that is ended by reload --abort", function()
  it("leaves no trace, though requests have used what it made", function()
    for _, option in ipairs { "--canary=50%", "--shadow" } do
      local proxy, pid_file, path = start()
      local before = fingerprint(proxy, pid_file)
      process.write_file(path, policy(words(OTHER, WRITES)))
      local tried, aborted
      scheduler.all({
        function() tried = command(pid_file, "reload", option, "--for", "10m") end,
        function()
          scheduler.eventually(function()
            for _ = 1, 20 do request(proxy, "/word") end
            return option == "--shadow" and proxy:log():find "shadow: for" or request(proxy, "/word").body == "other"
          end)
          aborted = command(pid_file, "reload", "--abort")
        end,
      }, 60)
      assert.equal(0, aborted.code, aborted.stderr)
      assert.equal(1, tried.code)
      is_untouched(proxy, pid_file, path, before)
    end
  end)
end)

describe("A shadow", function()
  it("leaves no trace, though copies of requests have used what it made", function()
    local proxy, pid_file, path = start()
    local before = fingerprint(proxy, pid_file)
    process.write_file(path, policy(words(OTHER, WRITES)))
    local result
    scheduler.all({
      function() result = command(pid_file, "reload", "--shadow", "--for", "400ms") end,
      function()
        while not result do
          request(proxy, "/word")
          scheduler.sleep(0.005)
        end
      end,
    }, 60)
    assert.equal(0, result.code, result.stderr)
    is_untouched(proxy, pid_file, path, before)
  end)
end)

describe("A policy that comes into force", function()
  it("does then what its main chunk has put off, in each worker, and has its own list", function()
    local proxy, pid_file, path = start()
    process.write_file(path, policy {
      WORD = "second", LIST = '"127.0.0.1:4"', MORE = [[
        local seen = dict:get "k"
        assert(seen == "kept" and dict:set("k", "second") == true and dict:get "k" == seen)
        assert(count:add(1) == 4 and count:get() == 3)
        assert(dict:set("large", ("x"):rep(70000)) == nil)
        gauge:set(2)
      ]],
    })
    local result = command(pid_file, "reload")
    assert.equal(0, result.code, result.stderr)
    scheduler.eventually(function() return fingerprint(proxy, pid_file):find "second\n7\nnil\n5\n6\n" end)
    local now = fingerprint(proxy, pid_file)
    assert.matches("127.0.0.1:4", now)
    assert.not_matches("127.0.0.1:8", now)
    assert.matches("app_gauge 2", now)
  end)

  it("has new objects in the place of those that do not fit", function()
    local proxy, pid_file, path = start()
    process.write_file(path, policy(words(OTHER, "")))
    assert.equal(0, command(pid_file, "reload").code)
    local now = fingerprint(proxy, pid_file)
    assert.matches("^131072\nnil\nnil\nnil\n0\n3\n0\n1\n", now)
    assert.not_matches("app_total{a", now)
    assert.matches("127.0.0.1:3", now)
  end)
end)
