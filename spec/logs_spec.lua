-- SPDX-License-Identifier: Apache-2.0
-- The logs: where lines go, what is in them, and that no log can stall the proxy.
local cjson = require "cjson"
local client = require "client"
local metrics = require "metrics"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local COMBINED = '^(%S+) %- %- %[(%d%d/%a%a%a/%d%d%d%d:%d%d:%d%d:%d%d [+-]%d%d%d%d)%] "(.-)" (%d+) (%d+) "(.*)" "(.*)"$'

--- The lines of a file, once there are so many.
local function wait_lines(path, count)
  local lines
  scheduler.eventually(function()
    lines = {}
    for line in process.read_file(path):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    return #lines >= count
  end, nil, count .. " lines in " .. path)
  return lines
end

local function start(values, options)
  options.policy = policies.fill([[
    local perilune = require "perilune"
    perilune.listen("127.0.0.1:0", {
      request_filter = function(session)
        if session:path() == "/raise" then error "no" end
        if session:path() == "/own" then return session:respond { status = 403, body = "1234" } end
      end,
      upstream_peer = function() return { address = "$ORIGIN" } end,
    }, $OPTIONS)
  ]], { ORIGIN = values.origin or "127.0.0.1:1", OPTIONS = values.options or "{}" })
  return perilune.start(options)
end

