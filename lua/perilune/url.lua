-- SPDX-License-Identifier: Apache-2.0
-- perilune.url: percent-encoding, queries, and the parts of a URL.

local check = require "perilune.check"
local core = require "perilune.core"

---@type perilune.url
local url = {}

--- Encodes everything but letters, digits and - . _ ~
function url.encode(text) return core.encode_url(text) end

--- The text that was encoded; nil and a message where a % has no two digits behind it. + stays +.
function url.decode(text) return core.decode_url(text) end

--- Fields of a query or a form: a table with the first value of each name, and a list of all { name, value } in order.
--- A field without = has the value "". Broken encoding stays as it is.
function url.parse_query(text)
  local first, all = {}, {}
  for field in check.string("url.parse_query", 1, text, ""):gmatch "[^&]+" do
    local name, value = field:match "^([^=]*)=(.*)$"
    name, value = core.decode_url(name or field, true), core.decode_url(value or "", true)
    if first[name] == nil then first[name] = value end
    all[#all + 1] = { name, value }
  end
  return first, all
end

local function add_field(fields, name, value)
  if value == true then value = "" end
  local kind = type(value)
  if kind == "number" and value - value ~= 0 then
    check.raise(("url.build_query: field '%s' is a number that is not finite"):format(name))
  end
  if kind ~= "string" and kind ~= "number" then
    check.raise(("url.build_query: field '%s' is a %s value, not a string or number"):format(name, kind))
  end
  fields[#fields + 1] = core.encode_url(name) .. "=" .. core.encode_url(value)
end

local function add_all(fields, name, value)
  if type(value) ~= "table" then return add_field(fields, name, value) end
  for _, one in ipairs(value) do add_field(fields, name, one) end
end

--- A query from { name = value }: strings, numbers, true (empty) or arrays of them; names in order of the alphabet.
function url.build_query(values)
  local names, fields = {}, {}
  for name in pairs(check.table("url.build_query", 1, values)) do
    if type(name) ~= "string" then check.raise "url.build_query: names are strings" end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do add_all(fields, name, values[name]) end
  return table.concat(fields, "&")
end

local PORTS = { http = 80, https = 443 }

--- The parts of an absolute URL: { scheme, host, port, path, query, target }; nil and a message where it is none.
--- The host is in lower case, IPv6 without brackets; target is what a request line has.
function url.parse(text)
  local scheme, authority, rest = check.string("url.parse", 1, text):match "^(%a[%w+.-]*)://([^/?#]*)([^#]*)"
  if not scheme then return nil, "not an absolute URL" end
  authority = authority:match "^.*@(.*)$" or authority
  local host, port = authority:match "^%[([%x:.]+)%]:?(%d*)$"
  if not host then host, port = authority:match "^([^:]+):?(%d*)$" end
  if not host then return nil, "the URL has no host, or a malformed one" end
  scheme = scheme:lower()
  port = tonumber(port) or PORTS[scheme]
  if not port or port > 65535 then return nil, "the URL has no port" end
  local path, query = rest:match "^([^?]*)%??(.*)$"
  if path == "" then path = "/" end
  local has_query = rest:find("?", 1, true)
  return {
    scheme = scheme, host = host:lower(), port = port, path = path, query = has_query and query or nil,
    target = has_query and path .. "?" .. query or path,
  }
end

return url
