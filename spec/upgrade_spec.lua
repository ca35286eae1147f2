-- SPDX-License-Identifier: Apache-2.0
-- An upgrade hands the listening sockets to a fresh process; a stop answers what is under way. Neither loses a request.
local client = require "client"
local cleanup = require "cleanup"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

local POLICY, command = running.POLICY, running.command

local function start(words, policy) return running.start { words = words, policy = policy } end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

describe("perilune upgrade", function()
  it("hands over to a new process, which serves on the same port; the old one ends", function()
    local proxy, pid_file = start()
    local before = read(pid_file)
    local result = command(pid_file, "upgrade")
    assert.equal(0, result.code, result.stderr)
    assert.not_equal(before, read(pid_file))
    assert.equal("ok", client.request(proxy.port).body)
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.equal(0, command(pid_file, "stop").code)
  end)

  it("hands over the status page", function()
    for _, address in ipairs { "127.0.0.1:0", "unix:" .. process.directory() .. "/admin" } do
      local proxy, pid_file = start { "--admin", address }
      local result = command(pid_file, "upgrade")
      assert.equal(0, result.code, result.stderr)
      scheduler.eventually(function() return proxy:exit_code() == 0 end)
      local place = { port = proxy.admin_port, unix = address:match "^unix:(.+)", host = "localhost" }
      assert.equal(200, client.request(place).status)
      assert.equal(0, command(pid_file, "stop").code)
    end
  end)

  it("hands over the command socket, where that has a path", function()
    local socket = process.directory() .. "/commands"
    local proxy = start { "--socket", socket }
    for _ = 1, 2 do
      local result = perilune.run("upgrade", "--socket", socket)
      assert.equal(0, result.code, result.stderr)
    end
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.matches("generation +1", perilune.run("status", "--socket", socket).stdout)
    assert.equal(0, perilune.run("stop", "--socket", socket).code)
    assert.is_nil(io.open(socket))
  end)

  it("costs no request, three times under load", function()
    local proxy, pid_file = start()
    local done = false
    local bodies = { function()
      local codes = {}
      for i = 1, 3 do codes[i] = command(pid_file, "upgrade").code end
      done = true
      return table.concat(codes, " ")
    end }
    for _ = 1, 4 do
      bodies[#bodies + 1] = function()
        local failed, connection = 0, client.connect(proxy.port)
        while not done do
          local response = connection:request()
          if response.body ~= "ok" then failed = failed + 1 end
          if response.headers.connection == "close" then connection = client.connect(proxy.port) end
          if client.request(proxy.port).body ~= "ok" then failed = failed + 1 end
        end
        return failed
      end
    end
    assert.same({ "0 0 0", 0, 0, 0, 0 }, scheduler.all(bodies, 300))
  end)

  it("lets the old process finish what is under way", function()
    local proxy, pid_file = start()
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    proxy:wait_log "(it has begun)"
    assert.equal(0, command(pid_file, "upgrade").code)
    assert.is_nil(proxy:exit_code())
    proxy.go()
    assert.equal("ok", connection:read_response().body)
  end)

  it("ends with the service: a stop is for those that still drain, too", function()
    for _, signal in ipairs { "TERM", "KILL" } do
      local proxy, pid_file = start { "--grace", "0.5" }
      local connection = client.connect(proxy.port)
      connection:send_request { path = "/slow" }
      scheduler.eventually(function() return command(pid_file, "status").stdout:find "[^%d]1 under way" end)
      for _ = 1, 2 do assert.equal(0, command(pid_file, "upgrade").code) end
      assert.is_nil(proxy:exit_code())
      assert(os.execute(("kill -%s %s"):format(signal, read(pid_file))) == 0)
      scheduler.eventually(function() return proxy:exit_code() == 0 end)
      assert.matches("stopping with the process that serves, within 0.5 s", proxy:log())
      os.remove(pid_file)
    end
  end)

  -- With a request under way in the first of three processes; `body` runs while `stop` waits.
  local function stop_after_upgrades(body)
    local proxy, pid_file = start { "--grace", "60" }
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    proxy:wait_log "(it has begun)"
    for _ = 1, 2 do assert.equal(0, command(pid_file, "upgrade").code) end
    local has_ended = false
    scheduler.all({
      function()
        assert.equal("stopped\n", command(pid_file, "stop").stdout)
        has_ended = true
        assert.equal(0, proxy:ended(5))
      end,
      function()
        proxy:wait_log "(stopping with the process that serves)"
        assert.equal(0, command(pid_file, "status").code)
        assert.is_false(has_ended)
        body(proxy, connection, pid_file)
      end,
    }, 40)
  end

  it("is followed by a stop that waits for the older process, too, however many upgrades ago it served", function()
    stop_after_upgrades(function(proxy, connection)
      proxy.go()
      assert.equal("ok", connection:read_response().body)
    end)
  end)

  it("is followed by a stop at once that ends the older process at once", function()
    stop_after_upgrades(function(proxy, _, pid_file)
      assert.equal("stopped\n", command(pid_file, "stop", "--now").stdout)
      assert.equal(0, proxy:ended(5))
    end)
  end)

  it("leaves the old process in charge when the new one does not come up, and says so", function()
    local proxy, pid_file, path = start()
    process.write_file(path, "this is no policy")
    local result = command(pid_file, "upgrade")
    assert.equal(1, result.code)
    assert.matches("policy%.lua:1:", result.stderr)
    assert.equal("ok", client.request(proxy.port).body)
    assert.matches("this process goes on", proxy:log())
  end)

  it("says what of the policy's shared state begins anew, where there is some, in its answer and in the log", function()
    local proxy, pid_file = start(nil, POLICY .. [[
      perilune.dict "sessions"
      perilune.dict "switches"
      perilune.rate "hits"
      for i = 1, 7 do perilune.counter("c" .. i) end
      require("perilune.round_robin").new { "127.0.0.1:1", name = "api" }
      require("perilune.rate_limit").new { name = "limit", by = "address", max = 1 }
    ]])
    local expected = "begins anew in the successor: 2 dicts (sessions, switches), 1 rate (hits), "
      .. "7 counters (c1, c2, c3, c4, c5 and 2 more), 1 rate limit (limit), 1 set of backends (api)"
    local result = command(pid_file, "upgrade")
    assert.equal("upgraded: now process N\n  " .. expected .. "\n", (result.stdout:gsub("%d+", "N", 1)))
    assert.truthy(proxy:log():find("upgrade: " .. expected, 1, true), proxy:log())
  end)

  it("says nothing of shared state where the policy has none", function()
    local proxy, pid_file = start()
    local said = command(pid_file, "upgrade").stdout
    assert.equal(("upgraded: now process %d\n"):format(tonumber(process.read_file(pid_file))), said)
    assert.is_nil(proxy:log():find("begins anew", 1, true))
  end)

  it("happens on USR2 as well", function()
    local proxy, pid_file = start()
    local before = read(pid_file)
    proxy:signal "USR2"
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.not_equal(before, read(pid_file))
    assert.equal("ok", client.request(proxy.port).body)
  end)
end)

describe("perilune stop", function()
  it("answers what is under way, with Connection: close, and then ends", function()
    local proxy, pid_file = start()
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    proxy:wait_log "(it has begun)"
    local results = scheduler.all {
      function() return command(pid_file, "stop") end,
      function()
        proxy:wait_log "stopping gracefully"
        proxy.go()
        return connection:read_response()
      end,
    }
    assert.equal(0, results[1].code)
    assert.equal("ok", results[2].body)
    assert.equal("close", results[2].headers.connection)
    assert.equal(0, proxy:wait())
    assert.is_nil(io.open(pid_file))
  end)

  it("ends at the latest when the grace period is over", function()
    local origin = origins.start(function(connection) connection:read_request() connection:sleep(30) end)
    local proxy, pid_file = start({ "--grace", "0.3" }, ([[
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return "%s" end })
    ]]):format(origin.address))
    local connection = client.connect(proxy.port)
    connection:send_request {}
    scheduler.eventually(function() return #origin.requests == 1 end)
    assert.equal(0, command(pid_file, "stop").code)
    assert.matches("grace period is over, closing what is still open", proxy:log())
    assert.is_nil(proxy:log():find("close-old", 1, true))
  end)

  it("--now does not wait", function()
    local proxy, pid_file = start()
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    assert.equal(0, command(pid_file, "stop", "--now").code)
    assert.equal(0, proxy:wait())
  end)

  it("ends at the latest five seconds behind its time, although a hook never does", function()
    local thread_sanitizer = (os.getenv "TSAN_OPTIONS" or "") .. ":report_thread_leaks=0" -- it is left behind by intent
    local proxy, pid_file = running.start { env = { TSAN_OPTIONS = thread_sanitizer }, policy = [[
      local perilune = require "perilune"
      perilune.configure { hook_time = 60 }
      perilune.listen("127.0.0.1:0", { request_filter = function()
        perilune.log.info "it has begun"
        while true do end
      end })
    ]] }
    client.connect(proxy.port):send_request { path = "/" }
    proxy:wait_log "(it has begun)"
    proxy:signal "INT"
    assert.equal(1, proxy:ended())
    assert.matches("1 worker does not come back to the loop", proxy:log())
    assert.is_nil(io.open(pid_file))
  end)

  it("--now ends a stop that is under way, of which some workers have ended", function()
    local proxy = start()
    local connection = client.connect(proxy.port)
    connection:send_request { path = "/slow" }
    proxy:wait_log "it has begun"
    proxy:signal "TERM"
    proxy:wait_log "(stopping gracefully)"
    proxy:signal "INT"
    assert.equal(0, proxy:ended(5))
  end)

  it("takes the files of its unix sockets away", function()
    local socket = process.directory() .. "/socket"
    local proxy = perilune.start { policy = (POLICY:gsub("127.0.0.1:0", "unix:" .. socket)) }
    assert.equal("ok", client.request { unix = socket }.body)
    proxy:stop()
    assert.is_nil(io.open(socket))
  end)
end)

