-- SPDX-License-Identifier: Apache-2.0
-- said: numbers that somebody else has written, in JSON, a header or a file. tonumber takes "nan", "inf" and "0x10",
-- too, which no protocol means, and with which later comparisons and JSON go wrong.

local said = {}

local MOST = 2 ^ 53

--- A whole number from 0 to 2^53, or decimal digits of one; nil: it is none.
function said.whole(value)
  if type(value) == "string" then value = value:find "^%d+$" and tonumber(value) end
  return type(value) == "number" and value >= 0 and value <= MOST and value % 1 == 0 and value or nil
end

--- Seconds: a number from 0 to 2^53, or decimal digits of one; nil: it is none.
function said.seconds(value)
  if type(value) == "string" then value = value:find "^%d+%.?%d*$" and tonumber(value) end
  return type(value) == "number" and value >= 0 and value <= MOST and value or nil
end

return said
