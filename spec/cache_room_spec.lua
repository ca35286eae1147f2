-- SPDX-License-Identifier: Apache-2.0
-- A cache without room: files that cannot be, disks that are full, sizes that no machine has. Requests are served from
-- the peer, and one line says why.
local client = require "client"
local origins = require "origins"
local perilune = require "perilune"
local preload = require "preload"
local process = require "process"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

local function policy_of(address, size, path)
  return ([[
    local perilune = require "perilune"
    perilune.listen("127.0.0.1:0", { upstream_peer = function() return "%s" end },
      { cache = perilune.cache("pages", { size = "%s" %s }) })
  ]]):format(address, size, path and (", path = %q"):format(path) or "")
end

-- A policy whose file has changed since its loading began is loaded once more, and what its loading says is said again.
-- The times of files go in steps of some milliseconds: one that was written just now may be such a file.
local function wait_for_later_times(file)
  scheduler.eventually(function()
    local later = process.write_file(process.directory() .. "/later", "")
    return process.run({ "find", later, "-newercc", file }).stdout ~= ""
  end)
end

-- A proxy with such a cache, and what is counted of it.
local function start(size, path, options)
  local origin = origins.start(function(connection)
    while true do
      local request = connection:read_request()
      if not request then return end
      connection:respond { headers = { ["Cache-Control"] = "max-age=60" }, body = request.target:rep(5000) }
    end
  end)
  options = options or {}
  options.workers, options.script = 1, process.write_file(process.directory() .. "/policy.lua",
    policy_of(origin.address, size, path))
  wait_for_later_times(options.script)
  local proxy = perilune.start(options)
  return function(target)
    local body = client.request({ port = proxy.port, target = target }).body
    assert.is_true(body == target:rep(5000))
  end, origin, proxy
end

describe("a file of a cache", function()
  -- By what is wrong: what is at its path, and what the log says.
  local wrong = {
    ["in a folder that is not there"] = { function(path) return path .. "/none/x" end, "its folder does not exist" },
    ["that is a folder"] = { function(path)
      assert(os.execute(("mkdir '%s'"):format(path)) == 0)
      return path
    end, "it is a directory" },
    ["that is a pipe"] = { function(path)
      assert(os.execute(("mkfifo '%s'"):format(path)) == 0)
      return path
    end, "is no file" },
    ["that is a link"] = { function(path)
      assert(os.execute(("ln -s '%s.target' '%s'"):format(path, path)) == 0)
      return path
    end, "it is a symbolic link, which is not followed" },
    ["with too few bytes"] = { function(path)
      process.write_file(path, "Prln")
      return path
    end, "is no file of a cache, and is left alone" },
  }
  for what, case in pairs(wrong) do
    it("is left alone, and the cache is in memory: one " .. what, function()
      local path = case[1](process.directory() .. "/pages.cache")
      local ask, origin, proxy = start("2M", path)
      for _ = 1, 2 do ask "/a" end
      assert.equal(1, #origin.requests)
      assert.equal(1, proxy:count_log(path:gsub("%p", "%%%0") .. " .*" .. case[2] .. ".*in memory only"))
    end)
  end

  -- A library that lets calls fail while a file is there, whose name is of the call.
  local function failing_library()
    return preload.failing [[
      #include <errno.h>
      #include <fcntl.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <sys/statvfs.h>
      #include <unistd.h>
      int posix_fallocate(int fd, off_t at, off_t length) {
        int (*real)(int, off_t, off_t) = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
        char name[64], path[4096] = "";
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        if (readlink(name, path, sizeof path - 1) > 0 && path[1] != 'm' && is_on("take")) return ENOSPC;
        return real(fd, at, length);
      }
      int fallocate(int fd, int mode, off_t at, off_t length) {
        int (*real)(int, int, off_t, off_t) = (int (*)(int, int, off_t, off_t))dlsym(RTLD_NEXT, "fallocate");
        if (!(mode & FALLOC_FL_PUNCH_HOLE) && is_on("refill")) { errno = ENOSPC; return -1; }
        return real(fd, mode, at, length);
      }
      int fstatvfs(int fd, struct statvfs *facts) {
        int (*real)(int, struct statvfs *) = (int (*)(int, struct statvfs *))dlsym(RTLD_NEXT, "fstatvfs");
        int result = real(fd, facts);
        if (is_on("measure")) facts->f_bfree = facts->f_bavail = 100;
        if (is_on("measure")) facts->f_blocks = 1000000;
        return result;
      }
    ]]
  end

  for call, what in pairs { take = "that turns out to be full", measure = "that says that it has less room" } do
    it("is not made on a file system " .. what, function()
      local env, directory = failing_library()
      local path = directory .. "/pages.cache"
      process.write_file(directory .. "/" .. call, "")
      local ask, origin, proxy = start("2M", path, { release = true, env = env })
      for _ = 1, 2 do ask "/a" end
      assert.equal(1, #origin.requests)
      assert.equal(1, proxy:count_log "pages.cache has no room on its file system; the cache is in memory only")
      assert.equal("", process.read_file(path))
    end)
  end

  it("goes on where the disk is full when room is to be made: what is asked for is served", function()
    local env, directory = failing_library()
    local ask, origin, proxy = start("2M", directory .. "/pages.cache", { release = true, env = env })
    process.write_file(directory .. "/refill", "")
    for i = 101, 250 do ask("/" .. i) end
    assert.equal(150, #origin.requests)
    local kept = 0
    for i = 101, 250 do
      local before = #origin.requests
      ask("/" .. i)
      if #origin.requests == before then kept = kept + 1 end
    end
    assert.is_true(kept > 50, kept .. " are kept") -- of the 100 that it has room for
    os.remove(directory .. "/refill")
    for _ = 1, 3 do ask "/again" end
    ask "/again"
    assert.is_true(#origin.requests < 150 + 150 - kept + 3)
    assert.is_nil(proxy:exit_code())
  end)
end)

describe("a size that cannot be", function()
  -- Starts with that, and what it says.
  local function refused(size, path, under)
    local file = process.write_file(process.directory() .. "/policy.lua", policy_of("127.0.0.1:1", size, path))
    return perilune.run { args = { "run", file }, under = under }
  end

  it("is refused at the policy's line: larger than the memory", function()
    local result = refused "100T"
    assert.equal(2, result.code, result.stderr)
    assert.matches("policy.lua:%d+: .*size must be from 1 MiB "
      .. "to half of the machine's memory, %d+ MiB; got %d", result.stderr)
  end)

  it("is refused at the policy's line: larger than files may be, and no signal ends the process", function()
    for _, path in ipairs { process.directory() .. "/pages.cache", false } do
      local result = refused("2M", path or nil, { "prlimit", "--fsize=1048576" })
      assert.equal(2, result.code, result.stderr)
      assert.matches("policy.lua:%d+: .*File too large", result.stderr)
    end
  end)
end)
