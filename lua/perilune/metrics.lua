-- SPDX-License-Identifier: Apache-2.0
-- perilune.metrics: counters, gauges and histograms of the policy; /metrics shows them with those of the proxy.

local core = require "perilune.core"
local options = require "perilune.options"

local metrics = {}

local MOST_LABELS, MOST_BUCKETS = 8, 32
local BUCKETS = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }
local plain = { help = { "string", "A metric of the policy." }, labels = { "list", {} } }
local with_buckets = { help = plain.help, labels = plain.labels, buckets = { "table", BUCKETS } }

local declared = {} -- by name: { kind, labels and buckets as one text, the metric }

-- Each gives what is wrong, or nil.

local function name_fault(name)
  if type(name) == "string" and name:find "^[%a_:][%w_:]*$" and not name:find "^perilune_" then return nil end
  return ("a name has letters, digits, '_' and ':', and does not begin with a digit or 'perilune_'; got %s"):format(
    type(name) == "string" and ("'%s'"):format(name) or ("a %s value"):format(type(name)))
end

local function label_fault(labels)
  if #labels > MOST_LABELS then return ("there can be %d labels at most"):format(MOST_LABELS) end
  for _, label in ipairs(labels) do
    local is_fine = type(label) == "string" and label:find "^[%a_][%w_]*$" and not label:find "^__" and label ~= "le"
    if not is_fine then return ("'%s' can be no label"):format(tostring(label)) end
  end
end

local function bucket_fault(buckets)
  if #buckets < 1 or #buckets > MOST_BUCKETS then return ("there can be 1 to %d buckets"):format(MOST_BUCKETS) end
  for i, bound in ipairs(buckets) do
    local is_number = type(bound) == "number" and bound == bound and math.abs(bound) < math.huge
    if not is_number or i > 1 and bound <= buckets[i - 1] then return "buckets must be numbers that ascend" end
  end
end

-- The same name must mean the same wherever the policy says it.
local function declare(kind, name, given, valid)
  local call = "perilune.metrics." .. kind
  local read = options.read(call, given, valid)
  local buckets = read.buckets or {}
  local fault = name_fault(name) or label_fault(read.labels) or kind == "histogram" and bucket_fault(buckets)
  if fault then error(("%s: %s"):format(call, fault), 2) end
  local meaning = ("%s{%s}%s"):format(kind, table.concat(read.labels, ","), table.concat(buckets, ","))
  local before = declared[name]
  if before and before.meaning ~= meaning then
    error(("%s: '%s' is declared already, as %s"):format(call, name, before.meaning), 2)
  end
  if not before then
    before = { meaning = meaning, metric = core.metric(name, kind, read.help, read.labels, buckets) }
    declared[name] = before
  end
  return before.metric
end

--- A number that only grows: counter:add([n [, label value...]]).
function metrics.counter(name, given) return declare("counter", name, given, plain) end

--- A number that goes up and down: gauge:set(value [, label value...]), gauge:add([n [, label value...]]).
function metrics.gauge(name, given) return declare("gauge", name, given, plain) end

--- How often something had which size: histogram:observe(value [, label value...]).
function metrics.histogram(name, given) return declare("histogram", name, given, with_buckets) end

return metrics
