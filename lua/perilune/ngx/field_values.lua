-- SPDX-License-Identifier: Apache-2.0
-- perilune.ngx.field_values: names and values of fields as handlers give them. What is no text becomes one, and control
-- characters are written as %0D, as nginx does it: a value never ends its line.

local M = {}

local framing = { ["content-length"] = true, ["transfer-encoding"] = true, connection = true, ["keep-alive"] = true,
  trailer = true, upgrade = true, ["proxy-connection"] = true, te = true, ["http2-settings"] = true }

local function hex(byte) return ("%%%02X"):format(byte:byte()) end

local function text_of(value)
  if type(value) == "number" and value - value == 0 then return value end -- finite
  value = tostring(value)
  return value:find "[%z\1-\8\10-\31\127]" and value:gsub("[%z\1-\8\10-\31\127]", hex) or value
end

--- Is it the proxy's own, about which handlers say nothing?
function M.is_framing(name) return framing[name:lower()] end

--- Values as fields have them; nil: there is none.
function M.value_of(value)
  if value == nil then return nil end
  if type(value) ~= "table" then return text_of(value) end
  local values = {}
  for i, one in ipairs(value) do values[i] = text_of(one) end
  return #values > 0 and values or nil
end

return M
