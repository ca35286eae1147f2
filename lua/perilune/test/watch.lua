-- SPDX-License-Identifier: Apache-2.0
-- watch: `perilune test --watch`: runs the specs, and runs them again whenever a file that they have read, or another
-- Lua file in the same folders, is saved. Each run is a separate process, which writes its result and the files it
-- has read into a file (PERILUNE_TEST_REPORT); its files in TMPDIR are removed after it. If a file is saved during a
-- run, the run is ended. Ctrl-C ends all.
--
-- An editor may write a file, or replace it with another one: so directories are watched, not files.

local bit = require "bit"
local ffi = require "ffi"
local lfs = require "lfs"
local sys = require "perilune.test.sys"

local M = {}

local SIGINT, SIGTERM, SIGKILL, SIG_BLOCK = 2, 15, 9, 0
local IN_CLOSE_WRITE, IN_MOVED_TO, IN_DELETE = 0x8, 0x80, 0x200
local NONBLOCK, CLOEXEC = 0x800, 0x80000
local SUBDIRECTORIES = 64 -- of one directory, at most
local QUIET_SECONDS = 0.05 -- an editor writes more than one file

local C = ffi.C

local function say(text, ...)
  io.stderr:write("perilune test: ", text:format(...), "\n")
  io.stderr:flush()
end

--- --- told by the run ---------------------------------------------------------------------------------------------

--- Tells who watches, where somebody does.
---@param counts table success, failure, error, pending
---@param paths string[] files that were read
function M.report(counts, paths)
  local name = os.getenv "PERILUNE_TEST_REPORT"
  local file = name and io.open(name, "w")
  if not file then return end
  file:write(("%d %d %d\n"):format(counts.success, counts.failure + counts.error, counts.pending))
  file:write(table.concat(paths, "\n"), "\n")
  file:close()
end

