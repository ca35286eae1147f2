-- SPDX-License-Identifier: Apache-2.0
-- perilune.date: times as text: HTTP's form (RFC 9110 section 5.6.7) and ISO 8601 (RFC 3339). Times are seconds since
-- 1970, in UTC; the default is now.

local check = require "perilune.check"
local core = require "perilune.core"

---@type perilune.date
local date = {}

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
local NUMBER_OF = {}
for number, name in ipairs(MONTHS) do NUMBER_OF[name] = number end

-- Days from 1970-01-01 to a date of the Gregorian calendar; years are counted from March, so that a leap day is last.
local function days_to(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local year_of_era = year - era * 400
  local day_of_year = math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  local day_of_era = year_of_era * 365 + math.floor(year_of_era / 4) - math.floor(year_of_era / 100) + day_of_year
  return era * 146097 + day_of_era - 719468
end

local function days_in(year, month)
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return month == 2 and (leap and 29 or 28) or (month == 4 or month == 6 or month == 9 or month == 11) and 30 or 31
end

-- nil where there is no such time. A leap second is the second behind it.
local function seconds_of(year, month, day, hour, minute, second)
  if month < 1 or month > 12 or day < 1 or day > days_in(year, month) then return nil end
  if hour > 23 or minute > 59 or second >= 61 then return nil end
  return days_to(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
end

-- A time of the years 0 to 9999, which is what texts have room for.
local function moment(call, time)
  time = check.number(call, 1, time, core.time())
  if time >= -62167219200 and time < 253402300800 then return time end
  check.raise(("%s: the time is outside of the years 0 to 9999"):format(call))
end

--- "Sun, 06 Nov 1994 08:49:37 GMT"
function date.http(time)
  local t = os.date("!*t", math.floor(moment("date.http", time)))
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(DAYS[t.wday], t.day, MONTHS[t.month], t.year, t.hour, t.min,
    t.sec)
end

--- The time of an HTTP date, also of the two old forms; nil and a message where it is none.
function date.parse_http(text)
  local day, month, year, hour, minute, second =
    check.string("date.parse_http", 1, text):match "^%a+, (%d%d)[ -](%a%a%a)[ -](%d+) (%d%d):(%d%d):(%d%d) GMT$"
  if not day then
    month, day, hour, minute, second, year = text:match "^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$"
  end
  month = NUMBER_OF[month]
  if not month or (#year ~= 2 and #year ~= 4) then return nil, "not an HTTP date" end
  local full = tonumber(year)
  if #year == 2 then -- RFC 850: more than 50 years ahead is the last century
    local now = os.date("!*t", math.floor(core.time())).year
    full = full + math.floor(now / 100) * 100
    if full > now + 50 then full = full - 100 end
  end
  local time = seconds_of(full, month, tonumber(day), tonumber(hour), tonumber(minute), tonumber(second))
  if not time then return nil, "there is no such time" end
  return time
end

--- "2026-01-31T12:00:00Z"; with `digits` of a second "2026-01-31T12:00:00.123Z"
function date.iso8601(time, digits)
  time, digits = moment("date.iso8601", time), check.number("date.iso8601", 2, digits, 0)
  if digits % 1 ~= 0 or digits < 0 or digits > 9 then check.raise "date.iso8601: digits of a second are 0 to 9" end
  local scale = 10 ^ digits
  local whole = math.floor(time * scale) / scale
  local text = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(whole))
  if digits == 0 then return text .. "Z" end
  return ("%s.%0" .. digits .. "dZ"):format(text, math.floor((whole - math.floor(whole)) * scale + 0.5))
end

local function offset_of(zone)
  if zone == "Z" or zone == "z" then return 0 end
  local sign, hours, minutes = zone:match "^([+-])(%d%d):?(%d%d)$"
  if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then return nil end
  return (sign == "-" and -1 or 1) * (hours * 3600 + minutes * 60)
end

--- The time of an ISO 8601 date and time with zone; nil and a message where it is none.
function date.parse_iso8601(text)
  local year, month, day, hour, minute, second, zone =
    check.string("date.parse_iso8601", 1, text):match "^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ](%d%d):(%d%d):(%d%d%.?%d*)(.+)$"
  local offset = zone and offset_of(zone)
  second = tonumber(second)
  if not offset or not second then return nil, "not an ISO 8601 time with a zone" end
  local time = seconds_of(tonumber(year), tonumber(month), tonumber(day), tonumber(hour), tonumber(minute), second)
  if not time then return nil, "there is no such time" end
  return time - offset
end

return date