describe("perilune status", function()
  it("tells the policy, the generation and where it listens", function()
    local proxy, pid_file, path = start()
    local result = command(pid_file, "status")
    assert.equal(0, result.code, result.stderr)
    for _, fact in ipairs { (path:gsub("%-", "%%-")), "generation +1", "127.0.0.1:" .. proxy.port } do
      assert.matches(fact, result.stdout)
    end
  end)

  it("says so when no proxy answers", function()
    local result = perilune.run("status", "--pid-file", "/nonexistent/pid")
    assert.equal(1, result.code)
    assert.matches("/nonexistent/pid", result.stderr)
  end)
end)

describe("perilune upgrade with 4,200 listening sockets", function()
  it("hands all of them over", function()
    local listeners, workers = 1050, 4
    local policy = POLICY .. ([[
      for i = 2, %d do
        perilune.listen("127.0.0.1:0", { request_filter = function(session)
          return session:respond { status = 200, body = tostring(i) }
        end })
      end
    ]]):format(listeners)
    local proxy, pid_file = running.start { policy = policy, workers = workers, release = true }
    assert.equal(listeners, #proxy.ports)
    local result = command(pid_file, "upgrade")
    assert.equal(0, result.code, result.stderr)
    assert.equal(0, proxy:wait())
    for i = 2, listeners, 131 do assert.equal(tostring(i), client.request(proxy.ports[i]).body) end
    assert.equal(tostring(listeners), client.request(proxy.ports[listeners]).body)
    assert.equal(0, command(pid_file, "stop").code)
  end)
end)

describe("perilune run --daemon", function()
  it("returns once the policy serves, and goes on in the background", function()
    local directory = process.directory()
    local policy = POLICY:gsub("127.0.0.1:0", "unix:" .. directory .. "/s")
    local path = process.write_file(directory .. "/policy.lua", policy)
    local pid_file = directory .. "/pid"
    local result = perilune.run("run", "--daemon", "--pid-file", pid_file, path)
    cleanup.add(1, function() if io.open(pid_file) then command(pid_file, "stop", "--now") end end)
    assert.equal(0, result.code, result.stderr)
    assert.equal("ok", client.request { unix = directory .. "/s" }.body)
    assert.equal(0, command(pid_file, "stop").code)
    assert.is_nil(io.open(pid_file))
  end)

  it("fails as without it when the policy is broken", function()
    local path = process.write_file(process.directory() .. "/policy.lua", "x x")
    local result = perilune.run("run", "--daemon", path)
    assert.equal(2, result.code)
    assert.matches("policy%.lua:1:", result.stderr)
  end)
end)

describe("perilune.configure", function()
  local function print_config(settings, ...)
    local path = process.write_file(process.directory() .. "/policy.lua",
      "require('perilune').configure" .. settings .. "\n" .. POLICY)
    return perilune.run("run", "--print-config", ..., path)
  end

  it("sets what the command line does not, and --print-config says where each value came from", function()
    local result = print_config("{ workers = 3, grace = 2.5 }", "--watch")
    assert.equal(0, result.code, result.stderr)
    assert.matches("workers +3 +policy, .*policy%.lua:1", result.stdout)
    assert.matches("grace +2.5 +policy", result.stdout)
    assert.matches("watch +true +command line", result.stdout)
    assert.matches("log_level +info +default", result.stdout)
  end)

  it("names an unknown setting and the valid ones, and a value that is impossible", function()
    local result = print_config("{ wrokers = 3 }", "--watch")
    assert.equal(2, result.code)
    assert.matches("policy%.lua:1: .*wrokers.*valid are.*workers", result.stderr)
    assert.matches("workers wants a whole number", print_config("{ workers = 'x' }", "--watch").stderr)
  end)
end)
