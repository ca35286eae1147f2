-- SPDX-License-Identifier: Apache-2.0
-- perilune.own_files: files that a policy reads beside its modules: perilune.watch, and the reading half of
-- perilune.json and perilune.yaml. Those that are read are files of the policy: with --watch a change of one is a
-- reload.

local check = require "perilune.check"
local core = require "perilune.core"

local own_files = {}

local PAUSE = 1 -- seconds between looks at a file

--- The value of a file, by `decode`; nil and "<path>: <why>".
function own_files.read(call, name, decode)
  local path = core.own_file(check.string(call, 1, name))
  local text, why = core.read_file(path)
  if not text then return nil, why end
  local value, fault = decode(text)
  if fault then return nil, path .. ": " .. fault end
  return value
end

--- Calls fn(path) when the file has changed, appeared or gone, in the control worker and in all workers.
function own_files.watch(name, fn)
  if type(fn) ~= "function" then
    check.raise(("perilune.watch: expected a function as argument 2, got a %s value"):format(type(fn)))
  end
  local path = core.path(check.string("perilune.watch", 1, name))
  local stamp = core.file_stamp(path)
  return core.every(PAUSE, function()
    local now = core.file_stamp(path)
    if now == stamp then return end
    stamp = now
    fn(path)
  end, { on = "every worker" })
end

return own_files
