-- SPDX-License-Identifier: Apache-2.0
-- Backends that are endpoints of a service of Kubernetes: a scripted API server says what its documents say.
local cjson = require "cjson"
local discovered = require "discovered"
local origins = require "origins"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function endpoint(host, conditions, more)
  local all = { addresses = { host }, conditions = conditions or { ready = true } }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function slice(name, version, endpoints, ports)
  return { metadata = { name = name, resourceVersion = tostring(version) }, addressType = "IPv4",
    endpoints = endpoints, ports = ports or { { name = "http", port = 80, protocol = "TCP" } } }
end

local function page(version, slices, more)
  return { body = cjson.encode { kind = "EndpointSliceList", items = #slices > 0 and slices or cjson.null,
    metadata = { resourceVersion = tostring(version), continue = more } } }
end

local function event(kind, object) return cjson.encode { type = kind, object = object } .. "\n" end

-- A watch: lines, then what origin.lines gets, until the spec ends or `is_over`.
local function watch(lines, is_over)
  return function(connection, origin)
    connection:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    local function say(text)
      for _, piece in ipairs { text:sub(1, 7), text:sub(8) } do -- a chunk is no event
        if piece ~= "" then connection:send(("%x\r\n%s\r\n"):format(#piece, piece)) end
      end
    end
    for _, line in ipairs(lines) do say(line) end
    if is_over then return connection:send "0\r\n\r\n" end
    while true do
      scheduler.wait_until(function() return #origin.lines > 0 end, scheduler.deadline(60))
      if #origin.lines == 0 then return end
      say(table.remove(origin.lines, 1))
    end
  end
end

-- What it says to one request after another; the last one is said for ever.
local function server(script, options)
  local origin
  origin = origins.start(function(connection)
    while connection:read_request() do
      local says = script[math.min(#origin.requests, #script)]
      if type(says) == "function" then says(connection, origin) else connection:respond(says) end
    end
  end, options)
  origin.lines = {}
  return origin
end

local function follow(origin, more)
  return ('discovery.kubernetes(upstreams, "web/app", { address = "http://%s"%s })'):format(origin.address, more or "")
end

local LIST = "/apis/discovery.k8s.io/v1/namespaces/web/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dapp"

describe("backends that are endpoints of Kubernetes", function()
  it("are the ready ones of all slices, each once, and follow each change", function()
    local origin = server {
      page(10, { slice("a", 3, { endpoint("127.0.0.1"), endpoint("127.0.0.2", { ready = false }),
        endpoint("127.0.0.3", {}) }) }, "next page"),
      page(10, { slice("b", 4, { endpoint("127.0.0.1"), endpoint("127.0.0.4", { ready = false, serving = true,
        terminating = true }) }) }),
      watch {},
    }
    local proxy = discovered.start(follow(origin))
    discovered.wait_list(proxy, "127.0.0.1:80", "127.0.0.3:80")
    scheduler.eventually(function() return #origin.requests == 3 end)
    assert.equal(LIST .. "&limit=500", origin.requests[1].target)
    assert.equal(LIST .. "&limit=500&continue=next%20page", origin.requests[2].target)
    assert.matches("&watch=1&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=%d+$",
      origin.requests[3].target)
    origin.lines = { event("MODIFIED", slice("a", 11, { endpoint("127.0.0.5") })) }
    discovered.wait_list(proxy, "127.0.0.1:80", "127.0.0.5:80")
    origin.lines = { event("DELETED", slice("b", 12, {})), event("ADDED", slice("c", 13, { endpoint("127.0.0.6") })) }
    discovered.wait_list(proxy, "127.0.0.5:80", "127.0.0.6:80")
  end)

  it("are those that still serve while they end, if no other is ready", function()
    local ending = { ready = false, serving = true, terminating = true }
    local origin = server { page(10, { slice("a", 3, { endpoint("127.0.0.1"), endpoint("127.0.0.2", ending) }) }),
      watch {} }
    local proxy = discovered.start(follow(origin))
    discovered.wait_list(proxy, "127.0.0.1:80")
    origin.lines = { event("MODIFIED", slice("a", 11, { endpoint("127.0.0.2", ending) })) }
    discovered.wait_list(proxy, "127.0.0.2:80")
  end)

  it("have the port that is named, or numbered, or the only one", function()
    local two = { { name = "http", port = 80 }, { name = "metrics", port = 9000 } }
    local cases = { [', port = "metrics"'] = "127.0.0.1:9000", [", port = 80"] = "127.0.0.1:80" }
    for more, wanted in pairs(cases) do
      local origin = server { page(10, { slice("a", 3, { endpoint("127.0.0.1") }, two) }), watch {} }
      discovered.wait_list(discovered.start(follow(origin, more)), wanted)
    end
    local origin = server { page(10, { slice("a", 3, { endpoint("127.0.0.1") }, two) }), watch {} }
    discovered.start(follow(origin)):wait_log "slice a: it has several ports: say which by the option 'port'"
    origin = server { page(10, { slice("a", 3, { endpoint("127.0.0.1") }) }), watch {} }
    discovered.start(follow(origin, ', port = "grpc"')):wait_log "slice a: it has no port 'grpc'"
  end)

  it("resume at the version of the last bookmark, and are listed anew where that is gone", function()
    local status = { kind = "Status", code = 410, message = "too old resource version", metadata = {} }
    local origin = server {
      page(10, { slice("a", 3, { endpoint("127.0.0.1") }) }),
      watch({ event("BOOKMARK", { metadata = { resourceVersion = "20" } }) }, true),
      { status = 410, body = cjson.encode(status) },
      page(30, { slice("a", 21, { endpoint("127.0.0.2") }) }),
      watch({ event("ERROR", status) }, true),
      page(40, { slice("a", 21, { endpoint("127.0.0.3") }) }),
      watch {},
    }
    local proxy = discovered.start(follow(origin))
    discovered.wait_list(proxy, "127.0.0.3:80")
    scheduler.eventually(function() return #origin.requests == 7 end)
    local asked = {}
    for i, request in ipairs(origin.requests) do asked[i] = request.target:match "resourceVersion=(%d+)" or "list" end
    assert.same({ "list", "10", "20", "list", "30", "list", "40" }, asked)
  end)

  it("are watched anew where nothing has come for too long", function()
    local origin = server { page(10, { slice("a", 3, { endpoint("127.0.0.1") }) }), watch {},
      watch { event("MODIFIED", slice("a", 11, { endpoint("127.0.0.2") })) } }
    local proxy = discovered.start(follow(origin, ", silence = 0.3"))
    discovered.wait_list(proxy, "127.0.0.2:80")
    assert.equal(0, proxy:count_log "the last list stays") -- that is no failure
  end)

  it("stay where what comes makes no sense, and where all are gone, which the log says", function()
    local good = page(10, { slice("a", 3, { endpoint("127.0.0.1") }) })
    local cases = {
      ["it answered 403: forbidden"] = { status = 403, body = "forbidden" },
      ["its answer is no list of slices"] = { body = '{"items": 5, "metadata": {"resourceVersion": 7}}' },
      ["has a slice without a name"] = page(11, { { metadata = 5 } }),
      ["an endpoint of the slice a has no address"] = page(11, { slice("a", 3, { { addresses = {} }, 7 }) }),
      ["has no backends"] = page(11, {}),
    }
    local code, wanted = {}, {}
    for what, says in pairs(cases) do
      local origin = server { good, watch({ event("ERROR", {}) }, true), says }
      wanted["http://" .. origin.address .. " web/app"] = what
      code[#code + 1] = 'upstreams = require("perilune.round_robin").new {}\n' .. follow(origin)
    end
    for what, line in pairs { ["a line of it is no JSON: garbage"] = "garbage\n",
      ["an event of the watch makes no sense"] = event("MODIFIED", { metadata = { resourceVersion = "11" } }) } do
      local origin = server { good, watch({ line }, true), good, watch {} }
      wanted["http://" .. origin.address .. " web/app"] = what
      code[#code + 1] = 'upstreams = require("perilune.round_robin").new {}\n' .. follow(origin)
    end
    discovered.expect_refused(code, wanted)
  end)

  it("are asked for as a pod does it, with a token that is read again when it was refused", function()
    local token = process.write_file(process.directory() .. "/token", "old")
    local origin
    origin = origins.start(function(connection)
      while connection:read_request() do
        if connection.request.headers.authorization ~= "Bearer new" then
          process.write_file(token, "new\n")
          connection:respond { status = 401, body = "Unauthorized" }
        elseif connection.request.target:find "watch=1" then
          watch {}(connection, origin)
        else
          connection:respond(page(10, { slice("a", 3, { endpoint("127.0.0.1") }) }))
        end
      end
    end, { names = { "127.0.0.1" } })
    origin.lines = {}
    local code = ('discovery.kubernetes(upstreams, "web/app", { ca = %q, token_file = %q })'):format(
      origin.files.ca, token)
    local proxy = discovered.start(code, { env = { KUBERNETES_SERVICE_HOST = "127.0.0.1",
      KUBERNETES_SERVICE_PORT = tostring(origin.port) } })
    proxy:wait_log "it answered 401: Unauthorized"
    discovered.wait_list(proxy, "127.0.0.1:80")
  end)
end)
