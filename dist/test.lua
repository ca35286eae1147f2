-- SPDX-License-Identifier: Apache-2.0
-- Runs the C units, the busted specs and the specs of `perilune test` side by side, since most of them wait; each file
-- is a job with a process, a TMPDIR and, as root, a loopback network of its own. Reports come in the order of the
-- files, however the jobs end.
--   TMPDIR=... luajit dist/test.lua BUILD [PATTERN]
-- PATTERN picks the spec files whose name holds it, or else the specs whose sentence matches it. A job that leaves a
-- process or a file behind has failed. Environment: JOBS, how many at once; SPEC_SECONDS, how long one may take;
-- SPEC_GRACE, how many seconds its processes may live on.
package.path = "./lua/?.lua;" .. package.path
local ffi = require "ffi"
local lfs = require "lfs"
local sys = require "perilune.test.sys"

ffi.cdef [[
long sysconf(int name);
]]

local build, pattern = arg[1], arg[2] or ""
local REPORTS, TEMPORARY = build .. "/reports", assert(os.getenv "TMPDIR")
local CPUS = tonumber(ffi.C.sysconf(84)) -- _SC_NPROCESSORS_ONLN
local LANES = tonumber(os.getenv "JOBS") or 4 * CPUS -- most of them wait, most of the time
local SECONDS, GRACE = tonumber(os.getenv "SPEC_SECONDS") or 900, tonumber(os.getenv "SPEC_GRACE") or 5
local SIGKILL = 9
local SLOWEST, SLOW = 10, 1.0 -- so many are told, of those that took so many seconds

-- They take longest: begun first, they do not run on alone at the end.
local LONG = { "tls_testssl",
  "steady_state", "stress", "phases", "reload_trouble", "rescue", "deb", "http2_websocket", "deadlines",
  "discovery_etcd", "rate_limit_cluster", "acme", "bundle", "redis_cluster", "stuck_worker", "stall", "safe_defaults",
  "status_page", "profile", "http2_drain", "reload", "shared_dict", "upgrade", "tls_listener", "cache_cluster_purge" }

local passed, failed, pending = 0, 0, 0
local times = {}

-- --- jobs -----------------------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "*a"
  file:close()
  return text
end

