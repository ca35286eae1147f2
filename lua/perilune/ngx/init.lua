-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx: libraries that were written for OpenResty (lua-resty-*) run in a policy, unmodified:
--
--   require "perilune.ngx" { dicts = { cache = "10m" } }
--   local redis = require "resty.redis"
--
-- It sets the global ngx and what such libraries require, in this policy only. Libraries may be called in every hook
-- and in background work. Each part of ngx is a file of this folder; all of them work on the public modules.
-- To add a name: in the file of its part; if it is none of ours to have, in absent.lua.

local core = require "perilune.core"
local state = require "perilune.ngx.state"

local M = {}

local ngx

-- The parts that are tables, and those that put their names into ngx and may give modules.
local function build(options)
  local fields, modules = {}, {}
  local socket, thread = require "perilune.ngx.socket", require "perilune.ngx.thread"
  ngx = { socket = { tcp = socket.tcp, stream = socket.tcp, connect = socket.connect,
    udp = require "perilune.ngx.udp" }, thread = thread, timer = require "perilune.ngx.timer",
    var = require "perilune.ngx.var", get_phase = state.phase }
  for _, part in ipairs { "log", "time", "text", "re", "request", "response" } do
    for name, module in pairs(require("perilune.ngx." .. part)(ngx, fields) or {}) do modules[name] = module end
  end
  for name, module in pairs(thread.modules) do modules[name] = module end
  ngx.shared = {}
  require "perilune.ngx.modules"(ngx, options, modules)
  require("perilune.ngx.absent").guard(ngx, fields, state)
  _G.ngx = ngx
end

--- Handlers of OpenResty's phases as hooks: see lua/perilune/ngx/hooks.lua.
M.hooks = require "perilune.ngx.hooks"

--- Installs it, once; a second call may add dictionaries and variables.
local function install(_, options)
  options = options or {}
  if type(options) ~= "table" then core.raise "perilune.ngx: expected a table of options" end
  local settings = require "perilune.ngx.settings"
  settings.read(options)
  if not ngx then build(options) end
  require "perilune.ngx.shared"(ngx, options)
  return ngx
end

return setmetatable(M, { __call = install })
