-- SPDX-License-Identifier: Apache-2.0
-- Files on a disk that is slow, or a kernel without openat2(2): the worker waits for neither.

local ffi = require "ffi"
local client = require "perilune.test.client"
local perilune = require "spec.support.perilune"
local preload = require "spec.support.preload"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"

after_each(require("perilune.test.cleanup").run)

-- What files of more than 4 KiB have between two places is in no page cache, and is read once another file is there.
local SLOW_DISK = [[
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
static int is_there(void) { return access(getenv("DISK_READY"), F_OK) == 0; }
static int is_cold(int fd, off_t at, size_t count) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 4096 && !is_there() &&
         at < atoll(getenv("COLD_TO")) && at + (off_t)count > atoll(getenv("COLD_FROM"));
}
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  ssize_t (*real)(int, const struct iovec *, int, off_t, int) = dlsym(RTLD_NEXT, "preadv2");
  if (flags && is_cold(fd, at, parts->iov_len)) {
    errno = EAGAIN;
    return -1;
  }
  return real(fd, parts, count, at, flags);
}
static void wait_for_disk(int fd, off_t at, size_t count) { while (is_cold(fd, at, count)) usleep(1000); }
ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
  ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread");
  wait_for_disk(fd, at, count);
  return real(fd, bytes, count, at);
}
ssize_t __pread_chk(int fd, void *bytes, size_t count, off_t at, size_t room) {
  (void)room;
  return pread(fd, bytes, count, at);
}
ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  return preadv2(fd, parts, count, at, flags);
}
ssize_t pread64(int fd, void *bytes, size_t count, off_t at) { return pread(fd, bytes, count, at); }
ssize_t sendfile(int out, int fd, off_t *at, size_t count) {
  ssize_t (*real)(int, int, off_t *, size_t) = dlsym(RTLD_NEXT, "sendfile");
  wait_for_disk(fd, *at, count);
  return real(out, fd, at, count);
}
ssize_t sendfile64(int out, int fd, off_t *at, size_t count) { return sendfile(out, fd, at, count); }
]]

-- Counts looks of one byte, while clocks go a thousand times slower than those of the machine: so a spec is a moment.
local LOOKS = [[
#include <stdatomic.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
static void note_look(void) {
  static _Atomic uint32_t *looks;
  if (!looks) {
    int fd = open(getenv("LOOKS"), O_RDWR | O_CLOEXEC);
    looks = mmap(0, sizeof *looks, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
  }
  atomic_fetch_add(looks, 1);
}
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  ssize_t (*real)(int, const struct iovec *, int, off_t, int) = dlsym(RTLD_NEXT, "preadv2");
  if (parts->iov_len == 1) note_look();
  return real(fd, parts, count, at, flags);
}
ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  return preadv2(fd, parts, count, at, flags);
}
static int64_t nanoseconds(const struct timespec *t) { return t->tv_sec * 1000000000ll + t->tv_nsec; }
int clock_gettime(clockid_t clock, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  static _Atomic int64_t begins[16];
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, t);
  if (result != 0 || clock < 0 || clock >= 16) return result;
  int64_t none = 0, now = nanoseconds(t);
  atomic_compare_exchange_strong(&begins[clock], &none, now);
  int64_t slow = begins[clock] + (now - begins[clock]) / 1000;
  *t = (struct timespec){.tv_sec = slow / 1000000000, .tv_nsec = slow % 1000000000};
  return 0;
}
]]

local NO_OPENAT2 = [[
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
long syscall(long number, ...) {
  long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  va_list rest;
  va_start(rest, number);
  long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long), d = va_arg(rest, long);
  long e = va_arg(rest, long), f = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_openat2) {
    errno = ENOSYS;
    return -1;
  }
  return real(number, a, b, c, d, e, f);
}
]]

local function start(root, env)
  return perilune.start { release = true, env = env,
    args = { "files", root, "--listen", "127.0.0.1:0", "--workers", "1" } }
