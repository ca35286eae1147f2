-- SPDX-License-Identifier: Apache-2.0
-- perilune.findings: lists of the mistakes that perilune.lint has found, each with its place, and their report.

local findings = {}

local LONGEST = 20 -- findings of each kind

--- Puts one into a list.
function findings.add(list, path, line, format, ...)
  list[#list + 1] = { path = path, line = line, text = format:format(...) }
end

--- Puts one into the faults of a look at a function (perilune.lint_calls.look).
function findings.fault(look, line, ...) findings.add(look.found.faults, look.path, line, ...) end

--- Puts one into its warnings.
function findings.doubt(look, line, ...) findings.add(look.found.warnings, look.path, line, ...) end

--- A list as lines of text, in order of files and lines, each once.
function findings.report(list)
  table.sort(list, function(a, b)
    if a.path ~= b.path then return a.path < b.path end
    return a.line < b.line or a.line == b.line and a.text < b.text
  end)
  local lines, seen, more = {}, {}, 0
  for _, one in ipairs(list) do
    local line = ("%s:%d: %s"):format(one.path, one.line, one.text)
    if not seen[line] then
      seen[line] = true
      if #lines < LONGEST then lines[#lines + 1] = line else more = more + 1 end
    end
  end
  if more > 0 then lines[#lines + 1] = ("and %d more"):format(more) end
  return table.concat(lines, "\n")
end

return findings
