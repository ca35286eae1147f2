-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.text: encodings and digests. Other values than strings become strings, as ngx_lua does it: they raise
-- no error.

local core = require "perilune.core"

local function text_of(value)
  if type(value) == "string" then return value end
  return value == nil and "" or tostring(value)
end

-- Decoding as browsers and ngx_lua do it: with or without padding, and whatever the last bits are.
local last_of = {} -- the digit with the unused bits cleared, by how many are unused
for unused, step in pairs { [2] = 4, [4] = 16 } do
  local digits, map = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", {}
  for i = 1, 64 do
    local first = i - (i - 1) % step
    map[digits:sub(i, i)] = digits:sub(first, first)
  end
  last_of[unused] = map
end

local function decode_url_base64(text)
  text = text:gsub("=+$", "")
  local rest = #text % 4
  if rest == 1 then return nil end
  if rest > 1 then
    local last = last_of[rest == 2 and 4 or 2][text:sub(-1)]
    if not last then return nil end
    text = text:sub(1, -2) .. last
  end
  return (core.decode_base64_url(text))
end

local base64 = {}
function base64.encode_base64url(text)
  if type(text) ~= "string" then return nil, "must provide a string" end
  return core.encode_base64_url(text)
end
function base64.decode_base64url(text)
  if type(text) ~= "string" then return nil, "must provide a string" end
  local bytes = decode_url_base64(text)
  if not bytes then return nil, "invalid input" end
  return bytes
end

local path_kept = "[^%w%-%._~!%$&'%(%)%*%+,/:;=@]"

local function escape_uri(text, kind)
  text = text_of(text)
  if kind ~= 0 and kind ~= nil and kind ~= 2 then core.raise '"type" 0 or 2 expected' end
  if kind ~= 0 then return core.encode_url(text) end
  return (text:gsub(path_kept, function(byte) return ("%%%02X"):format(byte:byte()) end))
end

-- "name=value" for each value; false is left out, true is a name alone.
local function add_args(parts, name, value)
  if type(value) == "table" then
    for _, one in ipairs(value) do add_args(parts, name, one) end
  elseif value == true then
    parts[#parts + 1] = name
  elseif value then
    parts[#parts + 1] = name .. "=" .. core.encode_url(text_of(value))
  end
end

local function encode_args(args)
  if type(args) ~= "table" then core.raise "ngx.encode_args: bad argument #1 (table expected)" end
  local names, parts = {}, {}
  for name in pairs(args) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do add_args(parts, core.encode_url(text_of(name)), args[name]) end
  return table.concat(parts, "&")
end

local function add_arg(args, name, value)
  local old = args[name]
  if old == nil then
    args[name] = value
  elseif type(old) == "table" then
    old[#old + 1] = value
  else
    args[name] = { old, value }
  end
end

--- The fields of a query: a repeated one is an array, one without = is true. At most `most` (0: all); beyond that, the
--- second result is "truncated".
local function decode_args(text, most)
  local args, count = {}, 0
  most = most or 100
  for field in text_of(text):gmatch "[^&]+" do
    local name, value = field:match "^([^=]*)=(.*)$"
    name = core.decode_url(name or field, true)
    if name ~= "" then
      if count == most and most > 0 then return args, "truncated" end
      count = count + 1
      add_arg(args, name, value and core.decode_url(value, true) or true)
    end
  end
  return args
end

local quotes = { ["\0"] = "\\0", ["\b"] = "\\b", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\26"] = "\\Z",
  ["\\"] = "\\\\", ["'"] = "\\'", ['"'] = '\\"' }

return function(ngx)
  ngx.null = core.json_null
  ngx.escape_uri, ngx.encode_args, ngx.decode_args = escape_uri, encode_args, decode_args
  function ngx.unescape_uri(text) return core.decode_url(text_of(text), true) end
  function ngx.encode_base64(text, no_padding)
    local encoded = core.encode_base64(text_of(text))
    return no_padding and (encoded:gsub("=+$", "")) or encoded
  end
  function ngx.decode_base64(text)
    if type(text) ~= "string" then core.raise "ngx.decode_base64: string argument only" end
    if text:find("[-_]") then return nil end
    return decode_url_base64((text:gsub("[+/]", { ["+"] = "-", ["/"] = "_" })))
  end
  function ngx.md5(text) return core.encode_hex(core.digest("md5", text_of(text))) end
  function ngx.md5_bin(text) return core.digest("md5", text_of(text)) end
  function ngx.sha1_bin(text) return core.digest("sha1", text_of(text)) end
  function ngx.hmac_sha1(key, text) return core.hmac("sha1", text_of(key), text_of(text)) end
  function ngx.crc32_short(text) return core.crc32(text_of(text)) end
  function ngx.crc32_long(text) return core.crc32(text_of(text)) end
  function ngx.quote_sql_str(text) return "'" .. text_of(text):gsub("[%z\b\n\r\t\26\\'\"]", quotes) .. "'" end
  return { ["ngx.base64"] = base64 }
end
