-- SPDX-License-Identifier: Apache-2.0
-- perilune.lint: what `perilune check` finds in a policy that has loaded: mistakes that would show only when a request
-- comes that way. It reads the bytecode of the policy's files (perilune.bytecode), and looks at the values that the
-- hooks hold; nothing of the policy is run.
--
-- Faults are what cannot be meant; a warning may be. What cannot be known from here (most values are) is left alone.

local bytecode = require "perilune.bytecode"
local check = require "perilune.check"
local core = require "perilune.core"

local lint = {}

local getupvalue = debug.getupvalue
local LONGEST = 20 -- findings of each kind

--- --- names --------------------------------------------------------------------------------------------------------

local HOOK_PARAMETERS = { session = true, ctx = true, request = true, response = true, trailers = true, chunk = true,
  is_last = true, peer = true, reused = true, failure = true }

local FOREIGN = {
  ngx = "that is OpenResty: here a hook is given session, request and response",
  kong = "that is Kong: here a hook is given session, request and response",
  core = "that is HAProxy: see perilune.* and the hooks",
}

local function list_of(set)
  local list = {}
  for name in pairs(set) do if type(name) == "string" then list[#list + 1] = name end end
  table.sort(list)
  return list
end

-- Names that a text makes: of locals, parameters and loops.
local function locals_of(text)
  local names = {}
  local function add(list) for name in list:gmatch "[%a_][%w_]*" do names[name] = true end end
  for list in text:gmatch "local%s+([%w_, ]+)" do add(list) end
  for list in text:gmatch "function[^(\n]*%(([^)\n]*)%)" do add(list) end
  for list in text:gmatch "for%s+([%w_, ]+)" do add(list) end
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
  local near = core.nearest(name, list_of(names))
  if near then return ("did you mean %s?"):format(near) end
  if pcall(require, "perilune." .. name) then return ('write: local %s = require "perilune.%s"'):format(name, name) end
  return ("where it may be missing, ask for rawget(_G, %q)"):format(name)
end

--- --- the policy's files -------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  return text
end

-- The files that are Lua and not ours, compiled: { path, text, chunk }.
local function files_of(lines)
  local files = {}
  for path in lines:gmatch "[^\n]+" do
    local text = not core.is_own_source("@" .. path) and path:find "%.lua$" and read(path)
    local chunk = text and loadstring(text, "@" .. path)
    if chunk then files[#files + 1] = { path = path, text = text, chunk = chunk } end
  end
  return files
end

--- --- globals ------------------------------------------------------------------------------------------------------

local function add(findings, path, line, format, ...)
  findings[#findings + 1] = { path = path, line = line, text = format:format(...) }
end

local function each_global(file, visit)
  bytecode.each(file.chunk, function(fn)
    for _, global in ipairs(bytecode.globals(fn)) do visit(global, fn == file.chunk) end
  end)
end

local function written_globals(files)
  local written = {}
  for _, file in ipairs(files) do
    each_global(file, function(global) if global.is_written then written[global.name] = true end end)
  end
  return written
end

local function is_hook(name)
  for _, hook in ipairs(core.hook_names()) do if hook == name then return true end end
  return false
end

local function look_at_written(found, file, global, in_main_chunk)
  if is_hook(global.name) then
    add(found.faults, file.path, global.line, "the global '%s' is no hook: write function policy.%s", global.name,
      global.name)
  elseif not in_main_chunk then
    add(found.warnings, file.path, global.line, "the global '%s' is set inside a function: all requests of a worker "
      .. "share it, and no other worker has it; write local %s, or keep it in ctx", global.name, global.name)
  end
end

local function look_at_globals(found, files)
  local written, seen = written_globals(files), {}
  for _, file in ipairs(files) do
    each_global(file, function(global, in_main_chunk)
      local key = ("%s:%d %s %s"):format(file.path, global.line, global.name, tostring(global.is_written))
      if seen[key] then return end
      seen[key] = true
      if global.is_written then
        look_at_written(found, file, global, in_main_chunk)
      elseif rawget(_G, global.name) == nil and not written[global.name] then
        add(found.faults, file.path, global.line, "there is no global '%s': %s", global.name,
          hint_for(global.name, file))
      end
    end)
  end
end

--- --- methods of what hooks are given ------------------------------------------------------------------------------

local function words(text)
  local set = {}
  for word in text:gmatch "%S+" do set[word] = true end
  return set
end

local CHANGES = words "set_header add_header remove_header"
local OF_RESPONSES = words "status reason set_status"
local OF_MESSAGES = words "get_header get_headers headers"
local OF_REQUESTS = words "method target path version set_method set_target"

-- Does something of that kind have the method? Nil: it is the method of none.
local function has_method(kind, name)
  if rawget(core.session_methods(), name) == nil then return nil end
  if OF_MESSAGES[name] then return true end
  if kind == "session" then return not CHANGES[name] and not OF_RESPONSES[name] and name ~= "set_target" end
  if CHANGES[name] then return true end
  if kind == "request" then return OF_REQUESTS[name] == true end
  return kind == "response" and OF_RESPONSES[name] == true
end

local function whose(kind, name)
  if kind == "session" and (CHANGES[name] or name == "set_target") then return "session:request():" .. name end
  if CHANGES[name] then return "request:" .. name end
  return (OF_RESPONSES[name] and "response:" or "session:") .. name
end

local KINDS = { -- of the parameters of hooks, where they are no session
  upstream_request_filter = { [2] = "request" }, upstream_response_filter = { [2] = "response" },
  response_filter = { [2] = "response" }, answer_filter = { [2] = "response" },
  response_trailer_filter = { [2] = "trailers" },
}

-- session.path(session) is right, though nobody writes it; and what only a run can tell may be.
local function is_given(argument, position)
  if argument.kind == "parameter" then return argument.index + 1 == position end
  return argument.kind == "field" or argument.kind == "upvalue"
end

local function look_at_method(found, fn, call, hook)
  local of = call.callee.kind == "field" and call.callee.of
  if not of or of.kind ~= "parameter" then return end
  local position, name = of.index + 1, call.callee.name
  local kind = position == 1 and "session" or (KINDS[hook] or {})[position]
  if not kind or hook == "certificate" then return end
  local has = has_method(kind, name)
  local path = bytecode.info(fn).source:sub(2)
  if not call.is_method then
    if has and not is_given(call.argument(1), position) then
      add(found.faults, path, call.line, "methods are called with a colon: %s:%s(...)", kind, name)
    end
    return
  end
  if has == nil then
    local there = {}
    for known in pairs(core.session_methods()) do there[known] = has_method(kind, known) or nil end
    add(found.faults, path, call.line, "a %s has no '%s'%s", kind, name, check.meant(name, list_of(there)))
  elseif not has then
    add(found.faults, path, call.line, "a %s has no %s: use %s", kind, name, whose(kind, name))
  end
end

local ANSWER = words "status reason headers body close"

-- session:respond { staus = 200 }, as far as it stands there.
local function look_at_answer(found, fn, call)
  local given = call.is_method and call.callee.name == "respond" and call.argument(2)
  if not given or given.kind ~= "template" then return end
  for name in pairs(given.value) do
    if not ANSWER[name] then
      add(found.faults, bytecode.info(fn).source:sub(2), call.line, "session:respond: unknown field '%s'%s",
        tostring(name), check.hint(name, list_of(ANSWER)))
    end
  end
end

--- --- what the hooks hold ------------------------------------------------------------------------------------------

-- A name of an upvalue that is an object or a module of ours: those say themselves what they do not have.
local function look_at_upvalue(found, fn, call)
  local of = call.callee.kind == "field" and call.callee.of
  if not of or of.kind ~= "upvalue" then return end
  local _, value = getupvalue(fn, of.index + 1)
  if type(value) ~= "table" and type(value) ~= "userdata" then return end
  local ok, why = pcall(function() return value[call.callee.name] end)
  if ok then return end
  why = tostring(why):gsub("^.-:%d+: ", "")
  add(found.faults, bytecode.info(fn).source:sub(2), call.line, "%s", why)
end

local function look_at_calls(found, fn, hook)
  for _, call in ipairs(bytecode.calls(fn)) do
    if hook then look_at_method(found, fn, call, hook) end
    look_at_answer(found, fn, call)
    look_at_upvalue(found, fn, call)
  end
end

local function look_at_hooks(found, hooks)
  local names, roots = {}, {}
  for _, hook in ipairs(hooks) do
    if bytecode.is_policys(hook.fn) then
      names[hook.fn] = names[hook.fn] or hook.name
      roots[#roots + 1] = hook.fn
    end
  end
  for _, fn in ipairs(bytecode.reachable(roots, bytecode.is_policys)) do look_at_calls(found, fn, names[fn]) end
end

local function look_at_sets(found)
  local balancer = package.loaded["perilune.balancer"]
  for _, place in ipairs(balancer and balancer.empty_sets() or {}) do
    add(found.warnings, place.path, place.line, "this set has no backends: its requests get 503 until set:update "
      .. "or perilune.discovery gives it some")
  end
end

--- --- the report ---------------------------------------------------------------------------------------------------

-- In order of files and lines, each once.
local function lines_of(findings)
  table.sort(findings, function(a, b)
    if a.path ~= b.path then return a.path < b.path end
    return a.line < b.line or a.line == b.line and a.text < b.text
  end)
  local lines, seen = {}, {}
  for _, one in ipairs(findings) do
    local line = ("%s:%d: %s"):format(one.path, one.line, one.text)
    if not seen[line] and #lines < LONGEST then
      seen[line], lines[#lines + 1] = true, line
    end
  end
  return table.concat(lines, "\n")
end

--- Looks at a policy that has loaded. `files`: its files, one a line; `hooks`: its functions, as { name, fn }.
---@return string faults, string warnings lines, or empty
function lint.look(files, hooks)
  local found = { faults = {}, warnings = {} }
  look_at_globals(found, files_of(files))
  look_at_hooks(found, hooks)
  look_at_sets(found)
  return lines_of(found.faults), lines_of(found.warnings)
end

return lint
