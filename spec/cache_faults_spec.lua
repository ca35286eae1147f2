-- SPDX-License-Identifier: Apache-2.0
-- What the cache does where something is wrong: readers that stall, peers that lie or break off, processes that end
-- with fetches on their way. A client gets the right bytes, or can see that it has not got all of them.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local process = require "process"
local scene = require "cached"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(require("cleanup").run)

local cached, fresh = scene.start, scene.fresh

-- A text of so many bytes that no other seed gives, nor another place of the same.
local function text_of(seed, bytes)
  local lines = {}
  for i = 1, math.ceil(bytes / 16) do lines[i] = ("%-6s%9d\n"):format(seed, i) end
  return table.concat(lines):sub(1, bytes)
end

describe("a reader that stalls while its segment is emptied and filled again", function()
  local SIZE, CHURN = 450000, 26 -- in a cache of 8 MiB: all of it is filled again
  local files = tls.certificate "spec.example"

  -- A stalled request of each way to ask; a function that reads the rest of it.
  local ways = {
    ["HTTP/1.1"] = { listen = "", open = function(port)
      local at = client.connect { port = port, receive_buffer = 4096 }
      at:send_request { target = "/one" }
      return function() return at:read_response("GET", 60).body end
    end },
    ["TLS"] = { listen = (", certificates = { { certificate = %q, key = %q } }"):format(files.certificate, files.key),
      tls = { name = "spec.example", ca = files.ca }, open = function(port, options)
        local at = client.connect { port = port, receive_buffer = 4096, tls = options }
        at:send_request { target = "/one" }
        return function() return at:read_response("GET", 60).body end
      end },
    ["HTTP/2"] = { listen = ", h2c = true", open = function(port)
      local at = client.connect { port = port, receive_buffer = 4096, version = "2" }
      local stream = at:open { path = "/one" }
      return function() return stream:read_response(60).body end
    end },
  }

  for name, way in pairs(ways) do
    it("gets what it was to get: " .. name, function()
      local one = text_of("/one", SIZE)
      local ask, origin = cached(function(request)
        return fresh { body = request.target == "/one" and one or ("x"):rep(SIZE) }
      end, { listen = way.listen .. ", send_timeout = 600" })
      assert.is_true(ask({ target = "/one", tls = way.tls }).body == one)
      local read_rest = way.open(perilune.latest.port, way.tls)
      for i = 1, CHURN do ask { target = "/" .. i, tls = way.tls } end
      assert.is_true(read_rest() == one)
      assert.equal(CHURN + 1, #origin.requests)
      ask { target = "/1", tls = way.tls } -- which was filled over
      assert.equal(CHURN + 2, #origin.requests)
    end)
  end
end)

describe("a peer", function()
  -- By path: what the peer sends, and whether it closes then.
  local HEAD = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
  local lies = {
    ["/short"] = HEAD .. "Content-Length: 100000\r\n\r\n" .. ("s"):rep(5000),
    ["/chunk"] = HEAD .. "Transfer-Encoding: chunked\r\n\r\n1000\r\n" .. ("c"):rep(50),
    ["/last"] = HEAD .. "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    ["/bad"] = HEAD .. "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nnonsense\r\n",
  }

  it("that ends in the midst of a body, whatever its framing, leaves nothing behind in the cache", function()
    local ask, origin, proxy = cached(function(request, connection)
      connection:send(lies[request.target])
      return nil
    end)
    for target in pairs(lies) do
      for _ = 1, 2 do
        local before = #origin.requests
        local at = client.connect(proxy.port)
        local answer = at:request { target = target }
        assert.is_true(answer == nil or answer.failure ~= nil or answer.status == 502, target .. " looked whole")
        assert.equal(before + 1, #origin.requests, target)
      end
    end
    assert.is_truthy(ask)
  end)

  it("that sends more than it has announced is cut there, and what comes behind is no response", function()
    local ask, origin = cached(function(request, connection)
      if request.target == "/next" then return fresh { body = "next" } end
      connection:send(HEAD .. "Content-Length: 5\r\n\r\nright" .. HEAD .. "Content-Length: 4\r\n\r\nevil")
      return nil
    end)
    for _ = 1, 3 do assert.equal("right", ask({ target = "/long" }).body) end
    assert.equal("next", ask({ target = "/next" }).body)
    assert.equal(2, #origin.requests)
  end)

  it("that breaks off over HTTP/2 leaves nothing behind, either", function()
    local breaks = true
    local origin = origins.start(function(stream)
      stream:read_request()
      if not breaks then return stream:respond(fresh { body = "whole" }) end
      stream:send_fields { { ":status", "200" }, { "cache-control", "max-age=60" }, { "content-length", "5" } }
      stream:send "wh"
      stream:reset "internal_error"
    end, { http2 = true })
    local proxy = perilune.start { workers = 1, policy = ([[
      local perilune = require "perilune"
      perilune.listen("127.0.0.1:0", { upstream_peer = function() return { address = "%s", http2 = true } end },
        { cache = perilune.cache("pages", { size = "8M" }) })
    ]]):format(origin.address) }
    local answer = client.connect(proxy.port):request {}
    assert.is_true(answer == nil or answer.failure ~= nil or answer.status == 502)
    breaks = false
    for _ = 1, 2 do assert.equal("whole", client.request(proxy.port).body) end
  end)
end)

describe("a process that ends with fetches on their way", function()
  local BODY = text_of("/way", 300000)

  -- The first half, and the rest when `go_on` is called.
  local function halves()
    local goes_on, state = false, {}
    function state.go_on() goes_on = true end
    function state.answer(_, connection)
      connection:send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: " .. #BODY .. "\r\n\r\n")
      connection:send(BODY:sub(1, 150000))
      scheduler.wait_until(function() return goes_on end, scheduler.deadline(60))
      connection:send(BODY:sub(150001))
    end
    return state
  end

  it("gives all of it to those who read it, in all its workers", function()
    local origin = halves()
    local _, _, proxy = cached(origin.answer, { workers = 4 })
    local readers, bodies = {}, {}
    for i = 1, 8 do
      readers[i] = client.connect(proxy.port)
      readers[i]:send_request {}
      assert.is_truthy(readers[i]:read_until("\r\n\r\n", 40))
    end
    proxy:signal "TERM"
    proxy:wait_log "stopping gracefully"
    origin.go_on()
    for i, reader in ipairs(readers) do bodies[i] = function() return reader:read(#BODY, 60) end end
    for _, body in ipairs(scheduler.all(bodies, 60)) do assert.is_true(body == BODY) end
    proxy:stop()
  end)

  it("waits for no fetch that nobody reads", function()
    local origin = halves()
    local _, asked, proxy = cached(origin.answer, { workers = 2 })
    local reader = client.connect(proxy.port)
    reader:send_request {}
    assert.is_truthy(reader:read_until("\r\n\r\n", 40))
    reader:reset()
    assert.equal(1, #asked.requests)
    proxy:stop(20) -- its grace period is 30 s
  end)

  it("leaves nothing of them in its file", function()
    local path, origin = process.directory() .. "/pages.cache", halves()
    local options = { cache = (", path = %q"):format(path), workers = 2 }
    local _, _, proxy = cached(origin.answer, options)
    local reader = client.connect(proxy.port)
    reader:send_request {}
    assert.is_truthy(reader:read_until("\r\n\r\n", 40))
    proxy:kill()
    proxy:ended()
    local ask, asked = cached(function() return fresh { body = "anew" } end, options)
    for _ = 1, 2 do assert.equal("anew", ask().body) end
    assert.equal(1, #asked.requests)
    assert.is_nil(perilune.latest:log():find("in memory only", 1, true))
  end)
end)
