-- SPDX-License-Identifier: Apache-2.0
-- files: where specs find policies, and where policies and specs find modules: in their own folder first, then in the
-- working directory. Also which files a run has read: `perilune test --watch` runs again when one of them is saved.

local core = require "perilune.core"
local lfs = require "lfs"

local M = {}

local read, order = {}, {} -- paths, by path and in order
local base = package.path
local spec_directory, policy_directory = "", ""

--- This file belongs to the run.
function M.note(path)
  if not read[path] then order[#order + 1] = path end
  read[path] = true
end

--- All paths, in order.
function M.noted() return order end

local function directory_of(path) return path:match "^.*/" or "" end

local function patterns(directory)
  if directory == "" then return "" end -- the working directory is in the default
  return ("%s?.lua;%s?/init.lua;"):format(directory, directory)
end

-- Ours first, as in the proxy; then those of the policy and of the spec; then Lua's own.
local function set_search_path()
  local ours, rest = base:match "^([^;]*;[^;]*;)(.*)$"
  package.path = ours .. patterns(policy_directory) .. patterns(spec_directory) .. rest
end

--- A spec file is run: paths are relative to it.
function M.enter(spec)
  M.note(spec)
  spec_directory, policy_directory = directory_of(spec), ""
  set_search_path()
end

--- The path of a file that a spec names: relative to the spec, else to the working directory. nil and a sentence where
--- there is none.
function M.find(path)
  local beside = spec_directory .. path
  if path:sub(1, 1) == "/" or not lfs.attributes(beside, "mode") then beside = path end
  M.note(beside)
  if lfs.attributes(beside, "mode") then return beside end
  if path:sub(1, 1) == "/" then return nil, ("there is no file %s"):format(path) end
  return nil, ("there is no file %s: neither beside the spec (in %s) nor in the working directory (%s)"):format(path,
    spec_directory == "" and "the working directory" or spec_directory, lfs.currentdir())
end

--- The policy at this path is being loaded: its modules and files are in its folder.
function M.enter_policy(path)
  policy_directory = directory_of(path)
  core.test_directory(policy_directory)
  set_search_path()
end

-- Modules of specs and policies, and those in the working directory; not ours, nor what is installed.
local function is_of_project(path)
  local directories = { spec_directory, policy_directory }
  for _, directory in ipairs(directories) do
    if directory ~= "" and path:sub(1, #directory) == directory then return true end
  end
  return path:sub(1, 1) ~= "/"
end

-- Each module that is found by package.path, wherever it is required.
local find_module = package.loaders[2]
package.loaders[2] = function(name)
  local path = package.searchpath(name, package.path)
  if path and is_of_project(path) then M.note(path) end
  return find_module(name)
end

return M
