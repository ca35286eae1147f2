-- SPDX-License-Identifier: Apache-2.0
-- policies: policy scripts that several specs start from. `fill` puts the values of a spec into a text.
local M = {}

--- Replaces $NAME in a policy by values.NAME; lists of strings become Lua lists.
function M.fill(text, values)
  return (text:gsub("%$(%u[%u_]*)", function(name)
    local value = assert(values[name], "no value for $" .. name)
    if type(value) ~= "table" then return tostring(value) end
    local items = {}
    for i, item in ipairs(value) do items[i] = ("%q"):format(item) end
    return "{ " .. table.concat(items, ", ") .. " }"
  end))
end

--- The policy of the tutorial, as the README shows it. $PEERS, $CA.
M.tutorial = [[
local perilune     = require "perilune"
local round_robin  = require "perilune.round_robin"
local health_check = require "perilune.health_check"
local rate_limit   = require "perilune.rate_limit"

local upstreams = round_robin.new $PEERS
health_check.tcp(upstreams, { interval = $INTERVAL })
local limit = rate_limit.new { header = "appid", max = $MAX, interval = 1 }

local lb = {}

function lb.request_filter(session, ctx)
  return limit(session)
end

function lb.upstream_peer(session, ctx)
  return { address = upstreams:select(), tls = true, sni = "one.one.one.one", ca = "$CA" }
end

function lb.upstream_request_filter(session, request, ctx)
  request:set_header("Host", "one.one.one.one")
end

perilune.listen("127.0.0.1:0", lb)
]]

--- One peer without TLS; $ADDRESS, $OPTIONS (further fields of the peer, with a comma before), $HOOKS (Lua code),
--- $LISTEN (fields of the listener).
M.one_peer = [[
local perilune = require "perilune"
local policy = {}
function policy.upstream_peer(session, ctx)
  return { address = "$ADDRESS"$OPTIONS }
end
$HOOKS
perilune.listen("127.0.0.1:0", policy, { $LISTEN })
]]

--- The text of M.one_peer for an origin.
---@param options table? peer = ", read_timeout = 1"; listen = "head_timeout = 1"; hooks = "function policy..."
function M.to(origin, options)
  options = options or {}
  return M.fill(M.one_peer, {
    ADDRESS = origin.address, OPTIONS = options.peer or "", HOOKS = options.hooks or "", LISTEN = options.listen or "",
  })
end

--- A policy that answers each request with what `code` returns, as texts with "|" between them. `head` are its first
--- lines, behind `local perilune`.
function M.answering(head, code)
  return M.fill([[
    local perilune = require "perilune"
    $HEAD
    local function show(...)
      local list = {}
      for i = 1, select("#", ...) do list[i] = tostring((select(i, ...))) end
      return table.concat(list, "|")
    end
    local function run(session)
      $CODE
    end
    perilune.listen("127.0.0.1:0", {
      request_filter = function(session)
        return session:respond { status = 200, body = show(run(session)) }
      end,
    })
  ]], { HEAD = head, CODE = code })
end

return M
