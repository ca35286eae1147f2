-- SPDX-License-Identifier: Apache-2.0
-- What this machine lacks: descriptors, memory, ports. It is no fault of a peer, nobody gets an error for it who can
-- wait, and what keeps the proxy manageable goes on.
local client = require "client"
local metrics = require "metrics"
local name_server = require "name_server"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local preload = require "preload"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

--- An origin that answers after a moment.
local function slow_origin(seconds)
  return origins.start(function(connection)
    while connection:read_request() do
      connection:sleep(seconds)
      connection:respond { body = "hello" }
    end
  end)
end

--- A proxy with few descriptors.
local function start(options)
  options.policy = policies.fill([[
    local perilune = require "perilune"
    local set = require("perilune.round_robin").new { "$ORIGIN", passive = { failures = 1 } }
    require("perilune.health_check").tcp(set, { interval = 0.05 })
    perilune.listen("127.0.0.1:0", { upstream_peer = function() return set:select() end }, $OPTIONS)
  ]], { ORIGIN = options.origin.address, OPTIONS = options.listen or "{}" })
  options.workers = options.workers or 2
  options.settings = { "--admin", "127.0.0.1:0", "--socket", process.directory() .. "/commands" }
  options.under = { "prlimit", ("--nofile=%d:%d"):format(options.descriptors, options.descriptors) }
  local proxy = perilune.start(options)
  proxy.commands = options.settings[4]
  return proxy
end

--- What `count` clients got that ask at the same time, by status.
local function ask_together(proxy, count, headers)
  local statuses, connections, bodies = {}, {}, {}
  for i = 1, count do
    connections[i] = client.connect(proxy.port)
    connections[i]:send_request { headers = headers }
  end
  for i = 1, count do
    bodies[i] = function()
      local response = connections[i]:read_final_response("GET", 30)
      local status = response and response.status or 0
      statuses[status] = (statuses[status] or 0) + 1
      if headers then connections[i]:close() end
    end
  end
  return statuses, bodies
end

