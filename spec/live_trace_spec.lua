-- SPDX-License-Identifier: Apache-2.0
-- `perilune trace`: people look on at requests, step by step; and what is kept of failures and slow hooks.
local cjson = require "cjson"
local cleanup = require "cleanup"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local stream = require "stream"

after_each(cleanup.run)
local has = running.has

local POLICY = [[
  local perilune = require "perilune"
  local set = require("perilune.round_robin").new { name = "app", $SET }
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session)
      if session:path() == "/sleep" then perilune.sleep(0.05) end
      if session:path() == "/raise" then error "so" end
      if session:path() == "/own" then return session:respond { status = 200, body = "own" } end
    end,
    upstream_peer = function() return set:select() end,
    upstream_request_filter = function(_, request) request:set_header("X-Added", "here") end,
  }, { $OPTIONS })
]]

-- A proxy in front of `set`, with a command socket of its own.
local function start(set, options)
  options = options or {}
  local socket = process.directory() .. "/commands"
  local words = { "--admin", "127.0.0.1:0", "--socket", socket }
  local policy = policies.fill(POLICY, { SET = set, OPTIONS = options.options or "" })
  local proxy, pid_file = running.start { policy = policy, words = words, workers = options.workers or 1,
    release = options.release }
  return proxy, pid_file, socket
end

local function quoted(...)
  local list = {}
  for i, address in ipairs { ... } do list[i] = ("%q"):format(address) end
  return table.concat(list, ", ")
end

local function live(proxy) return metrics.status(proxy).live_traces end

