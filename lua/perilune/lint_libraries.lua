-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint_libraries: what `perilune check` says of libraries that a policy has loaded for perilune.ngx: the names
-- of ngx that they mention and that are not there. A library may never come by the line, so these are doubts.

local core = require "perilune.core"
local findings = require "perilune.findings"

local M = {}

-- The file of a loaded module; nil: it has none, or is one of ours.
local function file_of(name)
  if name:find "^perilune" or package.preload[name] then return nil end
  local rest = name:match "^resty%.(.+)$"
  return package.searchpath(name, package.path) or rest and package.searchpath("nginx." .. rest, package.path)
end

-- Without comments and strings of one line, so that what they say is no mention.
local function code_of(line)
  return (line:gsub("%-%-.*$", ""):gsub('"[^"]*"', '""'):gsub("'[^']*'", "''"))
end

local function look_at_file(found, path, text, fault)
  local seen, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    for before, name in code_of(line):gmatch "([^%w_.]?)ngx%.([%a_][%w_]*%.?[%w_]*)" do
      name = name:gsub("%.$", "")
      local why = before ~= "." and not seen[name] and fault(name)
      seen[name] = true
      if why then
        findings.add(found.warnings, path, number, "ngx.%s is not in Perilune: %s", name, why)
      end
    end
  end
end

--- Is that file, or "@" and its path, a library for perilune.ngx? How these are written is not the policy's. They lie
--- in folders of their names, or were found by package.path elsewhere than beside the policy.
function M.has(path)
  if not package.loaded["perilune.ngx.absent"] then return false end
  path = path:gsub("^@", "")
  for _, folder in ipairs { "/resty/", "/nginx/", "/ngx/" } do if path:find(folder, 1, true) then return true end end
  local own = core.own_file "x":match "^(.*/)" or "./"
  return path:find "^/" ~= nil and path:sub(1, #own) ~= own
end

--- Puts what it finds into found.warnings.
function M.look(found)
  local absent = package.loaded["perilune.ngx.absent"]
  if not absent then return end
  for name in pairs(package.loaded) do
    local path = type(name) == "string" and file_of(name)
    local text = path and core.read_file(path)
    if text and text:find("ngx", 1, true) then look_at_file(found, path, text, absent.fault) end
  end
end

return M