end
local function read_looks(path) return ffi.cast("const uint32_t *", process.read_file(path))[0] end
local function get(proxy, path) return client.request { port = proxy.port, path = path } end

describe("perilune files", function()
  it("answers others while the disk takes its time, as often as it is asked", function()
    local env, directory = preload.library(SLOW_DISK)
    env.COLD_FROM, env.COLD_TO = "0", "9999999999"
    local root, order = process.directory(), {}
    local big = ("0123456789abcdef"):rep(65536)
    process.write_file(root .. "/big.bin", big)
    process.write_file(root .. "/small.txt", "small")
    env.DISK_READY = directory .. "/ready"
    local proxy = start(root, env)
    local function read_big()
      local response = get(proxy, "/big.bin")
      assert.is_true(response.body == big)
      order[#order + 1] = "big"
    end
    scheduler.all { read_big, read_big, function()
      for i = 1, 20 do
        assert.equal("small", get(proxy, "/small.txt").body)
        order[i] = "small"
      end
      process.write_file(env.DISK_READY, "")
    end }
    assert.equal(22, #order)
    for i = 1, 20 do assert.equal("small", order[i]) end
  end)

  it("answers others while the disk takes its time for a part in the midst of a file", function()
    local env, directory = preload.library(SLOW_DISK)
    env.COLD_FROM, env.COLD_TO, env.DISK_READY = "3460300", "4037000", directory .. "/ready" -- 3.30 to 3.85 MiB
    local root, big = process.directory(), ("0123456789abcdef"):rep(8 * 65536)
    process.write_file(root .. "/big.bin", big)
    process.write_file(root .. "/small.txt", "small")
    local proxy = start(root, env)
    local connection = client.connect { port = proxy.port }
    connection:send_request { path = "/big.bin" }
    assert.truthy(connection:read_until "\r\n\r\n")
    local body = { assert(connection:read(3 * 1024 * 1024)) } -- what is here comes at once
    for _ = 1, 20 do assert.equal("small", get(proxy, "/small.txt").body) end
    process.write_file(env.DISK_READY, "")
    body[2] = assert(connection:read(#big - #body[1]))
    assert.is_true(table.concat(body) == big)
  end)

  it("looks once in a moment whether a file is in the page cache, and at two places of each mebibyte", function()
    local env, directory = preload.library(LOOKS)
    env.LOOKS = process.write_file(directory .. "/looks", ("\0"):rep(4))
    local root, big = process.directory(), ("0123456789abcdef"):rep(8 * 65536)
    process.write_file(root .. "/big.bin", big)
    local proxy = start(root, env)
    local function read_twice()
      local connection = client.connect { port = proxy.port }
      for _ = 1, 2 do assert.is_true(connection:request { path = "/big.bin" }.body == big) end
    end
    scheduler.all { read_twice, read_twice, read_twice }
    assert.equal(16, read_looks(env.LOOKS))
    proxy:signal "KILL" -- its times are a thousand times longer
    proxy:ended()
  end)

  it("does without openat2(2): nothing outside is served, and links are not followed", function()
    local root, outside = process.directory(), process.directory()
    process.write_file(root .. "/page.txt", "page")
    process.write_file(outside .. "/secret", "secret")
    assert(os.execute(("mkdir %s/sub && ln -s %s/secret %s/out && ln -s page.txt %s/in && ln -s %s %s/sub/up")
      :format(root, outside, root, root, outside, root)) == 0)
    process.write_file(root .. "/sub/deep.txt", "deep")
    local proxy = start(root, (preload.library(NO_OPENAT2)))
    assert.equal("page", get(proxy, "/page.txt").body)
    assert.equal("deep", get(proxy, "/sub/deep.txt").body)
    for _, path in ipairs { "/out", "/in", "/sub/up/secret", "/none" } do
      assert.equal(404, get(proxy, path).status, path)
    end
    proxy:wait_log "openat2%(2%) is not to be had here %(Function not implemented%)"
  end)
end)
