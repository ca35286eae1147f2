-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.absent: names of ngx_lua that are not here, and what to use instead. They are functions that raise when
-- they are called; those that libraries look for before they use them are nil. A name that ngx_lua has not either
-- raises where it is read.

local core = require "perilune.core"

local M = {}

local DOCS = " (docs/from_openresty.md)"

--- By name, what is said of it.
M.instead = {
  exec = "route in request_filter or upstream_peer: there are no locations",
  ["location.capture"] = "use perilune.http, which asks any server",
  ["location.capture_multi"] = "use perilune.http in several tasks of perilune.spawn",
  on_abort = "what a hook waits for ends when its client is gone; see logging",
  ["resp.add_header"] = "use session:set_response_header, or response:add_header in response_filter",
  run_worker_thread = "every worker is a thread of its own; long work belongs into a process of its own",
  get_raw_phase = "use ngx.get_phase",
  ["thread.self"] = "use coroutine.running",
  get_now_ts = "use ngx.now", get_today = "use ngx.today", get_now = "use ngx.localtime",
  set_ctx = "assign to ngx.ctx",
}

-- Libraries test them before they call.
local probed = { run_worker_thread = true, pipe = true, IS_CLI = true, on_abort = true, req = true,
  _phase_ctx = true, pid = true, balancer = true }

local function refusal(name)
  return function()
    core.raise(("ngx.%s is not in Perilune: %s%s"):format(name, M.instead[name], DOCS))
  end
end

-- What reads a name that a table of the layer does not have.
local function reader(prefix, known)
  return function(_, name)
    if type(name) ~= "string" or probed[prefix .. name] or name:find "^%u" or name:find "^_" then return nil end
    if M.instead[prefix .. name] then return refusal(prefix .. name) end
    local near = core.nearest(name, known())
    core.raise(("ngx has no '%s%s'%s"):format(prefix, name, near and (": did you mean ngx.%s%s?"):format(prefix, near)
      or DOCS))
  end
end

local function names_of(of)
  return function()
    local names = {}
    for name in next, of do if type(name) == "string" then names[#names + 1] = name end end
    table.sort(names)
    return names
  end
end

local guarded = {} -- ngx, and its fields

--- What is said of a name such as "location.capture" that a library mentions; nil: it is there, or is only probed.
function M.fault(path)
  if M.instead[path] and not probed[path] then return M.instead[path] end
  local first, rest = path:match "^([^.]+)%.?(.*)$"
  if guarded.fields[first] or probed[first] or first:find "^%u" then return nil end
  local value = rawget(guarded.ngx, first)
  if value == nil then return "ngx_lua has it, or once had" end
  local is_open = rest == "" or type(value) ~= "table" or first == "var" or first == "header" or first == "shared"
    or first == "arg" or first == "re"
  if is_open or rawget(value, rest) ~= nil then return nil end
  return "ngx_lua has it, or once had"
end

--- Sets the metatable of ngx: `fields` are { get, set } by name.
function M.guard(ngx, fields, state)
  guarded.ngx, guarded.fields = ngx, fields
  local unknown = reader("", names_of(ngx))
  setmetatable(ngx, {
    __index = function(of, name)
      local field = fields[name]
      if field then return field[1](state.get()) end
      return unknown(of, name)
    end,
    __newindex = function(of, name, value)
      local field = fields[name]
      if not field then return rawset(of, name, value) end
      if not field[2] then core.raise(("ngx.%s cannot be set"):format(name)) end
      field[2](state.get(), value)
    end,
  })
  rawset(ngx, "location", {}) -- libraries take its functions when they are loaded
  for _, part in ipairs { "req", "resp", "thread", "location" } do
    setmetatable(ngx[part], { __index = reader(part .. ".", names_of(ngx[part])) })
  end
end

return M
