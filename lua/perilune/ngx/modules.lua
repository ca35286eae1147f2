-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.modules: what libraries require that OpenResty has built in. lua-resty-core itself must not be loaded:
-- it wants C functions of nginx. Debian's packages of libraries are in the folder nginx/, under which "resty.redis" is
-- looked for as well.

local core = require "perilune.core"
local network = require "perilune.network"

local base = {}
function base.new_tab(narr, nrec) return require "table.new"(narr, nrec) end
function base.clear_tab(list) return require "table.clear"(list) end
function base.get_string_buf(size) return require("ffi").new("unsigned char[?]", size) end
function base.get_size_ptr() return require("ffi").new "size_t[1]" end
function base.get_string_buf_size() return 4096 end
function base.ref_in_table(list, value)
  list[#list + 1] = value
  return #list
end
function base.get_errmsg_ptr() return require("ffi").new "char*[1]" end
function base.allows_subsystem() end
base.FFI_OK, base.FFI_NO_REQ_CTX, base.FFI_BAD_CONTEXT, base.FFI_ERROR = 0, -100, -101, -1
base.version = "0.1.28"

-- Libraries that declare functions of nginx rely on its types, and look for the functions when they call them.
local function load_base()
  local ffi = require "ffi"
  if not pcall(ffi.typeof, "ngx_str_t") then
    ffi.cdef "typedef struct { size_t len; const unsigned char *data; } ngx_str_t;"
  end
  return base
end

-- For a LuaJIT without the functions of OpenResty's.
local tables = {}
tables["table.nkeys"] = function()
  return function(list)
    local count = 0
    for _ in pairs(list) do count = count + 1 end
    return count
  end
end
tables["table.isempty"] = function() return function(list) return next(list) == nil end end
tables["table.isarray"] = function()
  return function(list)
    local count = 0
    for _ in pairs(list) do count = count + 1 end
    return count == #list
  end
end
tables["table.clone"] = function()
  return function(list)
    local copy = {}
    for key, value in pairs(list) do copy[key] = value end
    return copy
  end
end

local balancer = {}
function balancer.set_current_peer(host, port)
  local of = require("perilune.ngx.state").request "balancer"
  if type(host) ~= "string" then return nil, "bad host" end
  of.peer = host:find "^unix:" and host or network.join(host, port or 80)
  return true
end
function balancer.set_more_tries(count)
  require("perilune.ngx.state").request("balancer").more_tries = count
  return true
end
function balancer.get_last_failure()
  local failure = require("perilune.ngx.state").request("balancer").session:last_failure()
  if failure then return "failed", 502 end
end
function balancer.set_timeouts(connect, send, read)
  require("perilune.ngx.state").request("balancer").timeouts = { connect, send, read }
  return true
end
function balancer.enable_keepalive() return true end

local process = {}
function process.type() return core.is_control() and "privileged agent" or "worker" end
function process.get_master_pid() return nil end
function process.enable_privileged_agent() return true end

local given = {
  ["resty.core"] = {}, ["resty.core.regex"] = {}, ["resty.core.shdict"] = {},
  ["resty.core.uri"] = {}, ["resty.core.time"] = {}, ["resty.core.hash"] = {}, ["ngx.balancer"] = balancer,
  ["ngx.process"] = process,
}

local function preload(name, module)
  package.preload[name] = function() return module end
end

-- "resty.redis" as Debian installs it.
local function find_in_nginx(name)
  local rest = name:match "^resty%.(.+)$"
  if not rest then return nil end
  if rest == "core" or rest:find "^core%." then
    core.raise(("module '%s' is not in Perilune: it is a part of OpenResty that works on nginx"):format(name))
  end
  local file = package.searchpath("nginx." .. rest, package.path)
  if not file then return nil end
  local chunk, why = loadfile(file)
  return chunk or error(why, 0)
end

return function(_, options, modules)
  for name, module in pairs(given) do preload(name, module) end
  for name, module in pairs(modules) do preload(name, module) end
  package.preload["resty.core.base"] = load_base
  preload("ngx.ssl", require "perilune.ngx.ssl")
  for name, loader in pairs(tables) do
    if not pcall(require, name) then package.preload[name] = loader end
  end
  if not pcall(require, "thread.exdata") then preload("thread.exdata", function() return nil end) end
  if options.cjson ~= false then
    for name, module in pairs(require "perilune.ngx.cjson") do
      if not package.loaded[name] then preload(name, module) end
    end
  end
  local by_path = package.loaders[2]
  package.loaders[2] = function(name) -- the last of the loaders says what to do about a module that is not there
    local found = by_path(name)
    return type(found) ~= "function" and find_in_nginx(name) or found
  end
end
