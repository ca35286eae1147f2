-- SPDX-License-Identifier: Apache-2.0
-- downgrade: requests of HTTP/2, good and bad, to a proxy whose origin speaks HTTP/1.1 and keeps each byte it is sent.
local assert = require "luassert"
local client = require "client"
local scene = require "scene"
local scheduler = require "scheduler"

local M = {}

M.GOOD = { [":method"] = "GET", [":scheme"] = "http", [":path"] = "/", [":authority"] = "spec.example" }
M.ORDER = { ":method", ":scheme", ":authority", ":path" }

--- A request's fields: the pseudo-fields of GOOD with these changes (false: left out), then the others in order.
function M.request(changes, others)
  changes = changes or {}
  local fields = {}
  for _, name in ipairs(M.ORDER) do
    local value = changes[name]
    if value == nil then value = M.GOOD[name] end
    if value then fields[#fields + 1] = { name, value } end
  end
  for _, field in ipairs(others or {}) do fields[#fields + 1] = field end
  return fields
end

-- An origin that keeps all bytes it is sent, in `raw`, and answers each request of valid HTTP/1.1.
local function recording(raw)
  return function(at)
    local plain = at.read
    function at:read(...)
      local bytes, why, partial = plain(self, ...)
      raw[#raw + 1] = bytes or partial
      return bytes, why, partial
    end
    while at:read_request() do at:respond "hello" end
    raw[#raw + 1] = at.buffer
  end
end

function M.start(options)
  options = options or {}
  local raw = {}
  local all = { listen = "h2c = true" .. (options.listen or ""), hooks = options.hooks }
  local proxy, origin = scene.proxied(recording(raw), all)
  return { port = proxy.port, raw = raw, origin = origin, proxy = proxy }
end

function M.connect(h) return client.connect { port = h.port, version = "2" } end

--- What became of a request: "refused by 400", "refused by PROTOCOL_ERROR", "passed"; or how its connection ended.
function M.outcome_of(h, fields, body, trailers)
  local connection = M.connect(h)
  local stream = connection:new_stream()
  stream:send_fields(fields, not body and not trailers)
  if body then stream:send(body, not trailers) end
  if trailers then stream:send_fields(trailers, true) end
  local response, why = stream:read_response()
  connection:close()
  if not response then return (why:gsub("^reset: ", "refused by ")) end
  if response.status == 200 and not response.failure then return "passed" end
  if response.status >= 400 and response.status < 500 then return "refused by " .. response.status end
  return ("answered by %d, %s"):format(response.status, response.failure or "whole")
end

--- A name for a text that may have any byte.
function M.shown(text) return (("%q"):format(text):gsub("[^\32-\126]", function(c) return "\\" .. c:byte() end)) end

--- Sends each case, { name, fields, body, trailers }: none may pass, nor reach the origin, not even in part.
function M.refuses(cases, options)
  local h, wrong = M.start(options), {}
  for _, case in ipairs(cases) do
    local outcome = M.outcome_of(h, case[2], case[3], case[4])
    if not outcome:find "^refused by" then wrong[#wrong + 1] = M.shown(case[1]) .. ": " .. outcome end
  end
  local sent = M.outcome_of(h, M.request { [":path"] = "/after" })
  assert.equal("passed", sent)
  if #h.origin.requests ~= 1 or not table.concat(h.raw):find "^GET /after HTTP/1.1\r\n" then
    wrong[#wrong + 1] = "reached the origin: " .. M.shown(table.concat(h.raw))
  end
  assert.equal("", table.concat(wrong, "\n"))
end

--- The origin has had no whole request but good ones: of others it saw the connection end.
function M.never_whole(h, what)
  assert.equal("passed", M.outcome_of(h, M.request { [":path"] = "/after" }))
  for _, one in ipairs(h.origin.requests) do
    local function is_cut() return one.target == "/after" or one.failure end
    scheduler.eventually(is_cut, nil, "the end of a request of " .. what)
  end
end

return M
