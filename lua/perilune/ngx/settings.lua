-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.settings: what perilune.ngx { ... } was told that several of its files ask for, and the objects that
-- stand for parsed certificates.

local core = require "perilune.core"

local settings = { ca = nil, vars = {} }

local Pem = { __name = "perilune.ngx.pem" }

--- What ngx.ssl gives for a certificate or key.
function settings.new_pem(text) return setmetatable({ text = text }, Pem) end

--- The PEM text of such an object; nil: it is none.
function settings.pem_of(object) return getmetatable(object) == Pem and object.text or nil end

local known = { dicts = "table", ca = "string", vars = "table", cjson = "boolean" }

--- Checks and takes the options.
function settings.read(given)
  for name, value in pairs(given) do
    if not known[name] then
      core.raise(("perilune.ngx: unknown option '%s'; valid are ca, cjson, dicts, vars"):format(tostring(name)))
    end
    if type(value) ~= known[name] then
      core.raise(("perilune.ngx: option '%s' must be a %s, got a %s value"):format(name, known[name], type(value)))
    end
  end
  if given.ca then
    local fault = core.tcp_check_ca(core.path(given.ca))
    if fault then core.raise("perilune.ngx: option 'ca': " .. fault) end
    settings.ca = given.ca
  end
  for name, value in pairs(given.vars or {}) do settings.vars[name] = value end
end

return settings