-- Looks on with these words, until `count` requests were seen; `ask` makes them. The result of the command.
local function trace(proxy, pid_file, words, ask)
  local result
  local args = { "trace", "--pid-file", pid_file }
  for _, word in ipairs(words) do args[#args + 1] = word end
  local begun = live(proxy).begun
  scheduler.spawn(function() result = perilune.run { args = args, timeout = 60 } end)
  scheduler.eventually(function() return live(proxy).begun > begun or result end)
  if ask then ask() end
  scheduler.eventually(function() return result end)
  return result
end

local function get(proxy, path, headers)
  return client.request { port = proxy.port, path = path, headers = headers, host = "spec.example" }
end

describe("perilune trace", function()
  it("shows hooks, what they waited for, peers, times and fields, without secrets", function()
    local a = origins.start(function(connection)
      while connection:read_request() do
        connection:respond { body = "hello", headers = { ["Set-Cookie"] = "sid=geheim; Path=/",
          Location = "/back#access_token=geheim" } }
      end
    end)
    local proxy, pid_file = start(quoted(a.address))
    local result = trace(proxy, pid_file, { "--count", "1" }, function()
      get(proxy, "/sleep?access_token=geheim&a=1", { Authorization = "Bearer geheim", ["X-Plain"] = "shown",
        Cookie = "sid=geheim", ["X-Api-Key"] = "geheim", Referer = "http://a.example/?token=geheim" })
    end)
    assert.equal(0, result.code, result.stderr)
    local text = result.stdout
    has(text, "GET spec.example/sleep?access_token=[redacted]&a=1 HTTP/1.1")
    has(text, "hook request_filter: ")
    assert.matches("waited %d+%.%d+ ms for perilune%.sleep at %S+policy%.lua:5", text)
    has(text, "peer " .. a.address)
    has(text, "the peer answers 200")
    has(text, "> X-Plain: shown")
    has(text, "> (to the peer) X-Added: here")
    has(text, "> Authorization: Bearer [redacted]")
    has(text, "< Set-Cookie: sid=[redacted]; Path=/")
    has(text, "< Location: /back#access_token=[redacted]")
    assert.is_nil(text:find "geheim")
    proxy:wait_log "a trace has ended: 1 sent, 0 lost"
  end)

  it("shows each peer that was tried, why it failed, and that another one followed", function()
    local a, away = origins.start "a", origins.dead_address()
    local proxy, pid_file = start(quoted(away, a.address))
    local result = trace(proxy, pid_file, { "--count", "1", "--no-fields", "--match", "peer=" .. away }, function()
      for _ = 1, 2 do get(proxy, "/") end
    end)
    local at = assert(result.stdout:find("peer " .. away, 1, true), result.stdout)
    at = assert(result.stdout:find("FAILED connect_refused: ", at, true))
    at = assert(result.stdout:find("tried again", at, true))
    assert(result.stdout:find("peer " .. a.address, at, true))
    assert.is_nil(result.stdout:find("> ", 1, true))
  end)

  it("gives each request as a line of JSON, with events in order", function()
    local a = origins.start "a"
    local proxy, pid_file = start(quoted(a.address))
    local result = trace(proxy, pid_file, { "--count", "2", "--json" }, function()
      for _ = 1, 2 do get(proxy, "/x") end
    end)
    local lines = {}
    for line in result.stdout:gmatch "[^\n]+" do lines[#lines + 1] = cjson.decode(line) end
    assert.equal(2, #lines)
    local seen, before = {}, 0
    for _, event in ipairs(lines[2].events) do
      assert.is_true(event.at_us >= before)
      before, seen[event.event] = event.at_us, event
    end
    assert.is_true(seen.connected.reused)
    assert.equal(200, seen.answered.status)
    assert.equal("/x", lines[2].target)
    assert.equal(200, lines[2].status)
    assert.is_true(lines[2].duration_us > 0)
  end)

  it("tells how long each step took that has to wait, also where the walk goes back to it", function()
    local a = origins.start(function(connection)
      connection:read_request()
      scheduler.sleep(0.2)
      connection:send "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      scheduler.sleep(0.2)
      connection:send "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"
      scheduler.sleep(0.2)
      connection:send "b"
    end)
    local proxy, pid_file = start(quoted(a.address))
    local words = { "--count", "1", "--json", "--status", "2xx" }
    local result = trace(proxy, pid_file, words, function() get(proxy, "/x") end)
    local names, waits = {}, {}
    for _, event in ipairs(cjson.decode(result.stdout).events) do
      if event.event == "step" then names[#names + 1] = event.what end
      if event.what == "read_response" or event.what == "relay_bodies" then waits[#waits + 1] = event.us end
    end
    assert.equal("send_request read_response send_interim read_response send_response relay_bodies",
      table.concat(names, " "))
    assert.is_true(waits[1] > 20000 and waits[2] > 20000 and waits[3] > 20000, result.stdout)
  end)

  it("shows only what fits all conditions", function()
    local a = origins.start "a"
    local proxy, pid_file = start(quoted(a.address))
    local function seen_with(...)
      local result = trace(proxy, pid_file, { "--json", "--count", "1", ... }, function()
        get(proxy, "/raise")
        get(proxy, "/own")
        get(proxy, "/sleep")
        get(proxy, "/other/path?x")
      end)
      assert.equal(0, result.code, result.stderr)
      return cjson.decode(result.stdout).target
    end
    assert.equal("/other/path?x", seen_with("--match", "path=/other*,method=GET", "--client", "127.0.0.0/8"))
    assert.equal("/raise", seen_with("--status", "5xx"))
    assert.equal("/own", seen_with("--status", "200-299", "--match", "host=spec.ex?mple"))
    assert.equal("/sleep", seen_with("--slower", "50ms", "--match", "path=/s*"))
    assert.equal("/raise", seen_with("--match", "error=script*"))
  end)

  -- More of them than it remembers.
  it("tells clients apart, also those that ask again", function()
    local a = origins.start "a"
    local proxy, pid_file = start(quoted(a.address), { options = "trusted_proxies = { '127.0.0.0/8' }" })
    local froms = { "10.0.0.1", "11.0.0.1", "10.0.0.2, 11.0.0.1", "::ffff:10.9.9.9", "nobody" }
    local result = trace(proxy, pid_file, { "--json", "--count", "400", "--client", "10.0.0.0/8" }, function()
      local connection = client.connect(proxy.port)
      for i = 1, 1000 do
        connection:request { path = "/own?" .. i, headers = { ["X-Forwarded-For"] = froms[i % #froms + 1] } }
      end
    end)
    local seen, wanted = {}, {}
    for line in result.stdout:gmatch "[^\n]+" do
      local request = cjson.decode(line)
      seen[#seen + 1] = request.client .. " " .. request.target
    end
    for i = 1, 1000 do
      local host = ({ "10.0.0.1", [4] = "10.9.9.9" })[i % #froms + 1]
      wanted[#wanted + 1] = host and host .. " /own?" .. i or nil
    end
    assert.same(wanted, seen)
  end)

  it("refuses conditions that it does not understand, and says what they are", function()
    local a = origins.start "a"
    local proxy, pid_file = start(quoted(a.address))
    for words, wanted in pairs {
      ["--status=6000"] = "status wants a status such as 503, 5xx or 400-499, not '6000'",
      ["--slower=soon"] = "slower wants a time such as 30, 30s, 500ms, 5m or 1h, not 'soon'",
      ["--client=10.0.0.0/99"] = "client wants an address or a network such as 10.0.0.0/8, not '10.0.0.0/99'",
      ["--match=colour=red"] = "a condition is path=, host=, method=, peer=, error=, status=, slower= or client=",
      ["--match=path="] = "path wants a value behind '=', not ''",
      ["--count=0"] = "count wants a whole number of at least 1, not '0'",
    } do
      local result = running.command(pid_file, "trace", words)
      assert.equal(2, result.code, words)
      has(result.stderr, wanted)
    end
    assert.equal(0, live(proxy).begun)
  end)

  it("ends when its reader goes, and leaves room for others; there is a bound", function()
    local a = origins.start "a"
    local proxy, pid_file, socket = start(quoted(a.address))
    local readers = {}
    for i = 1, 7 do
      readers[i] = assert(stream.connect("unix:" .. socket))
      readers[i]:send "trace\n"
    end
    scheduler.eventually(function() return live(proxy).under_way == 7 end)
    local result = running.command(pid_file, "trace")
    assert.equal(1, result.code)
    has(result.stderr, "7 traces are under way already; end one")
    for _, reader in ipairs(readers) do reader:close() end
    scheduler.eventually(function() return live(proxy).under_way == 0 end)
    result = trace(proxy, pid_file, { "--count=1" }, function() get(proxy, "/") end)
    assert.equal(0, result.code, result.stderr)
  end)

  it("leaves out what a slow reader does not take, counts it, and holds nobody up", function()
    local a = origins.start "a"
    local proxy, _, socket = start(quoted(a.address))
    local reader = assert(stream.connect("unix:" .. socket))
    cleanup.add(1, function() reader:close() end)
    reader:send "trace\n"
    proxy:wait_log "a trace has begun"
    local connection = client.connect(proxy.port)
    local long = ("x"):rep(6000)
    for _ = 1, 400 do
      assert.equal(200, connection:request({ path = "/own", headers = { ["X-Long"] = long } }).status)
    end
    reader:close()
    local sent, lost = proxy:wait_log "a trace has ended: (%d+) sent, (%d+) lost"
    assert.is_true(tonumber(sent) > 10 and tonumber(lost) > 10, sent .. " " .. lost)
  end)

  it("says so where it cannot write, and ends; a reader that has had enough is no fault", function()
    local a = origins.start "a"
    local proxy, pid_file = start(quoted(a.address))
    local function run(output)
      local begun, result = live(proxy).begun, nil
      scheduler.spawn(function()
        result = process.run({ "sh", "-c", ("'%s' trace --json --pid-file '%s' %s"):format(perilune.binary, pid_file,
          output) }, { timeout = 60 })
      end)
      scheduler.eventually(function() return live(proxy).begun > begun end)
      scheduler.eventually(function()
        get(proxy, "/own")
        return result
      end)
      return result
    end
    local result = run ">/dev/full"
    assert.equal(1, result.code)
    has(result.stderr, "perilune: cannot write: No space left on device")
    result = run "| head -1"
    assert.equal("", result.stderr)
    scheduler.eventually(function()
      get(proxy, "/own")
      return live(proxy).under_way == 0
    end)
  end)

  it("goes on over a reload, and ends with the proxy", function()
    local a = origins.start "a"
    local proxy, pid_file = start(quoted(a.address))
    local result = trace(proxy, pid_file, { "--json" }, function()
      get(proxy, "/before")
      assert.equal(0, running.command(pid_file, "reload").code)
      get(proxy, "/behind")
      assert.equal(0, running.command(pid_file, "stop").code)
    end)
    has(result.stderr, "the proxy has ended")
    has(result.stdout, '"target":"/before"')
    has(result.stdout, '"target":"/behind"')
  end)

  it("shows recent failures and the slowest calls of hooks, also of when nobody looked on", function()
    local proxy, pid_file = start(quoted(origins.dead_address()))
    get(proxy, "/gone?password=geheim")
    get(proxy, "/sleep")
    local result = running.command(pid_file, "trace", "--recent")
    assert.equal(0, result.code, result.stderr)
    has(result.stdout, "GET spec.example/gone?password=[redacted] HTTP/1.1")
    has(result.stdout, "error connect_refused")
    has(result.stdout, "the slowest call so far of request_filter")
    local page = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/traces" }.body
    has(page, '<h2 id="failures">Recent failures</h2>\n<pre>')
    has(page, '<pre id="hook-request_filter">')
    has(page, "/gone?password=[redacted]")
    assert.is_nil(page:find "geheim")
    local links = 0 -- of the status page, from its slowest hooks and its failures to here
    local status = client.request { port = proxy.admin_port, host = "127.0.0.1", path = "/" }.body
    for place in status:gmatch 'href="traces#([%w_-]+)"' do
      has(page, ('id="%s"'):format(place))
      links = links + 1
    end
    assert.equal(2, links)
  end)

  it("is not disturbed by 200 traces that begin and end under load and reloads", function()
    local a = origins.start "a"
    local proxy, pid_file, socket = start(quoted(a.address), { workers = 2 })
    local is_over, asked = false, 0
    for _ = 1, 4 do
      scheduler.spawn(function()
        while not is_over do
          assert(get(proxy, "/own").status == 200)
          asked = asked + 1
        end
      end)
    end
    for i = 1, 200 do
      local reader = assert(stream.connect("unix:" .. socket))
      reader:send(i % 3 == 0 and "trace\tpath=/o*\tstatus=2xx\tclient=127.0.0.1\n" or "trace\n")
      if i % 2 == 0 then reader:read(1) end -- else it goes before it has seen anything
      reader:close()
      if i % 50 == 0 then assert.equal(0, running.command(pid_file, "reload").code) end
    end
    is_over = true
    assert.is_true(asked > 200)
    scheduler.eventually(function() return live(proxy).under_way == 0 end)
    assert.equal(200, live(proxy).begun)
  end)
end)