describe("the access log", function()
  it("has a line for each request, in the combined form", function()
    local path = process.directory() .. "/access.log"
    local origin = origins.start(function(connection)
      connection:read_request()
      connection:respond { status = 201, body = ("x"):rep(10) }
    end)
    local proxy = start({ origin = origin.address }, { workers = 1, settings = { "--access-log", path } })
    local headers = { Referer = "http://here/", ["User-Agent"] = "spec 1" }
    client.request { port = proxy.port, path = "/a?b=c", headers = headers }
    local line = wait_lines(path, 1)[1]
    local host, time, request, status, bytes, referer, agent = line:match(COMBINED)
    assert.equal("127.0.0.1", host, line)
    assert.equal(os.date "%Y", time:match "/(%d%d%d%d):")
    local found = { request, status, bytes, referer, agent }
    assert.same({ "GET /a?b=c HTTP/1.1", "201", "10", "http://here/", "spec 1" }, found)
    client.request { port = proxy.port, path = "/own" }
    client.request { port = proxy.port, path = "/raise" }
    local lines = wait_lines(path, 3)
    assert.matches('"GET /own HTTP/1.1" 403 4 "%-" "%-"$', lines[2])
    assert.matches('"GET /raise HTTP/1.1" 500 %d+ "%-" "%-"$', lines[3])
  end)

  it("has more in JSON: the peer, the times and what went wrong", function()
    local path = process.directory() .. "/access.log"
    local origin = origins.start "a"
    local proxy = start({ origin = origin.address }, { workers = 1, settings = { "--access-log", path .. ":json" } })
    client.request { port = proxy.port, method = "POST", body = "12345", host = "a.example" }
    local fine = cjson.decode(wait_lines(path, 1)[1])
    assert.same({ "POST", "a.example", "/", "HTTP/1.1", 200, 5, origin.address, 1, false, 0 }, {
      fine.method, fine.host, fine.target, fine.protocol, fine.status, fine.request_bytes, fine.upstream, fine.attempts,
      fine.reused, fine.worker,
    })
    assert.is_true(fine.duration > 0 and fine.duration < 10)
    assert.is_true(fine.first_byte > 0 and fine.first_byte <= fine.duration)
    assert.equal("127.0.0.1:" .. proxy.port, fine.listener)
    assert.is_nil(fine.error)
    assert.matches("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", fine.time)
    client.request { port = proxy.port, path = "/raise" }
    local raised = cjson.decode(wait_lines(path, 2)[2])
    assert.same({ 500, "script" }, { raised.status, raised.error })
    assert.is_nil(raised.upstream)
  end)

  it("has what the policy adds in JSON, as long as it may be, also of a request whose peer is not there", function()
    local path = process.directory() .. "/access.log"
    local proxy = perilune.start {
      policy = [[
        local perilune = require "perilune"
        perilune.configure { memory_limit = 4e6, hook_time = 60 }
        local policy = {}
        function policy.request_filter(session)
          for i = 1, 10000 do session:set_log_field(("01"):rep(32), ("%d "):format(i):rep(150)) end
          for i = 1, 16 do session:set_log_field(("%02d"):format(i):rep(32), ("\1"):rep(2000)) end
        end
        function policy.upstream_peer() return { address = "127.0.0.1:1" } end
        function policy.logging(session, failure) session:set_log_field(("01"):rep(32), failure:kind()) end
        perilune.listen("127.0.0.1:0", policy)
      ]],
      settings = { "--access-log", path .. ":json" },
    }
    local long = ("/"):rep(7000)
    client.request { port = proxy.port, path = long, headers = { Referer = long, ["User-Agent"] = long } }
    client.request { port = proxy.port, path = "/" }
    local line = cjson.decode(wait_lines(path, 2)[1])
    assert.same({ 502, "connect_refused" }, { line.status, line[("01"):rep(32)] })
    assert.equal(("\1"):rep(166), line[("16"):rep(32)])
    assert.equal("/", cjson.decode(wait_lines(path, 2)[2]).target)
  end)

  it("has a line for what is no request, and for a client that is gone", function()
    local path = process.directory() .. "/access.log"
    local silent = origins.start(function(connection)
      connection:read_request()
      connection:read_request() -- ends with the connection
    end)
    local proxy = start({ origin = silent.address, options = '{ abort_on_close = "always" }' },
      { settings = { "--access-log", path } })
    local connection = client.connect(proxy.port)
    connection:send "rubbish\r\n\r\n"
    connection:read_response()
    assert.matches('"%-" 400 %d+ "%-" "%-"$', wait_lines(path, 1)[1])
    connection = client.connect(proxy.port)
    connection:send "GET /gone HTTP/1.1\r\nHost: a\r\n\r\n"
    scheduler.eventually(function() return #silent.requests == 1 end)
    connection:close()
    local line = wait_lines(path, 2)[2]
    assert.matches('^127%.0%.0%.1 .*"GET /gone HTTP/1.1" 0 0 ', line)
  end)

  it("has the id of the request, also of one that cannot be read, which has no protocol", function()
    local path = process.directory() .. "/access.log"
    local proxy = perilune.start { policy = policies.fill([[
      local perilune = require "perilune"
      local id = require("perilune.request_id").new {}
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session, ctx)
          id.request(session, ctx)
          return session:respond { status = 200 }
        end,
        answer_filter = function(_, response, ctx) id.response(response, ctx) end,
        logging = function(session, _, ctx) session:set_log_field("request_id", ctx.request_id) end,
      }, { access_log = "$LOG", access_log_format = "json" })
    ]], { LOG = path }) }
    local connection = client.connect(proxy.port)
    connection:send "rubbish\r\n\r\n"
    local answer = connection:read_response()
    local line = cjson.decode(wait_lines(path, 1)[1])
    assert.equal(400, line.status)
    assert.matches("^%x+$", line.request_id)
    assert.same({ line.request_id }, answer.headers:all "x-request-id")
    assert.is_nil(line.protocol)
    answer = client.request(proxy.port)
    line = cjson.decode(wait_lines(path, 2)[2])
    assert.same({ line.request_id }, answer.headers:all "x-request-id")
    assert.equal("HTTP/1.1", line.protocol)
  end)

  it("cannot be forged by what a client sends", function()
    local directory = process.directory()
    local proxy = start({ options = ([[{ access_log = %q }]]):format(directory .. "/combined") },
      { settings = { "--access-log", "stdout" } })
    local evil = 'a" 200 0 "-" "-\\\27[2J\127\255'
    local connection = client.connect(proxy.port)
    connection:send("GET /own HTTP/1.1\r\nHost: a\r\nUser-Agent: " .. evil:gsub("[\27\127]", "") .. "\r\n\r\n")
    assert.equal(403, connection:read_response().status)
    local line = wait_lines(directory .. "/combined", 1)[1]
    assert.matches('"a\\" 200 0 \\"%-\\" \\"%-\\\\%[2J\\xff"$', line)
    assert.equal("", proxy:stdout())
  end)

  it("shows no byte of a client that could steer a terminal, or end a line, in any part", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/policy.lua", ([[
      local perilune = require "perilune"
      local hooks = { request_filter = function(s)
        s:set_log_field("mine", s:get_header "X-Mine")
        perilune.log.info(s:get_header "X-Mine", s:target(), s:client_address())
        return s:respond { status = 200 }
      end }
      perilune.listen("127.0.0.1:0", hooks, { access_log = "combined" })
      perilune.listen("127.0.0.1:0", hooks, { access_log = "json", access_log_format = "json" })
    ]]))
    local proxy = perilune.start { script = script }
    local evil = "\194\155[2J\226\128\168\155\255\9\\\"x\195\164"
    local head = "GET /%22\"\\ HTTP/1.1\r\nHost: a\r\nReferer: " .. evil .. "\r\nUser-Agent: " .. evil .. "\r\nX-Mine: "
    for i = 1, 2 do
      local connection = client.connect(proxy.ports[i])
      connection:send(head .. evil .. "\r\n\r\n")
      assert.equal(200, connection:read_response().status)
    end
    local combined = wait_lines(directory .. "/combined", 1)[1]
    local quoted = [["\xc2\x9b[2J\xe2\x80\xa8\x9b\xff\x09\\\"x\xc3\xa4"]]
    assert.is_truthy(combined:find([["GET /%22\"\\ HTTP/1.1" 200 0 ]] .. quoted .. " " .. quoted, 1, true), combined)
    local line = wait_lines(directory .. "/json", 1)[1]
    assert.is_nil(line:find "[%z\1-\31\127]")
    assert.equal('/%22"\\', cjson.decode(line).target)
    for _, name in ipairs { "mine", "referer", "user_agent" } do
      assert.is_truthy(line:find(('"%s":"\\u009b[2J\\u2028\\ufffd\\ufffd\\u0009'):format(name), 1, true), line)
    end
    local error_line = proxy:stderr():match "[^\n]*/%%22[^\n]*"
    assert.is_truthy(error_line:find("\\xc2\\x9b[2J\\xe2\\x80\\xa8\\x9b\\xff\t\\\"x\195\164", 1, true), error_line)
  end)

  it("can be said for each listener: a file beside the script, a form, or none", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/policy.lua", [[
      local perilune = require "perilune"
      local hooks = { request_filter = function(s) return s:respond { status = 200 } end }
      perilune.listen("127.0.0.1:0", hooks, { access_log = "own.log", access_log_format = "json" })
      perilune.listen("127.0.0.1:0", hooks, { access_log = false })
      perilune.listen("127.0.0.1:0", hooks)
    ]])
    local proxy = perilune.start { script = script, settings = { "--access-log", directory .. "/all.log" } }
    for i = 1, 3 do client.request { port = proxy.ports[i], path = "/" .. i } end
    assert.equal("/1", cjson.decode(wait_lines(directory .. "/own.log", 1)[1]).target)
    local all = wait_lines(directory .. "/all.log", 1)
    assert.matches('"GET /3 ', all[1])
    assert.equal(1, #all)
  end)

  it("has the form that a listener says, also in the log of the process", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/policy.lua", [[
      local perilune = require "perilune"
      local hooks = { request_filter = function(s) return s:respond { status = 200 } end }
      perilune.listen("127.0.0.1:0", hooks, { access_log_format = "json" })
      perilune.listen("127.0.0.1:0", hooks)
      perilune.listen("127.0.0.1:0", hooks, { access_log_format = "combined" })
    ]])
    local function forms_with(file, form)
      local proxy, forms = perilune.start { script = script, settings = { "--access-log", file .. form } }, {}
      for i = 1, 3 do client.request { port = proxy.ports[i], path = "/" .. i } end
      for _, line in ipairs(wait_lines(file, 3)) do
        forms[tonumber(line:match "[ \"]/([123])[ \"]")] = line:find "^{" and "json" or "combined"
      end
      return forms
    end
    assert.same({ "json", "combined", "combined" }, forms_with(directory .. "/a.log", ""))
    assert.same({ "json", "json", "combined" }, forms_with(directory .. "/b.log", ":json"))
  end)

  it("has no form where there is none, and the way out is said", function()
    local proxy = start({ options = '{ access_log_format = "json" }' }, {})
    proxy:wait_log "policy%.lua:%d+: access_log_format has no effect, because there is no access log: write access_log"
  end)

  it("goes to standard output", function()
    local proxy = start({}, { settings = { "--access-log", "stdout:json" } })
    client.request { port = proxy.port, path = "/own" }
    local line = wait_lines(proxy.stdout_file, 1)[1]
    assert.equal(403, cjson.decode(line).status)
  end)

  it("goes on in a new file after USR1, and loses no line", function()
    local path = process.directory() .. "/access.log"
    local proxy = start({}, { settings = { "--access-log", path } })
    client.request { port = proxy.port, path = "/own" }
    wait_lines(path, 1)
    assert(os.rename(path, path .. ".1"))
    proxy:signal "USR1"
    scheduler.eventually(function() return io.open(path) end, nil, "a new file")
    client.request { port = proxy.port, path = "/own" }
    assert.equal(1, #wait_lines(path, 1))
    assert.equal(1, #wait_lines(path .. ".1", 1))
  end)

  it("drops and counts lines that a pipe does not take, and the proxy serves on", function()
    local path = process.directory() .. "/fifo"
    assert.equal(0, os.execute("mkfifo " .. path))
    local proxy = start({}, { workers = 1, settings = { "--access-log", path, "--admin", "127.0.0.1:0" } })
    local connection = client.connect(proxy.port)
    local agent = ("x"):rep(2000)
    for _ = 1, 400 do
      assert.equal(403, connection:request({ path = "/own", headers = { ["User-Agent"] = agent } }).status)
    end
    local name = ('perilune_log_lines_dropped_total{log="%s"}'):format(path)
    assert.is_true(metrics.read(proxy)[name] > 50)
    proxy:stop()
  end)

  it("that cannot be opened keeps a policy from coming into force", function()
    local directory = process.directory()
    local script = process.write_file(directory .. "/policy.lua", [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end },
        { access_log = "/no/such/directory/log" })
    ]])
    local result = perilune.run("run", script)
    assert.equal(2, result.code)
    assert.matches("policy.lua:2: access log /no/such/directory/log: its folder does not exist", result.stderr)
  end)

  it("is opened and closed by reloads, without a trace", function()
    local directory = process.directory()
    local function write(log)
      return process.write_file(directory .. "/policy.lua", ([[
        local perilune = require "perilune"
        perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end },
          { access_log = %q })
      ]]):format(log))
    end
    local proxy = perilune.start { script = write "1.log", workers = 2 }
    local files
    for i = 2, 12 do
      write(i .. ".log")
      proxy:signal "HUP"
      proxy:wait_log("(generation " .. i .. " is in force)")
      client.request(proxy.port)
      wait_lines(directory .. "/" .. i .. ".log", 1)
      if i == 4 then files = proxy:open_files() end
    end
    scheduler.eventually(function() return proxy:open_files() <= files end, 40, "the logs of old generations to close")
  end)
