-- SPDX-License-Identifier: Apache-2.0
-- stepped: a process whose wall clock a spec sets. It is for the release build, as spec/support/preload.lua is.
local ffi = require "ffi"
local preload = require "preload"
local process = require "process"

local M = {}

M.HOUR = 3600

-- The wall clock of a process is that of the machine and the seconds that a file names.
local SHIM = [[
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile const int64_t *steps;
static int64_t step(void) {
  if (!steps) {
    int fd = open(getenv("CLOCK_STEP"), O_RDONLY | O_CLOEXEC);
    steps = mmap(0, sizeof *steps, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
  }
  return *steps;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, t);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) t->tv_sec += step();
  return result;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
]]

--- The environment that a process is started with, and step(seconds): its wall clock is so far from the machine's from
--- now on.
---@return table env, fun(seconds: integer) step
function M.new()
  local env, directory = preload.library(SHIM)
  env.CLOCK_STEP = process.write_file(directory .. "/step", ("\0"):rep(8))
  return env, function(seconds)
    local file = assert(io.open(env.CLOCK_STEP, "r+b")) -- in place: it is mapped
    assert(file:write(ffi.string(ffi.new("int64_t[1]", seconds), 8)))
    file:close()
  end
end

return M
