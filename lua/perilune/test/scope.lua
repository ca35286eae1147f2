-- SPDX-License-Identifier: Apache-2.0
-- scope: whether a test is running, or its setup. What is opened in a test is closed with it; what is opened in setup
-- stays open for all tests of the file. The runner of `perilune test` says which it is; without it, under plain
-- busted, everything belongs to a test. It also has the witnesses: functions that tell why a test may have failed.

local M = { inside = true }

local ends, witnesses = {}, {}

--- `after_test` and `after_file` are called then; both may raise.
function M.register(after_test, after_file) ends[#ends + 1] = { after_test, after_file } end

--- `begin` is called before each test; `tell` when it has failed: a text on what went wrong in it, or nil.
function M.add_witness(begin, tell) witnesses[#witnesses + 1] = { begin = begin, tell = tell } end

local function call(which)
  local failure
  for _, entry in ipairs(ends) do
    local ok, message = pcall(entry[which])
    if not ok then failure = failure or message end
  end
  if failure then error(failure, 0) end
end

function M.begin_test()
  M.inside = true
  for _, witness in ipairs(witnesses) do witness.begin() end
end

--- What is known of a test that has failed; "" where that is nothing.
function M.testimony()
  local parts = {}
  for _, witness in ipairs(witnesses) do
    local ok, text = pcall(witness.tell)
    if ok and text then parts[#parts + 1] = "\n" .. text end
  end
  return table.concat(parts)
end

function M.end_test() call(1) end

--- Busted gives each file modules of its own: those of this one are forgotten.
function M.end_file()
  local ok, message = pcall(call, 2)
  ends, witnesses = {}, {}
  if not ok then error(message, 0) end
end

return M
