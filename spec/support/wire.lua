-- SPDX-License-Identifier: Apache-2.0
-- wire: tables of raw-socket cases. One proxy and one origin serve all cases of a file, which says once:
--   local wire = require "wire"
--   lazy_setup(wire.start) lazy_teardown(wire.stop)
-- A case is bytes to send, what the client must see of it, and what the origin must. Behind the bytes of each case goes
-- one request more: it must be served where the connection lives on, and never be seen where it does not. So each case
-- ends with the end of a connection, and none waits for time to pass.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local scheduler = require "scheduler"

local M = {}
local ADDED = { ["x-forwarded-for"] = true, ["x-forwarded-proto"] = true, ["x-forwarded-host"] = true, via = true }

--- What goes behind a case. It asks for the connection's end, so that the client can read to it.
M.NEXT = "GET /next HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n"
--- The answer of the origin where a case does not give another one.
M.OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

-- Plays the case's answer: a text, or a function; "close" behind it ends the connection.
local function play(connection, request, answer)
  if type(answer) == "function" then return answer(connection, request) end
  connection:send(answer)
end

local function serve(connection)
  while true do
    local request = connection:read_request()
    if not request or request.failure then return end
    local answer = request.target ~= "/next" and M.answer or M.OK
    play(connection, request, answer)
    if M.closes and request.target ~= "/next" then return end
  end
end

--- Starts origin and proxy. `make` gives the options of the proxy, called with the origin; default: `perilune proxy`.
function M.start(make)
  M.answer, M.closes = M.OK, false
  M.origin = origins.start(serve)
  local options = type(make) == "function" and make(M.origin) or { to = { M.origin.address } }
  options.workers = 1
  M.proxy = perilune.start(options)
end

function M.stop() cleanup.run() end

local function read_all(connection, methods)
  local responses = {}
  while true do
    local response, ending, rest = connection:read_final_response(methods and methods[#responses + 1])
    if not response then return responses, ending, rest end
    responses[#responses + 1] = response
    if response.failure then return responses, response.failure, "" end
  end
end

---@class wire_result
---@field responses table[] what the client read
---@field ending string "closed" where the connection ended behind a whole response
---@field rest string bytes behind the last response
---@field requests table[] what came to the origin

--- Sends bytes and reads responses until the connection ends.
---@param bytes string|string[] pieces are sent one after another, each in a segment of its own
---@param options table? methods: of the requests, in order; half_close: end our direction behind the bytes;
---  await: the next piece is sent when the head has come to the origin;
---  answer: of the origin, to all but /next; closes: the origin ends its connection behind it
---@return wire_result
function M.exchange(bytes, options)
  options = options or {}
  local before = #M.origin.requests
  M.answer, M.closes = options.answer or M.OK, options.closes
  local connection = client.connect(M.proxy.port)
  for i, piece in ipairs(type(bytes) == "table" and bytes or { bytes }) do
    if i > 1 and options.await then scheduler.eventually(function() return M.origin.requests[before + 1] end)
    elseif i > 1 then scheduler.sleep(0.005) end
    connection:send(piece)
  end
  if options.half_close then connection:half_close() end
  local result = {}
  result.responses, result.ending, result.rest = read_all(connection, options.methods)
  connection:close()
  scheduler.sleep(0.001) -- what is on its way to the origin arrives
  result.requests = { unpack(M.origin.requests, before + 1) }
  return result
end

local function describe_result(result)
  local parts = { "ending: " .. tostring(result.ending) .. (" %q"):format(result.rest or "") }
  for _, response in ipairs(result.responses) do
    parts[#parts + 1] = ("response: %q %q %s"):format(response.head, response.body, response.failure or "")
  end
  for _, request in ipairs(result.requests) do
    parts[#parts + 1] = ("request: %q %q %s"):format(request.head, request.body, request.failure or "")
  end
  return table.concat(parts, "\n")
end

--- Raises, with all that was seen, unless `condition`.
function M.check(result, condition, what)
  if not condition then error(what .. "\n" .. describe_result(result), 0) end
end

--- A request head without the fields that the proxy adds.
function M.plain(request)
  return (request.head:gsub("([^\r\n:]+): ?[^\r\n]*\r\n", function(name) return ADDED[name:lower()] and "" end))
end

local function is_among(status, statuses)
  for wanted in tostring(statuses):gmatch "%d+" do
    if tonumber(wanted) == status then return true end
  end
end

--- The bytes must be answered with one of the statuses ("400 501") and the connection be closed. Nothing of them, and
--- nothing behind them, may come to the origin.
function M.refuses(bytes, statuses, options)
  if type(bytes) == "string" then bytes = bytes .. M.NEXT end
  local result = M.exchange(bytes, options)
  local first = result.responses[1]
  M.check(result, #result.requests == 0, "the origin must see nothing")
  M.check(result, first and is_among(first.status, statuses), "the answer must be " .. statuses)
  M.check(result, #result.responses == 1, "there must be one answer only")
  M.check(result, result.ending == "closed" and result.rest == "", "the connection must be closed")
  M.check(result, first.headers.connection == "close", "the answer must say that the connection closes")
  M.check(result, first.headers.date ~= nil, "the answer must have a Date")
  return result
end

local function check_forwarded(result, forwarded)
  local request = result.requests[1]
  for key, value in pairs(forwarded) do
    local seen = key == "head" and M.plain(request) or request[key]
    M.check(result, seen == value, ("the origin's %s must be %q and is %q"):format(key, value, tostring(seen)))
  end
end

--- The bytes are one request that must be forwarded, and the one behind it served.
---@param forwarded string|table|nil the head (without what the proxy adds), or { head, body, target, framing, method }
function M.passes(bytes, forwarded, options)
  if type(forwarded) == "string" then forwarded = { head = forwarded } end
  local result = M.exchange(bytes .. M.NEXT, options)
  M.check(result, result.requests[1], "the origin must see the request")
  check_forwarded(result, forwarded or {})
  M.check(result, not result.requests[1].failure, "the origin must see it whole")
  M.check(result, #result.requests == 2 and result.requests[2].target == "/next", "the next one must come behind it")
  M.check(result, #result.responses == 2 and result.ending == "closed", "both must be answered")
  M.check(result, result.responses[1].status == 200 and result.responses[2].status == 200, "with 200")
  return result
end

--- A GET request with further field lines, each with its CRLF.
function M.get(fields) return "GET / HTTP/1.1\r\nHost: a\r\n" .. (fields or "") .. "\r\n" end
--- A POST request; the body is written as it is.
function M.post(fields, body) return "POST / HTTP/1.1\r\nHost: a\r\n" .. fields .. "\r\n" .. (body or "") end

return M