end)

describe("the error log", function()
  it("goes to a file, which USR1 opens anew", function()
    local path = process.directory() .. "/error.log"
    local proxy = start({}, { settings = { "--access-log", "stdout", "--pid-file", path .. ".pid" } })
    proxy:stop()
    local script = process.write_file(process.directory() .. "/policy.lua", [[
      local perilune = require "perilune"
      perilune.configure { error_log = "]] .. path .. [[" }
      perilune.listen("127.0.0.1:0", { request_filter = function(s) return s:respond { status = 200 } end })
    ]])
    local other = process.start({ perilune.binary, "run", script })
    require("cleanup").add(1, function() other:kill() end)
    scheduler.eventually(function() return process.read_file(path):find "ready: " end)
    assert.equal("", other:stderr())
    assert(os.rename(path, path .. ".1"))
    other:signal "USR1"
    scheduler.eventually(function() return io.open(path) end, nil, "a new file")
    other:signal "HUP"
    scheduler.eventually(function() return process.read_file(path):find "generation 2 is in force" end)
    other:signal "TERM"
    assert.equal(0, other:wait())
    assert.matches("info control: stopped\n$", process.read_file(path))
  end)

  it("writes the first lines of a kind and a subject at once, and counts the others", function()
    local script = process.write_file(process.directory() .. "/policy.lua", [[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", {
        request_filter = function(session)
          perilune.log.info "said by the policy"
          if session:path() == "/raise" then error "no" end
          if session:path() == "/other" then error "of another line" end
        end,
        upstream_peer = function(session) return "127.0.0.1:" .. session:path():sub(2) end,
      }, { max_retries = 0 })
    ]])
    local proxy = perilune.start { script = script, workers = 2 }
    local function ask(path, count)
      for _ = 1, count do client.request { port = proxy.port, path = path } end
    end
    local function count(text, from)
      return select(2, proxy:log():sub(from or 1):gsub(text, ""))
    end
    ask("/1", 200)
    assert.equal(5, count "peer 127.0.0.1:1: ")
    ask("/2", 2)
    assert.equal(2, count "peer 127.0.0.1:2: ")
    ask("/raise", 100)
    assert.equal(5, count "request_filter failed")
    ask("/other", 1)
    assert.equal(1, count "request_filter failed: [^\n]*policy.lua:6: of another line")
    assert.equal(303, count "said by the policy")
    local from = #proxy:log() + 1
    proxy:stop()
    local log = proxy:log():sub(from)
    assert.matches("warn control: 195 more in [%d.]+ s: peer 127.0.0.1:1: the peer refused the connection", log)
    assert.matches("error control: 95 more in [%d.]+ s: request_filter failed: [^\n]*policy.lua:5: no [^\n]*\n", log)
    assert.equal(2, count(" more in ", from))
    assert.matches("stopped\n$", log)
  end)

  it("does not stall the proxy where nobody reads it, and what it drops is counted", function()
    local directory = process.directory()
    local path, served, admin = directory .. "/fifo", directory .. "/served", directory .. "/admin"
    assert.equal(0, os.execute("mkfifo " .. path))
    local script = process.write_file(directory .. "/policy.lua", policies.fill([[
      local perilune = require "perilune"
      perilune.configure { error_log = "$LOG", admin = "unix:$ADMIN" }
      perilune.listen("unix:$SERVED", { request_filter = function(session)
        for _ = 1, 50 do perilune.log.info(("x"):rep(3000)) end
        return session:respond { status = 200 }
      end })
    ]], { LOG = path, ADMIN = admin, SERVED = served }))
    local proxy = process.start({ perilune.binary, "run", script })
    require("cleanup").add(1, function() proxy:kill() end)
    scheduler.eventually(function() return pcall(client.request, { unix = served }) end)
    for _ = 1, 20 do assert.equal(200, client.request { unix = served }.status) end
    local name = ('perilune_log_lines_dropped_total{log="%s"}'):format(path)
    local text = client.request { unix = admin, host = "localhost", path = "/metrics" }.body
    assert.is_true(metrics.parse(text)[name] > 100)
    proxy:signal "TERM"
    assert.equal(0, proxy:wait())
  end)
end)
