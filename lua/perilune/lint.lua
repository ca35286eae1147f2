-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint: what `perilune check`, a start and a reload find in a policy that has loaded: mistakes that would show
-- only when a request comes that way. It reads the bytecode of the policy's files (perilune.bytecode) and the values
-- that the hooks hold; it runs no code of the policy.
--
-- A fault always fails when the code runs; a warning may be meant. Values that cannot be known here, which are most,
-- are ignored.

local bytecode = require "perilune.bytecode"
local registers = require "perilune.registers"
local check = require "perilune.check"
local core = require "perilune.core"
local findings = require "perilune.findings"
local lint_calls = require "perilune.lint_calls"
local lint_hooks = require "perilune.lint_hooks"
local lint_libraries = require "perilune.lint_libraries"

local lint = {}

local add = findings.add

--- --- names --------------------------------------------------------------------------------------------------------

local HOOK_PARAMETERS = { session = true, ctx = true, request = true, response = true, trailers = true, chunk = true,
  is_last = true, peer = true, reused = true, failure = true }

local FOREIGN = {
  ngx = "that is OpenResty: here a hook is given session, request and response",
  kong = "that is Kong: here a hook is given session, request and response",
  core = "that is HAProxy: see perilune.* and the hooks",
}

-- Names that a text makes: of locals, parameters and loops.
local function locals_of(text)
  local names = {}
  local function take(list) for name in list:gmatch "[%a_][%w_]*" do names[name] = true end end
  for list in text:gmatch "local%s+([%w_, ]+)" do take(list) end
  for list in text:gmatch "function[^(\n]*%(([^)\n]*)%)" do take(list) end
  for list in text:gmatch "for%s+([%w_, ]+)" do take(list) end
  names["function"], names["local"] = nil, nil
  return names
end

-- What may be meant by a global that is not there.
local function hint_for(name, file)
  if FOREIGN[name] then return FOREIGN[name] end
  if HOOK_PARAMETERS[name] then
    return ("hooks are given it as a parameter: name it in theirs, as in function policy.request_filter(session, ctx)")
  end
  if name == "perilune" then return 'write: local perilune = require "perilune"' end
  local names = locals_of(file.text)
  for known in pairs(_G) do names[known] = true end
  names[name] = nil
  local near = core.nearest(name, check.names(names))
  if near then return ("did you mean %s?"):format(near) end
  if pcall(require, "perilune." .. name) then return ('write: local %s = require "perilune.%s"'):format(name, name) end
  return ("where it may be missing, ask for rawget(_G, %q)"):format(name)
end

--- --- the policy's files -------------------------------------------------------------------------------------------

