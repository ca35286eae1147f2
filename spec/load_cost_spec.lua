-- SPDX-License-Identifier: Apache-2.0
-- What one load of a policy costs: a run of the script for each worker and one for the check, side by side where cores
-- are free. A main chunk here writes a line to a file.
local cleanup = require "cleanup"
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(cleanup.run)

-- $CODE runs in each main chunk.
local POLICY = [[
  local perilune = require "perilune"
  $CODE
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    return session:respond { status = 200, body = tostring(perilune.workers()) .. " $WORD" }
  end })
]]
local COUNTING = [[
  local file = assert(io.open("$FILE", "a"))
  file:write "run\n"
  file:close()
]]

local CORES = tonumber(io.popen("nproc"):read "*l")

local function fill(text, values) return (text:gsub("%$(%u+)", values)) end

local function policy(file, word, code)
  return fill(POLICY, { FILE = file, WORD = word, CODE = fill(code or COUNTING, { FILE = file }) })
end

-- The lines written since the last time.
local function take(path)
  local lines = {}
  for line in process.read_file(path):gmatch "[^\n]+" do lines[#lines + 1] = line end
  os.remove(path)
  return lines
end

-- A file that was written in the moment in which it is read is read again: this one was written before that.
local function write(path, text)
  process.write_file(path, text)
  local written = sys.now()
  scheduler.eventually(function() return sys.now() - written > 0.02 end)
  return path
end

-- A script of its own; what it writes to.
local function script(code, word)
  local directory = process.directory()
  local file = directory .. "/runs"
  return write(directory .. "/policy.lua", policy(file, word or "one", code)), file
end

local function start(path, ...)
  local pid_file = process.directory() .. "/pid"
  return perilune.start { args = { "run", "--pid-file", pid_file, path, ... } }, pid_file
end

describe("A load of the policy", function()
  it("runs the script once for each worker and once for the check, at a start and at a reload", function()
    for _, workers in ipairs { 1, 2, 4 } do
      local path, file = script()
      local proxy, pid_file = start(path, "--workers", tostring(workers))
      assert.equal(workers + 1, #take(file), "start with " .. workers)
      write(path, policy(file, "two"))
      assert.equal(0, running.command(pid_file, "reload").code)
      assert.equal(workers + 1, #take(file), "reload with " .. workers)
      assert.equal(workers .. " two", client.request(proxy.port).body)
    end
  end)

  it("runs it no more often where the policy says itself how many workers there are", function()
    local path, file = script("perilune.configure { workers = 3 }" .. COUNTING)
    local proxy = start(path)
    assert.equal(4, #take(file))
    assert.equal("3 one", client.request(proxy.port).body)
  end)

  it("runs it once more where it has asked for their number before, and never tells it a wrong one", function()
    local path, file = script [[
      local before = perilune.workers()
      perilune.configure { workers = 5 }
      local file = assert(io.open("$FILE", "a"))
      file:write(before, " ", perilune.workers(), " ", perilune.worker(), "\n")
      file:close()
    ]]
    local proxy = start(path)
    local lines = take(file)
    assert.equal(7, #lines)
    table.remove(lines, 1) -- of the run that is not used
    table.sort(lines)
    assert.same({ "5 5 0", "5 5 1", "5 5 2", "5 5 3", "5 5 4", "5 5 5" }, lines)
    assert.equal("5 one", client.request(proxy.port).body)
  end)

  it("runs a script that fails once, and says why", function()
    local path, file = script()
    local _, pid_file = start(path, "--workers", "4")
    take(file)
    write(path, policy(file, "two", COUNTING .. "error 'so'"))
    local result = running.command(pid_file, "reload")
    assert.equal(2, result.code)
    assert.matches("policy%.lua:%d+: so", result.stderr)
    assert.equal(1, #take(file))
  end)

  it("is refused with one message where it fails in a worker alone, and loads no more of them then", function()
    local path, file = script()
    local workers = CORES + 4
    local proxy, pid_file = start(path, "--workers", tostring(workers))
    take(file)
    write(path, policy(file, "two", COUNTING
      .. "if perilune.worker() < perilune.workers() then error('in a worker', 0) end"))
    local result = running.command(pid_file, "reload")
    assert.equal(2, result.code)
    assert.matches("policy%.lua:%d+: in a worker\n", result.stderr)
    assert.is_true(#take(file) <= 1 + CORES) -- each thread comes to its first failure
    assert.equal(workers .. " one", client.request(proxy.port).body)
  end)

  it("runs the workers' scripts at the same time where there are cores", function()
    if CORES < 2 then return pending "there is one core" end
    -- Each waits for another that has begun: one after the other they would wait in vain, until load_time.
    local path, file = script [[
      local file = assert(io.open("$FILE", "a"))
      file:write(perilune.worker(), "\n")
      file:close()
      local function begun()
        local count = 0
        for line in io.lines "$FILE" do
          if tonumber(line) < perilune.workers() then count = count + 1 end
        end
        return count
      end
      if perilune.worker() < perilune.workers() then repeat until begun() >= 2 end
    ]]
    local proxy = start(path, "--workers", "2")
    assert.equal(3, #take(file))
    assert.equal("2 one", client.request(proxy.port).body)
  end)

  it("keeps the watchdog for what a daemon has loaded before it went into the background", function()
    local path, file = script()
    local text = policy(file, "one") .. [[
      perilune.configure { hook_time = 0.1 }
      perilune.every(0.05, function()
        while io.open(GO) do end
      end)
    ]]
    text = text:gsub("GO", ("%q"):format(file .. ".go"))
    write(path, text)
    local directory = process.directory()
    local pid_file, log = directory .. "/pid", directory .. "/log"
    cleanup.add(1, function() running.command(pid_file, "stop", "--now") end)
    local result = perilune.run { args = { "run", "--daemon", "--workers", "2", "--pid-file", pid_file,
      "--error-log", log, path }, timeout = 60 }
    assert.equal(0, result.code, result.stderr)
    assert.equal(3, #take(file))
    process.write_file(file .. ".go", "")
    scheduler.eventually(function() return process.read_file(log):find "used up its time" end, 20,
      "the end of the endless loop in the log")
  end)
end)
