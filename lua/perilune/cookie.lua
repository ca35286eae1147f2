-- SPDX-License-Identifier: Apache-2.0
-- perilune.cookie: the fields Cookie and Set-Cookie (RFC 6265).

local check = require "perilune.check"
local core = require "perilune.core"
local date = require "perilune.date"
local options = require "perilune.options"

---@type perilune.cookie
local cookie = {}

-- Clients say how long a field is: so every step of this takes a time that grows with it, and not with its square.
local function trimmed(text)
  local from = text:find "%S"
  return from and text:match("^.*%S", from) or ""
end

--- The cookies of a Cookie field by name; of several with one name the first, which is the most specific.
function cookie.parse(field)
  local cookies = {}
  for part in check.string("cookie.parse", 1, field, ""):gmatch "[^;]+" do
    local equals = part:find("=", 1, true)
    local name = equals and trimmed(part:sub(1, equals - 1)) or ""
    if name ~= "" and cookies[name] == nil then
      local value = trimmed(part:sub(equals + 1))
      cookies[name] = value:match '^"(.*)"$' or value
    end
  end
  return cookies
end

local valid = {
  path = { "string" },
  domain = { "string" },
  max_age = { "whole_seconds" },      -- seconds
  expires = { "count" },      -- seconds since 1970
  secure = { "boolean" },
  http_only = { "boolean" },
  same_site = { "string" },   -- "Strict", "Lax" or "None"
  partitioned = { "boolean" },
}
local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }

local function check_all(name, value, wanted)
  if type(name) ~= "string" or not name:find "^[%w!#$%%&'*+.^_`|~-]+$" then
    error(("cookie.build: '%s' is no name of a cookie"):format(tostring(name)), 3)
  end
  if type(value) ~= "string" or value:find '[%c%s",;\\\127-\255]' then
    error(("cookie.build: the value of %s has characters that no cookie can have (see url.encode)"):format(name), 3)
  end
  for _, attribute in ipairs { "path", "domain" } do
    if (wanted[attribute] or ""):find "[%c;]" then
      error(("cookie.build: %s has a control character or ';' in it"):format(attribute), 3)
    end
  end
  if wanted.same_site and not SAME_SITE[wanted.same_site:lower()] then
    error("cookie.build: same_site is Strict, Lax or None", 3)
  end
end

--- The value of a Set-Cookie field. Options: path, domain, max_age (seconds; 0 deletes it), expires (seconds since
--- 1970), secure, http_only, same_site, partitioned.
function cookie.build(name, value, given)
  local wanted = options.read("cookie.build", given, valid)
  if type(value) == "number" and value - value == 0 then value = core.text(value) end
  check_all(name, value, wanted)
  local parts = { name .. "=" .. value }
  local function add(text) parts[#parts + 1] = text end
  if wanted.path then add("Path=" .. wanted.path) end
  if wanted.domain then add("Domain=" .. wanted.domain) end
  if wanted.max_age then add(("Max-Age=%d"):format(wanted.max_age)) end
  if wanted.expires then add("Expires=" .. date.http(wanted.expires)) end
  if wanted.same_site then add("SameSite=" .. SAME_SITE[wanted.same_site:lower()]) end
  if wanted.secure then add "Secure" end
  if wanted.http_only then add "HttpOnly" end
  if wanted.partitioned then add "Partitioned" end
  return table.concat(parts, "; ")
end

options.declare(cookie.build, "cookie.build", 3, valid)

return cookie