describe("a shortage of descriptors", function()
  it("fails no request: who comes waits, and metrics, status, commands and a reload work meanwhile", function()
    local proxy = start { origin = slow_origin(0.02), descriptors = 128 }
    for _, headers in ipairs { { Connection = "close" }, {} } do
      local statuses, bodies = ask_together(proxy, 250, headers)
      bodies[#bodies + 1] = function()
        assert.is_true(metrics.read(proxy).perilune_workers == 2)
        assert.equal("number", type(metrics.status(proxy).connections))
        assert.equal(0, perilune.run("reload", "--socket", proxy.commands).code)
      end
      scheduler.all(bodies, 40)
      assert.same({ [200] = 250 }, statuses)
    end
    local counted = metrics.read(proxy)
    assert.is_true(counted.perilune_accept_pauses_total > 0)
    assert.equal(0, counted['perilune_failures_total{kind="local_shortage",side="internal"}'])
    assert.is_nil(proxy:log():match "unhealthy" or proxy:log():match "ejected" or proxy:log():match "cannot accept")
  end)

  it("gives up spare connections and idle clients, the idlest first, and only while somebody waits for room", function()
    local proxy = start { origin = origins.start "hello", descriptors = 96, workers = 1 }
    local idle, announced = {}, 0
    for i = 1, 100 do -- one after another, so that one is enough for the next
      idle[i] = client.connect(proxy.port)
      local response = idle[i]:request()
      assert.equal(200, response.status)
      if response.headers.connection == "close" then announced = announced + 1 end
    end
    assert.is_true(idle[1]:is_closed(0))
    local given_up = metrics.read(proxy).perilune_connections_given_up_total
    assert.is_true(given_up > 0 and given_up < 60 and announced > 0, given_up .. " and " .. announced)
    assert.matches("given up after %d+ ms in which it asked nothing: there is no room", proxy:log())
  end)

  it("does not give up a client whose request is under way", function()
    local proxy = start { origin = slow_origin(0.5), descriptors = 96, workers = 1 }
    local statuses, bodies = ask_together(proxy, 120, { Connection = "close" })
    scheduler.all(bodies, 40)
    assert.same({ [200] = 120 }, statuses)
  end)
end)

--- A library that lets calls fail while a file is there, whose name is of the call: "socket" or "connect".
local function failing_library()
  return preload.failing [[
    #include <errno.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    #include <unistd.h>
    int socket(int domain, int type, int protocol) {
      int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
      if (domain == AF_INET && is_on("socket")) { errno = ENOBUFS; return -1; }
      return real(domain, type, protocol);
    }
    int connect(int fd, const struct sockaddr *to, socklen_t length) {
      int (*real)(int, const struct sockaddr *, socklen_t) = (int (*)(int, const struct sockaddr *, socklen_t))
        dlsym(RTLD_NEXT, "connect");
      if (to->sa_family == AF_INET && is_on("connect")) { errno = EADDRNOTAVAIL; return -1; }
      return real(fd, to, length);
    }
  ]]
end

describe("what fails for want of ports or memory on this machine", function()
  local function start_failing(passive)
    local env, directory = failing_library()
    local proxy = perilune.start {
      release = true,
      env = env,
      workers = 1,
      settings = { "--admin", "127.0.0.1:0" },
      policy = policies.fill([[
        local perilune = require "perilune"
        local set = require("perilune.round_robin").new { $PEERS, passive = { failures = 1 },
          retry_budget = { share = 0.01, min = 1 } }
        require("perilune.health_check").$KIND(set, { interval = 0.05 })
        perilune.listen("127.0.0.1:0", {
          upstream_peer = function() return { address = set:select(), connect_timeout = 0.3, idle_timeout = 0 } end,
          fail_to_connect = function(_, _, _, error)
            perilune.log.info("failed:", error:kind(), error:side())
          end,
        })
      ]], passive),
    }
    return proxy, function(call) return process.write_file(directory .. "/" .. call, "") end
  end

  for call, kind in pairs { connect = "no_port", socket = "local_shortage" } do
    it(("is waited for, then answered with 503, and counts against no backend (%s)"):format(kind), function()
      local a, b = origins.start "a", origins.start "b"
      local proxy, fail = start_failing {
        PEERS = ('"%s", "%s"'):format(a.address, b.address), KIND = call == "connect" and "tcp" or "http",
      }
      assert.equal(200, client.request(proxy.port).status)
      local file = fail(call)
      proxy:wait_log "cannot be checked: [^\n]+; its health stays as it is"
      for _ = 1, 3 do assert.equal(503, client.request(proxy.port).status) end
      assert.matches("failed: " .. kind .. " internal", proxy:log())
      local waiting = client.connect(proxy.port)
      waiting:send_request {}
      scheduler.sleep(0.03)
      os.remove(file)
      assert.equal(200, waiting:read_final_response("GET").status) -- at once, without another try of the client
      for _ = 1, 4 do assert.equal(200, client.request(proxy.port).status) end
      assert.is_nil(proxy:log():match "unhealthy" or proxy:log():match "ejected" or proxy:log():match "budget")
    end)
  end
end)

describe("a name that cannot be asked for, for want of descriptors or memory,", function()
  it("is no fault of its backend, nor of its name server", function()
    local env, directory = failing_library()
    local origin = origins.start "hello"
    local server = name_server.start { ["app.test"] = { A = { "127.0.0.1" }, AAAA = {} } }
    local proxy = perilune.start { release = true, env = env, workers = 1, policy = policies.fill([[
      local perilune = require "perilune"
      perilune.dns.set_servers "$SERVER"
      local set = require("perilune.round_robin").new { "app.test:$PORT", passive = { failures = 1 } }
      perilune.listen("127.0.0.1:0", {
        upstream_peer = function() return { address = set:select(), connect_timeout = 0.5, family = "ipv4" } end,
        fail_to_connect = function(_, _, _, error) perilune.log.info("failed:", error:kind(), error:side()) end,
      })
    ]], { SERVER = server.address, PORT = tostring(origin.port) }) }
    local file = process.write_file(directory .. "/socket", "")
    assert.equal(503, client.request(proxy.port).status)
    proxy:wait_log "failed: local_shortage internal"
    os.remove(file)
    assert.equal("hello", client.request(proxy.port).body)
    assert.is_nil(proxy:log():match "ejected")
  end)
end)

describe("an error of the policy", function()
  it("ejects no backend, whichever hook raises it", function()
    local origin = origins.start "hello"
    local proxy = perilune.start {
      workers = 1,
      policy = policies.fill([[
        local perilune = require "perilune"
        local set = require("perilune.round_robin").new { "$ORIGIN", passive = { failures = 1 } }
        local function raise(hook)
          return function(session) if session:path() == "/" .. hook then error "deliberate" end end
        end
        local hooks = { upstream_peer = function(session)
          local address = set:select()
          if session:path() == "/upstream_peer" then error "deliberate" end
          return address
        end }
        for _, hook in ipairs { $HOOKS } do hooks[hook] = raise(hook) end
        perilune.listen("127.0.0.1:0", hooks)
      ]], { ORIGIN = origin.address, HOOKS = '"connected_to_upstream", "upstream_request_filter", ' ..
        '"upstream_response_filter", "response_filter"' }),
    }
    for _, hook in ipairs { "upstream_peer", "connected_to_upstream", "upstream_request_filter",
      "upstream_response_filter", "response_filter" } do
      for _ = 1, 3 do assert.equal(500, client.request { port = proxy.port, path = "/" .. hook }.status, hook) end
      assert.equal(200, client.request(proxy.port).status, hook)
    end
    assert.is_nil(proxy:log():match "ejected")
  end)
end)
