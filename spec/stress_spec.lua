-- SPDX-License-Identifier: Apache-2.0
-- Clients and origins of every kind at once. Whoever behaves well is served right, and when all are gone nothing of
-- them is left.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local MEGABYTE = 1024 * 1024

-- --- origins that delay, reset and lie -----------------------------------------------------------------------------

local function noise(most) return ("x"):rep(math.random(0, most)) end
local function pause(connection) connection:sleep(math.random() * 0.02) end

-- What an origin makes of a target's first word; true: the connection lives on.
local behaviours = {}

function behaviours.ok(connection, request)
  if math.random() < 0.5 then pause(connection) end
  local body = request.target .. " " .. #request.body .. " " .. noise(20000)
  connection:respond { body = body, chunked = math.random() < 0.5 }
  return true
end

function behaviours.hint(connection, request)
  connection:send "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
  pause(connection)
  return behaviours.ok(connection, request)
end

-- Until the connection ends.
function behaviours.bare(connection, request)
  connection:respond { body = request.target .. " " .. #request.body .. " ", no_length = true }
end

function behaviours.last(connection, request)
  connection:respond { body = request.target .. " " .. #request.body .. " ", headers = { Connection = "close" } }
end

function behaviours.reset(connection)
  if math.random() < 0.5 then connection:send "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all" end
  connection:reset()
end

function behaviours.lie(connection)
  local lies = {
    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx", "nonsense\r\n\r\n", "HTTP/1.1 200",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  }
  connection:send(lies[math.random(#lies)])
end

-- A second response, which belongs to nobody.
function behaviours.extra(connection)
  connection:send(http1.write("HTTP/1.1 200 OK", {}, "mine") .. http1.write("HTTP/1.1 200 OK", {}, "evil"))
  return connection:read_request_head()
end

function behaviours.tunnel(connection)
  connection:send "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
  while true do
    local bytes = connection:receive_some()
    if not bytes then return end
    connection:send(bytes)
  end
end

-- Before the body is read.
function behaviours.early(connection)
  connection:respond { status = 403, body = "early", headers = { Connection = "close" } }
  connection:is_closed(0.2)
end

local function serve(connection)
  while true do
    local request = connection:read_request_head()
    if not request then return end
    local kind = request.target:match "^/(%w+)"
    if kind ~= "early" and connection:read_request_body().failure then return end
    if not behaviours[kind](connection, request) then return end
  end
end

-- --- clients --------------------------------------------------------------------------------------------------------

local serial = 0
-- A request, and the beginning of the body of its response.
local function good_request(fields)
  local kinds = { "ok", "ok", "ok", "hint", "bare", "last" }
  serial = serial + 1
  local target = ("/%s/%d"):format(kinds[math.random(#kinds)], serial)
  local body = math.random() < 0.4 and noise(30000) or nil
  local headers = { { "Host", "a" }, unpack(fields or {}) }
  local text = http1.write((body and "PUT " or "GET ") .. target .. " HTTP/1.1", headers, body,
    { chunked = body and math.random() < 0.5 })
  return text, target .. " " .. #(body or "") .. " "
end

local function check(connection, wanted)
  local response, message = connection:read_final_response("GET", 60)
  if not response then return nil, wanted .. ": " .. message end
  local is_right = response.status == 200 and not response.failure and response.body:sub(1, #wanted) == wanted
  if is_right then return response end
  return nil, ("%s: %d %s %s"):format(wanted, response.status, tostring(response.failure), response.body:sub(1, 60))
end

local kinds = {}

function kinds.normal(connection)
  for _ = 1, 5 do
    local text, wanted = good_request()
    connection:send(text)
    assert(check(connection, wanted))
  end
end

function kinds.byte_by_byte(connection)
  local text, wanted = good_request()
  for i = 1, math.min(#text, 300) do
    connection:send(text:sub(i, i))
    if i % 10 == 0 then scheduler.sleep(0.001) end
  end
  connection:send(text:sub(301))
  assert(check(connection, wanted))
end

function kinds.half_closing(connection)
  local text, wanted = good_request()
  connection:send(text)
  connection:half_close()
  assert(check(connection, wanted))
  assert(connection:is_closed(60))
end

function kinds.pipelining(connection)
  local texts, wanted = {}, {}
  for i = 1, 5 do texts[i], wanted[i] = good_request() end
  local sending = scheduler.spawn(function() connection:send(table.concat(texts)) end)
  for i = 1, 5 do assert(check(connection, wanted[i])) end
  scheduler.cancel(sending)
end

function kinds.expecting(connection)
  connection:send "PUT /ok/0 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
  connection:read_response("PUT", 0.01) -- no origin here says 100, though the proxy may
  connection:send "hello"
  assert(check(connection, "/ok/0 5 "))
end

function kinds.tunnelling(connection)
  local wanted = noise(100000)
  connection:send "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst"
  assert.equal(101, connection:read_response("GET", 60).status)
  assert.equal("first", connection:read(5, 60))
  if math.random() < 0.3 then return connection:reset() end
  local sending = scheduler.spawn(function()
    connection:send(wanted)
    connection:half_close()
  end)
  assert(wanted == connection:receive_all(60))
  scheduler.cancel(sending)
end

function kinds.oversized(connection)
  if math.random() < 0.5 then
    connection:send("GET / HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(70000) .. "\r\n\r\n")
    assert.equal(431, connection:read_response("GET", 60).status)
  else
    connection:send("POST /ok/0 HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" .. noise(2000000))
    assert.equal(413, connection:read_response("GET", 60).status)
  end
end

function kinds.vanishing(connection)
  local text = good_request()
  connection:send(text:sub(1, math.random(#text)))
  pause(connection)
  if math.random() < 0.5 then connection:reset() else connection:close() end
end

-- Gets what its origin is worth: an error, or a message that is seen to be cut off.
function kinds.unlucky(connection)
  local target = ({ "reset", "lie", "extra", "early" })[math.random(4)]
  connection:send(http1.write("PUT /" .. target .. " HTTP/1.1", { Host = "a" }, noise(100000)))
  local response = connection:read_final_response("PUT", 60)
  if not response or response.failure or response.status == 502 then return end
  local wanted = { extra = "mine", early = "early" }
  assert.equal(wanted[target], response.body)
end

local function one_of_each(port)
  local names, bodies = {}, {}
  for name in pairs(kinds) do names[#names + 1] = name end
  table.sort(names)
  for i = 1, 200 do
    bodies[i] = function()
      local connection = client.connect { port = port, timeout = 60 }
      kinds[names[i % #names + 1]](connection)
      connection:close()
      return true
    end
  end
  return bodies
end

-- Each hook waits now and then, and bodies are read and filtered, by pieces that wait.
local WAITING = [[
local function wait() if math.random() < 0.3 then perilune.sleep(math.random() * 0.01) end end
local usual = policy.upstream_peer
function policy.upstream_peer(...) wait() return usual(...) end
function policy.request_filter(session)
  wait()
  if math.random() < 0.3 and session:get_header "Content-Length" then session:read_body() end
end
function policy.request_body_filter(_, chunk) wait() return chunk end
function policy.response_body_filter(_, chunk) wait() return chunk end
for _, name in ipairs { "connected_to_upstream", "upstream_request_filter", "upstream_response_filter",
  "response_filter", "error_while_proxy", "fail_to_proxy", "logging" } do
  policy[name] = function() wait() end
end]]

for how, hooks in pairs { ["no hooks"] = "", ["hooks that wait"] = WAITING } do
  describe("200 clients of every kind at once, with origins that delay, reset and lie, and " .. how, function()
    it("are served right where they behave, and leave nothing behind", function()
      math.randomseed(20)
      local origin = origins.start(serve)
      local listen = 'body_limit = 1000000, abort_on_close = "never"' -- some end their direction
      local proxy = perilune.start { workers = 4, policy = policies.to(origin, { listen = listen, hooks = hooks }) }
      client.request { port = proxy.port, path = "/ok/0" }
      local before = proxy:open_sockets()
      for _ = 1, 3 do scheduler.all(one_of_each(proxy.port), 300) end
      origin:stop() -- what the pool keeps ends with it
      scheduler.eventually(function() return proxy:open_sockets() <= before end, 40, "end of all sockets")
      proxy:stop()
    end)
  end)
end

describe("500 slow readers of 100 MB responses", function()
  it("keep the process under 200 MB", function()
    local origin = origins.start(function(connection)
      sys.set_buffers(connection.fd, 65536) -- what the kernel takes is not the proxy's, and costs time
      connection:read_request()
      connection:send("HTTP/1.1 200 OK\r\nContent-Length: " .. 100 * MEGABYTE .. "\r\n\r\n")
      local block = ("x"):rep(65536)
      while connection:send(block) do scheduler.sleep(0) end
    end)
    local proxy = perilune.start { to = { origin.address }, release = true }
    local before, highest, readers = proxy:open_sockets(), 0, {}
    for i = 1, 500 do
      readers[i] = client.connect { port = proxy.port, receive_buffer = 4096 }
      readers[i]:send_request {}
    end
    for _ = 1, 4 do
      for _, reader in ipairs(readers) do assert.is_truthy(reader:receive_some(3000)) end
      highest = math.max(highest, proxy:rss())
    end
    for _, reader in ipairs(readers) do reader:close() end
    scheduler.eventually(function() return proxy:open_sockets() <= before end, 40, "end of all sockets")
    assert.is_true(highest < 200 * MEGABYTE, ("%.1f MB"):format(highest / MEGABYTE))
  end)
end)
