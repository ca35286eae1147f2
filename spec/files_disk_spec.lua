-- SPDX-License-Identifier: Apache-2.0
-- Files on a disk that is slow, or a kernel without openat2(2): the worker waits for neither.

local client = require "perilune.test.client"
local perilune = require "spec.support.perilune"
local preload = require "spec.support.preload"
local process = require "perilune.test.process"
local scheduler = require "perilune.test.scheduler"

after_each(require("perilune.test.cleanup").run)

-- What files of more than 4 KiB have is in no page cache, and is read only once another file has been made.
local SLOW_DISK = [[
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
static int is_there(void) { return access(getenv("DISK_READY"), F_OK) == 0; }
static int is_large(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 4096;
}
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  ssize_t (*real)(int, const struct iovec *, int, off_t, int) = dlsym(RTLD_NEXT, "preadv2");
  if (flags && is_large(fd) && !is_there()) {
    errno = EAGAIN;
    return -1;
  }
  return real(fd, parts, count, at, flags);
}
static void wait_for_disk(int fd) { while (is_large(fd) && !is_there()) usleep(1000); }
ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
  ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread");
  wait_for_disk(fd);
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
  wait_for_disk(fd);
  return real(out, fd, at, count);
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
local function get(proxy, path) return client.request { port = proxy.port, path = path } end

describe("perilune files", function()
  it("answers others while the disk takes its time, as often as it is asked", function()
    local env, directory = preload.library(SLOW_DISK)
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
