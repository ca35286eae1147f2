-- SPDX-License-Identifier: Apache-2.0
-- nginx_libraries: where Debian's packages of lua-resty libraries are, and a policy that runs named cases in its hook.
local cleanup = require "cleanup"
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"

local M = {}

-- Installed, or unpacked by dist/deps.sh.
local places = { "/usr/share/lua/5.1/", os.getenv "PWD" .. "/build/lua-libraries/usr/share/lua/5.1/" }

--- The folder that has all of these files; nil: not here.
function M.find(...)
  for _, place in ipairs(places) do
    local has_all = true
    for _, name in ipairs { ... } do
      local file = io.open(place .. name)
      has_all = has_all and file
      if file then file:close() end
    end
    if has_all then return place end
  end
end

--- `it` where they are; else the specs are pending, and say so.
function M.it(it, pending, package, ...)
  if M.find(...) then return it end
  return function(sentence) pending(sentence .. (" (%s: make deps)"):format(package)) end
end

local POLICY = [[
  local perilune = require "perilune"
  $PATH
  require "perilune.ngx" { dicts = { cache = "1m", small = "64k" }, vars = { chosen = "none" } $OPTIONS }
  $HEAD
  local cases = {}
  $CASES
  local function show(...)
    local list = {}
    for i = 1, select("#", ...) do
      local value = select(i, ...)
      list[i] = value == ngx.null and "null" or tostring(value)
    end
    return table.concat(list, "|")
  end
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    local text = show(cases[session:path():sub(2)](session))
    if ngx.headers_sent then return end
    return session:respond { status = 200, body = text }
  end })
]]

--- A proxy with cases: Lua text such as "function cases.name(session) return 1, 2 end". Gives a function that runs one
--- and gives its results as "1|2".
function M.start(cases, options)
  options = options or {}
  local path = options.path and ("package.path = %q .. package.path"):format(options.path .. "?.lua;") or ""
  local proxy = perilune.start { workers = options.workers or 1, env = options.env, policy = policies.fill(POLICY,
    { CASES = cases, HEAD = options.head or "", PATH = path, OPTIONS = options.options or "" }) }
  return function(name, more)
    local request = { port = proxy.port, path = "/" .. name }
    for key, value in pairs(more or {}) do request[key] = value end
    return client.request(request).body
  end, proxy
end

--- One proxy serves all cases of a describe, whose `setup` and `teardown` these are. `text` gives the cases when the
--- specs begin. Gives `ask`, and what gives the proxy.
function M.cases_of(setup, teardown, text, options)
  local ask, proxy
  setup(function() ask, proxy = M.start(text(), options) end)
  teardown(cleanup.run)
  return function(...) return ask(...) end, function() return proxy end
end

return M