local function read_report(path)
  local file = io.open(path)
  if not file then return nil end
  local passed, failed, pending = file:read("*l"):match "(%d+) (%d+) (%d+)"
  local report = { passed = tonumber(passed), failed = tonumber(failed), pending = tonumber(pending), paths = {} }
  for line in file:lines() do report.paths[#report.paths + 1] = line end
  file:close()
  return report
end

--- --- what is watched ---------------------------------------------------------------------------------------------

local function directory_of(path) return path:match "^(.*)/[^/]*$" or "." end

-- All directories to watch, and the files in them that count beside those ending in .lua.
local function add_directory(watched, path)
  if watched.directories[path] then return end
  local id = C.inotify_add_watch(watched.fd, path, bit.bor(IN_CLOSE_WRITE, IN_MOVED_TO, IN_DELETE))
  if id < 0 then return end
  watched.directories[path] = true
  watched.names[id] = path
end

local function subdirectories(path)
  local list = {}
  for name in lfs.dir(path) do
    local inner = path .. "/" .. name
    if name:sub(1, 1) ~= "." and lfs.attributes(inner, "mode") == "directory" then list[#list + 1] = inner end
  end
  return list
end

-- The modules of a policy that a proxy has loaded are not known: they are in its folder, or one below.
local function add_file(watched, path)
  local directory = directory_of(path)
  watched.files[path:gsub("^%./", "")] = true
  if watched.directories[directory] then return end
  add_directory(watched, directory)
  for i, inner in ipairs(subdirectories(directory)) do
    if i <= SUBDIRECTORIES then add_directory(watched, inner) end
  end
end

-- What is given on the command line: a spec, or a directory of specs, which busted looks through as a whole.
local function add_given(watched, path)
  local mode = lfs.attributes(path, "mode")
  if mode ~= "directory" then return add_file(watched, path) end
  path = path:gsub("(.)/+$", "%1")
  add_directory(watched, path)
  for _, inner in ipairs(subdirectories(path)) do add_given(watched, inner) end
end

local function open_watch(words)
  local fd = C.inotify_init1(bit.bor(NONBLOCK, CLOEXEC))
  if fd < 0 then error("inotify is not there: files cannot be watched", 0) end
  local watched = { fd = fd, directories = {}, names = {}, files = {} }
  for _, word in ipairs(words) do
    if lfs.attributes(word, "mode") then add_given(watched, word) end
  end
  if not next(watched.directories) and lfs.attributes("spec", "mode") then add_given(watched, "spec") end
  return watched
end

-- The name of a file of the run that was saved; nil: none was.
local function take_changes(watched)
  local changed
  while true do
    local bytes = sys.read(watched.fd)
    if not bytes or bytes == "" then return changed end
    local at = 1
    while at + 15 <= #bytes do
      local header = ffi.cast("const uint32_t *", ffi.cast("const char *", bytes) + at - 1)
      local id, length = header[0], header[3]
      local name = bytes:sub(at + 16, at + 15 + length):match "^[^%z]*"
      local directory = watched.names[tonumber(id)] or "."
      local path = (directory .. "/" .. name):gsub("^%./", "")
      if name:find "%.lua$" or watched.files[path] then changed = changed or path end
      at = at + 16 + length
    end
  end
end

--- --- signals -----------------------------------------------------------------------------------------------------

-- A descriptor that is readable once we are to end.
local function open_signals()
  local set = ffi.new "sys_signals"
  set.bits[0] = bit.bor(bit.lshift(1, SIGINT - 1), bit.lshift(1, SIGTERM - 1))
  C.sigprocmask(SIG_BLOCK, set, nil)
  return C.signalfd(-1, set, bit.bor(NONBLOCK, CLOEXEC))
end

--- --- runs --------------------------------------------------------------------------------------------------------

local function remove(directory) os.execute("rm -rf '" .. directory .. "'") end

local function start(words)
  local directory = assert(sys.temporary_directory())
  local command = { sys.own_binary(), "test", unpack(words) }
  local run = { directory = directory, report = directory .. "/report", began = sys.now() }
  run.pid = assert(sys.spawn(command, { env = { TMPDIR = directory, PERILUNE_TEST_REPORT = run.report } }))
  return run
end

-- Proxies of the run end with it.
local function stop(run)
  sys.kill(run.pid, SIGKILL)
  while sys.exit_code(run.pid) == nil do sys.poll({}, 0.005) end
  remove(run.directory)
end

local function count_files(watched)
  local count = 0
  for _ in pairs(watched.files) do count = count + 1 end
  return count
end

local function finish(run, watched)
  local report = read_report(run.report)
  remove(run.directory)
  for _, path in ipairs(report and report.paths or {}) do add_file(watched, path) end
  local waits = ("waiting for a change of %d files or another Lua file beside them; Ctrl-C ends"):format(
    count_files(watched))
  if not report then
    say("FAILED: it ended with status %d before its end; %s", run.code, waits)
    return
  end
  local bad = report.failed > 0 or run.code ~= 0
  say("%s: %d passed, %d failed, %d pending in %.2f s; %s", bad and "FAILED" or "fine", report.passed, report.failed,
    report.pending, sys.now() - run.began, waits)
end

-- Until something is to be done: "end", the path of a file that was saved, or nil: the run has ended.
local function await(run, watched, signals)
  while true do
    local wanted = { { signals, sys.READ }, { watched.fd, sys.READ } }
    for _, ready in ipairs(sys.poll(wanted, run and 0.02 or 3600)) do
      if ready == 1 then return "end" end
      local path = take_changes(watched)
      if path then return "changed", path end
    end
    run = run or false
    if run then
      run.code = sys.exit_code(run.pid)
      if run.code then return nil end
    end
  end
end

--- Without --watch, in the words of the command line: nil; else the other words.
function M.wanted(words)
  local rest, found = {}, false
  for _, word in ipairs(words) do
    if word == "--watch" then found = true else rest[#rest + 1] = word end
  end
  return found and rest or nil
end

--- Runs until Ctrl-C or a TERM. Returns the exit code.
function M.run(words)
  local watched, signals = open_watch(words), open_signals()
  local run = start(words)
  while true do
    local what, path = await(run, watched, signals)
    if what == "end" then
      if run then stop(run) end
      say "ended"
      return 0
    elseif what == "changed" then
      if run then stop(run) end
      sys.poll({}, QUIET_SECONDS)
      take_changes(watched)
      say("%s was saved", path)
      run = start(words)
    else
      finish(run, watched)
      run = nil
    end
  end
end

return M
