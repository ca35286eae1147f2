-- SPDX-License-Identifier: Apache-2.0
-- What a request costs in steady state, in things that can be counted: system calls, and allocations. Of the release
-- build, because sanitizers allocate themselves.
local cleanup = require "cleanup"
local ffi = require "ffi"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local preload = require "preload"
local process = require "process"
local scheduler = require "scheduler"
local stream = require "stream"

after_each(cleanup.run)

local POLICY = [[
  local perilune = require "perilune"
  local limit = require("perilune.rate_limit").new { header = "appid", max = 1e9 }
  local upstreams = require("perilune.round_robin").new { "$ADDRESS" }
  local policy = {}
  function policy.request_filter(session, ctx) ctx.begun = true return limit(session) end
  function policy.upstream_peer() return { address = upstreams:select() } end
  function policy.upstream_request_filter(_, request) request:set_header("Host", "one.one.one.one") end
  function policy.response_filter(_, response) response:set_header("X-Served-By", "spec") end
  perilune.listen("127.0.0.1:0", policy)
]]
local REQUEST = "GET /1k HTTP/1.1\r\nHost: spec\r\nappid: 1\r\nUser-Agent: spec\r\nAccept: */*\r\n\r\n"

local function start_origin(bytes)
  return origins.start(function(connection)
    local answer = http1.write("HTTP/1.1 200 OK", { { "Date", "Mon, 02 Nov 2026 10:00:00 GMT" } }, ("x"):rep(bytes))
    while connection:read_until "\r\n\r\n" do connection:send(answer) end
  end)
end

local function start(options)
  local origin = start_origin(options.bytes or 1024)
  options.workers, options.release, options.timeout = 1, true, 60
  if options.scripted then
    options.policy = policies.fill(POLICY, { ADDRESS = origin.address })
  else
    options.to = { origin.address }
  end
  return perilune.start(options)
end

-- `count` requests, one after another on one connection.
local function ask(connection, count, bytes)
  for _ = 1, count do
    connection:send(REQUEST)
    local head = assert(connection:read_until("\r\n\r\n", 60))
    assert.equal("HTTP/1.1 200", head:sub(1, 12))
    assert(connection:read(bytes or 1024, 60))
  end
end

-- --- system calls ---------------------------------------------------------------------------------------------------

local DATA = { "recvfrom", "recvmsg", "readv", "sendto", "sendmsg", "writev", "splice" }
local OTHER = { "read", "write" } -- with these threads wake each other, now and then
local WATCHERS = { "epoll_ctl", "timerfd_settime", "setitimer", "timer_settime" }

-- How often each system call was made while `work` ran, in all threads; or nil, and why that cannot be told.
local function calls_during(proxy, work)
  if not io.open "/usr/bin/strace" then return nil, "strace is not installed" end
  local directory = process.directory()
  local file = directory .. "/calls"
  local tracer = process.start({ "strace", "-f", "-o", file, "-p", tostring(proxy.pid) }, { directory = directory })
  cleanup.add(1, function() tracer:kill() end)
  scheduler.eventually(function() return tracer:stderr():find "attached" or tracer:exit_code() end)
  if tracer:exit_code() then return nil, "this system does not permit ptrace: " .. tracer:stderr() end
  work()
  tracer:signal "INT"
  tracer:wait()
  local counts = {}
  for line in process.read_file(file):gmatch "[^\n]+" do
    local name = line:match "^%d+%s+([%w_]+)%("
    if name then counts[name] = (counts[name] or 0) + 1 end
  end
  return counts
end

local function sum(counts, names)
  local total = 0
  for _, name in ipairs(names) do total = total + (counts[name] or 0) end
  return total
end

-- --- allocations ----------------------------------------------------------------------------------------------------

-- Counts what malloc, calloc and realloc give out, in a file.
local COUNTER = [[
  #include <fcntl.h>
  #include <stdlib.h>
  #include <sys/mman.h>
  static unsigned long early, *count = &early;
  __attribute__((constructor)) static void share(void) {
    int file = open(getenv("COUNT"), O_RDWR);
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (count == MAP_FAILED) abort();
  }
  static void *counted(void *given) {
    __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    return given;
  }
  void *__libc_malloc(size_t);
  void *__libc_calloc(size_t, size_t);
  void *__libc_realloc(void *, size_t);
  void *malloc(size_t size) { return counted(__libc_malloc(size)); }
  void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }
  void *realloc(void *old, size_t size) { return counted(__libc_realloc(old, size)); }
]]

-- How many there were while `requests` were served, behind `before` others: by then traces are compiled, buffers kept.
local function allocations(scripted, before, requests)
  local env, directory = preload.library(COUNTER)
  env.COUNT = process.write_file(directory .. "/count", ("\0"):rep(8))
  local function count() return tonumber(ffi.cast("const uint64_t *", process.read_file(env.COUNT))[0]) end
  local proxy = start { scripted = scripted, env = env }
  local connection = stream.connect("127.0.0.1", proxy.port)
  ask(connection, before)
  local begun = count()
  assert.is_true(begun > 100, "what the start allocates is counted")
  ask(connection, requests)
  local all = count() - begun
  connection:close()
  return all
end

local SCRIPTS = { [true] = "with a policy of four hooks", [false] = "without a script" }

for scripted, case in pairs(SCRIPTS) do
  describe("a request in steady state, " .. case .. ",", function()
    it("takes four data calls, and changes no watcher and no timer in the kernel", function()
      local proxy = start { scripted = scripted }
      local connection = stream.connect("127.0.0.1", proxy.port)
      ask(connection, 100)
      local counts, why = calls_during(proxy, function() ask(connection, 200) end)
      if not counts then return pending(why) end
      assert.equal(4 * 200, sum(counts, DATA))
      assert.equal(0, sum(counts, WATCHERS))
      assert.is_true(sum(counts, OTHER) < 20)
      connection:close()
    end)

    it("copies of a long body only what comes with the head", function()
      local bytes = 2 * 1024 * 1024
      local proxy = start { scripted = scripted, bytes = bytes }
      local connection = stream.connect("127.0.0.1", proxy.port)
      ask(connection, 2, bytes)
      local counts, why = calls_during(proxy, function() ask(connection, 20, bytes) end)
      if not counts then return pending(why) end
      assert.is_true(counts.splice >= 2 * 20)
      assert.is_true(sum(counts, DATA) - counts.splice <= 5 * 20) -- one may find that there is nothing behind the head
      connection:close()
    end)

    it("allocates nothing", function()
      local more = allocations(scripted, 2000, 4000)
      assert.is_true(more / 4000 < 0.01, ("%d allocations for 4000 requests"):format(more))
    end)
  end)
end