local function spec_files(directory)
  local files = {}
  for name in lfs.dir(directory) do
    if name:find "_spec%.lua$" then files[#files + 1] = directory .. "/" .. name end
  end
  table.sort(files)
  return files
end

-- One job for each file; where a sentence is looked for, one for all, because most of them have nothing to run.
local function add_files(jobs, directory, make)
  local files, named = spec_files(directory), {}
  for _, file in ipairs(files) do
    if file:match("[^/]+$"):find(pattern, 1, true) then named[#named + 1] = file end
  end
  if #named == 0 then
    jobs[#jobs + 1] = make(directory, { "--filter=" .. pattern, unpack(files) })
    return
  end
  for _, file in ipairs(named) do jobs[#jobs + 1] = make(file, { file }) end
end

local function unit_report(job)
  local text = read(job.report)
  local good, bad = text:match "(%d+) passed, (%d+) failed\n$"
  text = text:gsub("%d+ passed, %d+ failed\n$", "units: %0") -- the closing line of the run is to be the only one
  return tonumber(good or 0), tonumber(bad or 0), text, good
end

-- The counts, and after them the times, stand in a file that spec/support/output.lua writes at the end.
local function spec_report(job)
  local text = read(job.counts)
  local good, bad, later = text:match "^(%d+) (%d+) (%d+)\n"
  pending = pending + tonumber(later or 0)
  for seconds, name in text:gmatch "\n([%d.]+) ([^\n]+)" do
    times[#times + 1] = { seconds = tonumber(seconds), name = name }
  end
  return tonumber(good or 0), tonumber(bad or 0), read(job.report), good
end

-- What is said in the Test Anything Protocol.
local function inside_report(job)
  local good, bad, marks, rest, is_whole = 0, 0, {}, {}, false
  for line in read(job.report):gmatch "[^\n]+" do
    if line:find "^ok %d+ %- # SKIP" then
      pending = pending + 1
      rest[#rest + 1] = line:gsub("^ok %d+ %- # SKIP", "pending:") .. "\n"
    elseif line:find "^ok" then
      good = good + 1
      marks[#marks + 1] = "."
    elseif line:find "^1%.%." then
      is_whole = true
    else
      if line:find "^not ok" then bad = bad + 1 end
      rest[#rest + 1] = line .. "\n"
    end
  end
  local text = ("%s %s %.1f s\n%s"):format(job.name, table.concat(marks), job.seconds, table.concat(rest))
  return good, bad, (marks[1] or rest[1]) and text or "", is_whole
end

local function all_jobs()
  local busted = io.popen("command -v busted"):read "*l"
  local jobs = { { name = "units", command = { build .. "/units", pattern }, tell = unit_report } }
  add_files(jobs, "spec", function(name, words)
    local command = { "luajit", busted, "--lpath=./spec/support/?.lua;./?.lua", "--output=spec/support/output.lua",
      "--pattern=_spec.lua", "--no-recursive", unpack(words) }
    local binary = os.getenv "PERILUNE" or build .. "/perilune"
    return { name = name, command = command, tell = spec_report, env = { PERILUNE = binary } }
  end)
  add_files(jobs, "spec/policy", function(name, words)
    local command = { build .. "/perilune", "test", "--output=TAP", unpack(words) }
    return { name = name, command = command, tell = inside_report }
  end)
  return jobs
end

-- --- what a job must not leave behind -------------------------------------------------------------------------------

-- All that were begun in the job have its TMPDIR in their environment.
local function processes_of(job)
  local found = {}
  for name in lfs.dir "/proc" do
    local pid = tonumber(name)
    if pid and ("\0" .. read("/proc/" .. pid .. "/environ")):find("\0TMPDIR=" .. job.directory .. "\0", 1, true) then
      found[#found + 1] = { pid = pid, name = (read("/proc/" .. pid .. "/cmdline"):gsub("%z", " ")) }
    end
  end
  return found
end

local function end_leftovers(job)
  local told = {}
  for _, process in ipairs(processes_of(job)) do
    told[#told + 1] = ("  left running: %d %s\n"):format(process.pid, process.name)
    sys.kill(process.pid, SIGKILL)
  end
  for name in lfs.dir(job.directory) do
    if name ~= "." and name ~= ".." then told[#told + 1] = "  left in TMPDIR: " .. name .. "\n" end
  end
  return told
end

-- --- running --------------------------------------------------------------------------------------------------------

local function begin(job)
  local name = job.name:gsub("[ /]", "-")
  job.directory = ("%s/%d"):format(TEMPORARY, job.number)
  job.report, job.counts = ("%s/%s.txt"):format(REPORTS, name), ("%s/%s.counts"):format(REPORTS, name)
  assert(lfs.mkdir(job.directory))
  job.begun = sys.now()
  local env = job.env or {}
  env.TMPDIR, env.SPEC_COUNTS = job.directory, job.counts
  local command = { "luajit", "dist/own_loopback.lua", unpack(job.command) }
  job.pid = assert(sys.spawn(command, { stdout = job.report, stderr = job.report, env = env }))
end

local function finish(job)
  job.seconds = job.ended - job.begun
  local good, bad, text, is_whole = job.tell(job)
  local told = end_leftovers(job)
  if job.is_late then told[#told + 1] = ("  did not end within %g s\n"):format(SECONDS) end
  if bad == 0 and (job.code ~= 0 or not is_whole) then
    told[#told + 1] = ("  ended with status %d%s\n"):format(job.code, is_whole and "" or ", before its end")
  end
  if told[1] then table.insert(told, 1, ("FAILED %s\n"):format(job.name)) end
  passed, failed = passed + good, failed + (bad == 0 and told[1] and 1 or bad)
  job.text = text .. table.concat(told)
end

-- What is killed dies in its own time: so processes may be there for a while after the job.
local function look_after(job, codes)
  if not job.code and sys.now() > job.begun + SECONDS then
    job.is_late = true
    sys.kill(job.pid, SIGKILL)
  end
  if codes[job.pid] then job.code, job.ended = codes[job.pid], sys.now() end
  if not job.code or sys.now() < job.ended + GRACE and processes_of(job)[1] then return false end
  finish(job)
  return true
end

local function reap()
  local codes = {}
  for pid, code in sys.reap do codes[pid] = code end
  return codes
end

local function run(queue, in_order)
  local running, next_text = {}, 1
  while running[1] or queue[1] do
    while #running < LANES and queue[1] do
      running[#running + 1] = table.remove(queue, 1)
      begin(running[#running])
    end
    sys.poll({}, 0.02)
    local codes = reap()
    for i = #running, 1, -1 do
      if look_after(running[i], codes) then table.remove(running, i) end
    end
    while in_order[next_text] and in_order[next_text].text do
      io.write(in_order[next_text].text)
      io.flush()
      next_text = next_text + 1
    end
  end
end

local function long_ones_first(jobs)
  local queue = {}
  for _, name in ipairs(LONG) do
    for _, job in ipairs(jobs) do
      if job.name == "spec/" .. name .. "_spec.lua" then queue[#queue + 1], job.is_queued = job, true end
    end
  end
  for _, job in ipairs(jobs) do
    if not job.is_queued then queue[#queue + 1] = job end
  end
  return queue
end

local function tell_slowest()
  table.sort(times, function(a, b) return a.seconds > b.seconds end)
  for i = 1, math.min(SLOWEST, #times) do
    if times[i].seconds < SLOW then return end
    if i == 1 then io.write "slowest:\n" end
    io.write(("%7.2f s  %s\n"):format(times[i].seconds, times[i].name))
  end
end

sys.end_with_parent()
sys.adopt_orphans()
local jobs = all_jobs()
for number, job in ipairs(jobs) do job.number = number end
run(long_ones_first(jobs), jobs)
tell_slowest()
if pending > 0 then
  io.write(("%d pending: not run here, each says why behind 'pending:' above\n"):format(pending))
end
io.write(("%d passed, %d failed\n"):format(passed, failed))
os.exit(failed == 0 and passed > 0)
