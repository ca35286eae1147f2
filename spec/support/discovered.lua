-- SPDX-License-Identifier: Apache-2.0
-- discovered: a proxy whose backends come from somewhere while it runs, and which tells them.
local assert = require "luassert"
local client = require "client"
local metrics = require "metrics"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"

local M = {}

local POLICY = [[
local perilune = require "perilune"
local discovery = require "perilune.discovery"
local upstreams = require("perilune.round_robin").new {}
$CODE
perilune.listen("127.0.0.1:0", {
  request_filter = function(session)
    if session:path() ~= "/list" then return false end
    return session:respond { status = 200, body = table.concat(upstreams:addresses(), "\n") }
  end,
  upstream_peer = function() return { address = upstreams:select() } end,
})
]]

--- `code` fills `upstreams`.
function M.start(code, options)
  local all = { workers = 2, policy = policies.fill(POLICY, { CODE = code }), settings = { "--admin", "127.0.0.1:0" } }
  for name, value in pairs(options or {}) do all[name] = value end
  return perilune.start(all)
end

--- The result of `perilune check`.
function M.check(code)
  local path = process.write_file(process.directory() .. "/policy.lua", policies.fill(POLICY, { CODE = code }))
  return perilune.run("check", path)
end

--- The addresses, sorted.
function M.list(proxy)
  local list = {}
  for address in client.request({ port = proxy.port, path = "/list" }).body:gmatch "[^\n]+" do
    list[#list + 1] = address
  end
  table.sort(list)
  return list
end

--- Waits until the list is these addresses, in any order.
function M.wait_list(proxy, ...)
  local wanted = { ... }
  table.sort(wanted)
  wanted = table.concat(wanted, " ")
  scheduler.eventually(function() return table.concat(M.list(proxy), " ") == wanted end, 30, wanted)
end

--- Sources of one backend each, whose next answers are refused: the log says why, and the last list stays.
---@param code string[] lines that follow a source each
---@param wanted table<string, string> by source, what the log says
function M.expect_refused(code, wanted)
  local proxy = M.start(table.concat(code, "\n"))
  for source, what in pairs(wanted) do
    proxy:wait_log(("%s: [^\n]*%s[^\n]*; the last list stays"):format((source:gsub("%p", "%%%0")), what))
  end
  for _, source in ipairs(metrics.status(proxy).discovery) do assert.equal(1, source.backends, source.source) end
end

return M