-- What the functions of a chunk have to do with globals: as bytecode.globals and registers.global_fields have it, each
-- global once for each line; and the names of the upvalues that they set.
local function survey(chunk)
  local globals, fields, seen, set = {}, {}, {}, {}
  bytecode.each(chunk, function(fn)
    for _, name in ipairs(bytecode.set_upvalues(fn)) do set[name] = true end
    for _, global in ipairs(bytecode.globals(fn)) do
      local key = ("%d %s %s"):format(global.line, global.name, tostring(global.is_written))
      if not seen[key] then
        seen[key], global.in_main_chunk = true, fn == chunk
        globals[#globals + 1] = global
      end
    end
    for _, field in ipairs(registers.global_fields(fn)) do fields[#fields + 1] = field end
  end)
  return globals, fields, set
end

-- The files that are Lua and not ours, as many as have so many bytes together: { path, text, chunk, globals, fields,
-- set }; and the paths of those that are left out.
local function files_of(lines, most_bytes)
  local files, left_out = {}, {}
  for path in lines:gmatch "[^\n]+" do
    local is_looked_at = not core.is_own_source("@" .. path) and path:find "%.lua$" and not lint_libraries.has(path)
    local text = is_looked_at and core.read_file(path)
    if text and #text > most_bytes then
      left_out[#left_out + 1], text = path, nil
    end
    if text then most_bytes = most_bytes - #text end
    local chunk = text and loadstring(text, "@" .. path)
    if chunk then
      local globals, fields, set = survey(chunk)
      files[#files + 1] = { path = path, text = text, chunk = chunk, globals = globals, fields = fields, set = set }
    end
  end
  return files, left_out
end

--- --- globals ------------------------------------------------------------------------------------------------------

local function written_globals(files)
  local written = {}
  for _, file in ipairs(files) do
    for _, global in ipairs(file.globals) do
      if global.is_written then written[global.name] = true end
    end
    for _, field in ipairs(file.fields) do
      local is_known = field.is_written or field.is_tested and not field.is_called
      if is_known then written[field.global .. "." .. field.name] = true end
    end
  end
  return written
end

local function look_at_written(found, file, global)
  if check.is_hook(global.name) then
    add(found.faults, file.path, global.line, "the global '%s' is no hook: write function policy.%s", global.name,
      global.name)
  elseif not global.in_main_chunk then
    add(found.warnings, file.path, global.line, "the global '%s' is set inside a function: all requests of a worker "
      .. "share it, and no other worker has it; write local %s, or keep it in ctx", global.name, global.name)
  end
end

-- What a library does not have: string.gsbu. A name that is asked for somewhere, as in table.unpack or unpack, may be
-- missing; one that is kept for later is a slip where another one is near.
local function look_at_fields(found, file, written)
  for _, field in ipairs(file.fields) do
    local library, name = rawget(_G, field.global), field.name
    local is_missing = type(library) == "table" and library ~= _G and not getmetatable(library)
      and library[name] == nil and not written[field.global] and not written[field.global .. "." .. name]
    local names = is_missing and check.names(library)
    local is_meant = field.is_called or is_missing and core.nearest(name, names)
    if is_missing and is_meant and not field.is_written then
      add(found.faults, file.path, field.line, "%s has no '%s'%s", field.global, name, check.meant(name, names))
    end
  end
end

-- A global that a file has which is left out may be set there.
local function is_mentioned(name, left_out)
  for _, path in ipairs(left_out) do
    if (core.read_file(path) or ""):find(name, 1, true) then return true end
  end
  return false
end

local function look_at_global(found, file, global, is_set)
  if global.is_written then
    look_at_written(found, file, global)
  elseif rawget(_G, global.name) == nil and not is_set(global.name) then
    add(found.faults, file.path, global.line, "there is no global '%s': %s", global.name, hint_for(global.name, file))
  end
end

local function look_at_globals(found, files, left_out)
  local written = written_globals(files)
  local function is_set(name) return written[name] or is_mentioned(name, left_out) end
  for _, file in ipairs(files) do
    for _, global in ipairs(file.globals) do look_at_global(found, file, global, is_set) end
    look_at_fields(found, file, written)
  end
end

-- local NAME = require "perilune.MODULE", and what follows it.
local MODULE = "local%s+([%w_]+)%s*=%s*require%s*%(?%s*[\"'](perilune[%w_.]*)[\"']%s*%)?%s*(.?)"

-- Our modules, by the names of the locals that hold them: of names that are no local's for anything else.
local function modules_in(text)
  local modules, counts = {}, {}
  for list in text:gmatch "local%s+([%a_][%w_, ]*)" do
    for name in list:gmatch "[%w_]+" do counts[name] = (counts[name] or 0) + 1 end
  end
  for name, module, behind in text:gmatch(MODULE) do
    local ok, value = pcall(require, module)
    if ok and counts[name] == 1 and not behind:find "[.:%[({\"']" then modules[name] = value end
  end
  return modules
end

-- The calls in a file's functions, also of those that no hook can get at: jobs, and the main chunk.
local function look_at_functions(found, file)
  lint_calls.look { fn = file.chunk, path = file.path, found = found, modules = modules_in(file.text),
    is_set = function(name) return file.set[name] end }
end

local function look_at_sets(found)
  local balancer = package.loaded["perilune.balancer"]
  for _, place in ipairs(balancer and balancer.empty_sets() or {}) do
    add(found.warnings, place.path, place.line, "this set has no backends: its requests get 503 until set:update "
      .. "or perilune.discovery gives it some")
  end
end

--- --- all of it ----------------------------------------------------------------------------------------------------

--- Looks at a policy that has loaded. `files`: its files, one a line; `hooks`: its functions, as { name, fn }. Of
--- files with more than `most_bytes` together the rest is left out.
---@return string faults, string warnings lines, or empty
function lint.look(files, hooks, most_bytes)
  local found = { faults = {}, warnings = {} }
  local looked_at, left_out = files_of(files, most_bytes)
  local set = {}
  for _, file in ipairs(looked_at) do
    set[file.path] = file.set
    look_at_functions(found, file)
  end
  look_at_globals(found, looked_at, left_out)
  lint_hooks.look(found, hooks, function(path, name) return not set[path] or set[path][name] end)
  look_at_sets(found)
  if most_bytes == math.huge then lint_libraries.look(found) end -- `check` alone
  return findings.report(found.faults), findings.report(found.warnings)
end

return lint
