-- SPDX-License-Identifier: Apache-2.0
-- metrics: reads the metrics of a proxy from its admin listener, strictly: a line that Prometheus would not accept is
-- an error.
local cjson = require "cjson"
local client = require "perilune.test.client"
local misuse = require "perilune.test.misuse"
local scheduler = require "perilune.test.scheduler"

local M = {}

local function get(proxy, path)
  local response = client.request { port = proxy.admin_port, host = "127.0.0.1", path = path }
  assert(response.status == 200, response.body)
  return response.body
end

-- name="value",...: in a value a quote, a backslash and a line feed are escaped.
local function check_labels(line, labels)
  local rest = labels .. ","
  while rest ~= "" do
    local value, after = rest:match '^[%a_][%w_]*="(.-[^\\])",(.*)$'
    if not value then value, after = rest:match '^[%a_][%w_]*="(.-\\\\)",(.*)$' end
    if not value then value, after = rest:match '^[%a_][%w_]*="()",(.*)$' end
    assert(after, "not in the text format: " .. line)
    local plain = tostring(value):gsub('\\[\\"n]', "")
    assert(not plain:find '["\\\n]', "not escaped: " .. line)
    rest = after
  end
end

--- Values by their name with its labels: samples['perilune_requests_total{listener="...",status="200"}'].
---@return table<string, number> samples, table<string, string> types by the metric's name
function M.parse(text)
  local samples, types, last = {}, {}, nil
  assert(text:sub(-1) == "\n", "the last line does not end")
  for line in text:gmatch "[^\n]+" do
    local name, kind = line:match "^# TYPE (%S+) (%a+)$"
    if name then
      assert(not types[name], name .. " has two types")
      types[name], last = kind, name
    elseif not line:match "^# HELP %S+ .+$" then
      local key, value = line:match "^(%S.*) (%S+)$"
      local metric, labels = key:match "^([%a_:][%w_:]*){(.*)}$"
      metric = metric or key
      if labels then check_labels(line, labels) end
      local whole = metric:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")
      local is_part = types[last] == "histogram" and whole == last
      assert(metric == last or is_part, "a line outside of its metric: " .. line)
      assert(not samples[key], "twice: " .. key)
      samples[key] = assert(tonumber(value), line)
    end
  end
  return samples, types
end

--- All metrics of a proxy, as they are now.
function M.read(proxy) return M.parse(get(proxy, "/metrics")) end
function M.status(proxy) return cjson.decode(get(proxy, "/status.json")) end

--- --- series of one metric ----------------------------------------------------------------------------------------

local function names_of(types)
  local names = {}
  for name, kind in pairs(types) do
    for _, part in ipairs(kind == "histogram" and { "_bucket", "_sum", "_count" } or { "" }) do
      names[#names + 1] = name .. part
    end
  end
  table.sort(names)
  return names
end

-- A metric of the proxy itself is there from the start: a name that is not is misspelt.
local function check_name(name, types)
  if not name:find "^perilune_" then return end
  local names = names_of(types)
  for _, known in ipairs(names) do
    if known == name then return end
  end
  misuse.raise(("there is no metric '%s'%s"):format(name, misuse.suggestion(name, names)))
end

-- By key the values of those series of `name`, which may have labels of its own as in 'name{status="200"}', that have
-- all of them, and the text `labels` in their labels.
local function matching(samples, name, labels)
  local found, plain = {}, name:match "^[^{]*"
  for key, value in pairs(samples) do
    local fits = key:match "^[^{]*" == plain and key:find(labels or "", #plain + 1, true)
    for label in name:sub(#plain + 1):gmatch '[%a_][%w_]*="[^"]*"' do
      fits = fits and key:find(label, #plain + 1, true)
    end
    if fits then found[key] = value end
  end
  return found
end

--- The sum of a metric over its series with these labels.
function M.sum(samples, types, name, labels)
  local sum = 0
  check_name(name:match "^[^{]*", types)
  for _, value in pairs(matching(samples, name, labels)) do sum = sum + value end
  return sum
end

--- For the message of a test that has failed: all series of a metric with their values, or that there is none.
function M.lines(samples, types, name)
  local lines, plain = {}, name:match "^[^{]*"
  for key, value in pairs(matching(samples, plain)) do lines[#lines + 1] = ("%s %s"):format(key, value) end
  table.sort(lines)
  if #lines > 0 then return lines end
  if types[plain] then return { "it has no series yet" } end
  return { ("there is no metric '%s'%s"):format(plain, misuse.suggestion(plain, names_of(types))) }
end

--- Waits until a metric has a value: what workers state comes once a second.
function M.wait(proxy, name, value)
  local found
  scheduler.eventually(function()
    found = M.read(proxy)[name]
    return found == value
  end, nil, name .. " to become " .. value)
end

return M
