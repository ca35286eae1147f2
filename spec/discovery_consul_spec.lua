-- SPDX-License-Identifier: Apache-2.0
-- Backends that are instances of a service of Consul: a scripted server says what Consul's documents say.
local cjson = require "cjson"
local discovered = require "discovered"
local metrics = require "metrics"
local origins = require "origins"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function instance(host, port, more)
  local all = { Node = { Node = "n", Address = "127.0.0.99" }, Service = { ID = "app-" .. port, Address = host,
    Port = port, Weights = { Passing = 1, Warning = 1 } }, Checks = { { Status = "passing" } } }
  for name, value in pairs(more or {}) do
    if name == "status" then all.Checks[2] = { Status = value } else all.Service[name] = value end
  end
  return all
end

local function answer(index, ...)
  local list = { ... }
  return { headers = { ["X-Consul-Index"] = index and tostring(index) or nil },
    body = #list > 0 and cjson.encode(list) or "[]" }
end

-- A Consul: `script` is what it answers, one after another; false: nothing, until origin.go says so; the last one is
-- said for ever.
local function consul(script)
  local origin
  origin = origins.start(function(connection)
    while connection:read_request() do
      local says = script[math.min(#origin.requests, #script)]
      if says == false then
        scheduler.wait_until(function() return origin.go end, scheduler.deadline(60))
        says = origin.go
        if not says then return end
      end
      connection:respond(says)
    end
  end)
  return origin
end

local function follow(origin, more)
  return ('discovery.consul(upstreams, "app", { address = "http://%s"%s })'):format(origin.address, more or "")
end

describe("backends that are instances of a service of Consul", function()
  it("are the healthy ones, at the service's address or the node's, and follow each change", function()
    local origin = consul {
      answer(7, instance("127.0.0.1", 1), instance("", 2), instance("127.0.0.1", 3, { status = "warning" }),
        instance("127.0.0.1", 4, { status = "critical" }), instance("::1", 5)),
      false,
    }
    local proxy = discovered.start(follow(origin, ', tag = "v 1", datacenter = "dc1"'))
    discovered.wait_list(proxy, "127.0.0.1:1", "127.0.0.99:2", "[::1]:5")
    scheduler.eventually(function() return #origin.requests == 2 end)
    assert.equal("/v1/health/service/app?dc=dc1&tag=v%201&passing=true&", origin.requests[1].target)
    assert.equal("/v1/health/service/app?dc=dc1&tag=v%201&passing=true&index=7&wait=55s", origin.requests[2].target)
    origin.go = answer(9, instance("127.0.0.1", 6))
    discovered.wait_list(proxy, "127.0.0.1:6")
  end)

  it("with a warning are taken where the policy says so", function()
    local origin = consul { answer(7, instance("127.0.0.1", 3, { status = "warning" }),
      instance("127.0.0.1", 4, { status = "critical" })), false }
    local proxy = discovered.start(follow(origin, ", passing = false, stale = true"))
    discovered.wait_list(proxy, "127.0.0.1:3")
    assert.matches("?stale&$", origin.requests[1].target)
  end)

  it("stay while a request waits, and after it without a change; an index that goes backwards is forgotten", function()
    local origin = consul { answer(7, instance("127.0.0.1", 1)), answer(7, instance("127.0.0.1", 1)),
      answer(3, instance("127.0.0.1", 2)), answer(4, instance("127.0.0.1", 3)), false }
    local proxy = discovered.start(follow(origin))
    discovered.wait_list(proxy, "127.0.0.1:3")
    scheduler.eventually(function() return #origin.requests == 5 end)
    local asked = {}
    for i, request in ipairs(origin.requests) do asked[i] = request.target:match "index=(%d+)" or "none" end
    assert.same({ "none", "7", "7", "none", "4" }, asked)
    assert.equal(3, metrics.status(proxy).discovery[1].changes)
  end)

  it("are not asked for without a pause, though a server answers at once", function()
    local origin = consul { answer(nil, instance("127.0.0.1", 1)) }
    local proxy = discovered.start(follow(origin))
    discovered.wait_list(proxy, "127.0.0.1:1")
    local from = #origin.requests
    scheduler.sleep(1)
    assert.is_true(#origin.requests - from <= 2)
  end)

  it("do not hold up a stop, nor a reload, by a request that waits", function()
    local first = answer(7, instance("127.0.0.1", 1))
    local origin = consul { first, false, first, false }
    local proxy = discovered.start(follow(origin))
    scheduler.eventually(function() return #origin.requests == 2 end)
    proxy:signal "HUP"
    proxy:wait_log "generation 2"
    scheduler.eventually(function() return #origin.requests == 4 and metrics.status(proxy).background == 1 end, 10)
    proxy:signal "TERM"
    proxy:wait(10)
  end)

  it("stay where what comes is no answer, which the log says", function()
    local good = answer(7, instance("127.0.0.1", 1))
    local cases = {
      ["it answered 500: No cluster leader"] = { status = 500, body = "No cluster leader" },
      ["it answered 403: Permission denied"] = { status = 403, body = "Permission denied" },
      ["its answer is no list"] = { body = '{"a": 1}' },
      ["its answer is no JSON: <html>"] = { body = "<html>\n" },
      ["none of its 2 backends can be used: instance app%-1 has no address; instance|none of its 2 backends"] =
        answer(8, { Service = 5 }, { Node = "x" }),
      ["has no backends"] = answer(8),
    }
    local code, wanted = {}, {}
    for what, says in pairs(cases) do
      local origin = consul { good, says }
      wanted["http://" .. origin.address .. " app"] = what:match "|(.*)" or what
      code[#code + 1] = 'upstreams = require("perilune.round_robin").new {}\n' .. follow(origin)
    end
    discovered.expect_refused(code, wanted)
  end)

  it("cost a bad one alone", function()
    local list = { instance("127.0.0.1", 1), instance("127.0.0.1", "x"), instance("no host", 3), { Checks = 7 } }
    local origin = consul { answer(7, unpack(list)), false }
    local proxy = discovered.start(follow(origin))
    discovered.wait_list(proxy, "127.0.0.1:1")
    proxy:wait_log "3 of its backends cannot be used, and are left out: "
  end)

  it("are asked for with the token in a file, which may change", function()
    local path = process.write_file(process.directory() .. "/token", "first\n")
    local origin = consul { answer(7, instance("127.0.0.1", 1)), answer(8, instance("127.0.0.1", 2)), false }
    local origin_of_second = consul { answer(nil, instance("127.0.0.1", 1)) }
    local proxy = discovered.start(follow(origin, (", token_file = %q"):format(path)) .. "\n"
      .. 'upstreams = require("perilune.round_robin").new {}\n'
      .. follow(origin_of_second, (", token_file = %q"):format(path)))
    discovered.wait_list(proxy, "127.0.0.1:1")
    local requests = origin_of_second.requests
    assert.equal("Bearer first", requests[1].headers.authorization)
    process.write_file(path, "second")
    scheduler.eventually(function() return requests[#requests].headers.authorization == "Bearer second" end)
    os.remove(path)
    local from = #requests
    scheduler.eventually(function() return #requests > from + 2 end)
    assert.equal("Bearer second", requests[#requests].headers.authorization)
  end)
end)
