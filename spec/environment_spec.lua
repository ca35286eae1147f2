-- SPDX-License-Identifier: Apache-2.0
-- What a proxy takes from the machine, it looks at again: certificates, keys, and the time zone.
local cleanup = require "cleanup"
local client = require "client"
local origins = require "origins"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"
local tls = require "tls"

after_each(cleanup.run)

local command = running.command

-- In one step, as certificates are renewed.
local function copy(from, to)
  local input = assert(io.open(from))
  process.write_file(to .. ".new", input:read "*a")
  input:close()
  assert(os.rename(to .. ".new", to))
end

local function serving(files, more)
  return ([[
    require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
      return session:respond { status = 200, body = "ok" }
    end }, { certificate = %q, key = %q })
  ]]):format(files.certificate, files.key) .. (more or "")
end

local function asks(proxy, name)
  return client.request { port = proxy.port, tls = { name = name, ca = tls.authority().certificate } }
end

describe("Certificates towards peers", function()
  it("are loaded anew when their file has changed, without a reload", function()
    local origin, directory = origins.start("secret", { names = { "one.example" } }), process.directory()
    local trust = directory .. "/trust.pem"
    copy(tls.certificate("stranger.example").certificate, trust)
    local proxy = running.start { workers = 1, policy = ([[
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function()
        return { address = %q, tls = true, sni = "one.example", ca = %q }
      end })
    ]]):format(origin.address, trust) }
    assert.equal(502, client.request(proxy.port).status)
    copy(tls.authority().certificate, trust)
    scheduler.eventually(function() return client.request(proxy.port).status == 200 end)
  end)
end)

describe("A listener's certificate", function()
  it("that is renewed is shown with --watch, without anybody's help", function()
    local directory = process.directory()
    local files = { certificate = directory .. "/c.pem", key = directory .. "/k.pem" }
    local function put(identity)
      copy(identity.key, files.key)
      copy(identity.certificate, files.certificate)
    end
    put(tls.certificate "one.example")
    local proxy = running.start { policy = serving(files), words = { "--watch" } }
    assert.equal(200, asks(proxy, "one.example").status)
    put(tls.certificate "two.example")
    scheduler.eventually(function()
      return pcall(asks, proxy, "two.example")
    end)
  end)

  -- Lets other users go into a folder: those on the way that they may not go into are the tests' own.
  local function open_up(directory)
    local loop = "d='%s'; while [ \"$d\" != / ]; do find \"$d\" -maxdepth 0 ! -perm -o+x -exec chmod a+rx {} +; "
      .. "d=$(dirname \"$d\"); done"
    assert(os.execute(loop:format(directory)) == 0)
  end

  -- A folder that the user can look into, with a key that only root can read.
  local function rooted()
    local directory = process.directory()
    open_up(directory)
    local files = { certificate = directory .. "/c.pem", key = directory .. "/k.pem" }
    local identity = tls.certificate "one.example"
    copy(identity.certificate, files.certificate)
    copy(identity.key, files.key)
    assert(os.execute(("chmod 600 '%s'"):format(files.key)) == 0)
    return files, identity
  end

  it("with a key that only root can read goes on over reloads, and the start says what will not go on", function()
    if tonumber(io.popen("id -u"):read "*l") ~= 0 then return pending "only root can become another user" end
    if os.execute [[su -s /bin/sh nobody -c "test -r '$PWD/lua/perilune/init.lua'" 2>/dev/null]] ~= 0 then
      return pending "user nobody may not read this folder, such as below /root"
    end
    local files, identity = rooted()
    local proxy, pid_file, path = running.start { policy = serving(files), words = { "--user", "nobody" } }
    proxy:wait_log "TLS file [^\n]*k%.pem: user nobody may not read it"
    open_up(path:match "^(.*)/")
    process.write_file(path, serving(files, "-- changed"))
    local result = command(pid_file, "reload")
    assert.equal(0, result.code, result.stderr)
    assert.equal(200, asks(proxy, "one.example").status)
    assert(os.execute(("chmod 700 '%s'"):format(files.key:match "^(.*)/")) == 0) -- now it cannot even be looked at
    process.write_file(path, serving(files, "-- changed again"))
    result = command(pid_file, "reload")
    assert.equal(0, result.code, result.stderr)
    assert.equal(200, asks(proxy, "one.example").status)
    open_up(files.key:match "^(.*)/")
    local function is_told()
      result = command(pid_file, "reload")
      assert.equal(2, result.code)
      assert.matches("k%.pem: Permission denied %(the process runs as another user by now", result.stderr)
    end
    copy(identity.certificate, files.certificate) -- what belongs to it is read anew, too
    is_told()
    copy(identity.key, files.key)
    assert(os.execute(("chmod 600 '%s'"):format(files.key)) == 0)
    is_told()
    assert.equal(200, asks(proxy, "one.example").status)
  end)
end)

describe("The time zone", function()
  local can_mount = process.run({ "unshare", "-rm", "true" }).code == 0
  local no_mount = "no namespace for a mount can be made here, such as in a chroot"

  -- put(name, minutes) makes it another, with a file of that age; offset() is that of the last line of the access log.
  local function start()
    local directory = process.directory()
    local zone, log = directory .. "/zone", directory .. "/access.log"
    local function put(name, minutes) -- in place: the proxy has it mounted
      process.write_file(zone, process.read_file("/usr/share/zoneinfo/Etc/" .. name))
      assert(os.execute(("touch -d '-%d minutes' '%s'"):format(minutes, zone)) == 0)
    end
    put("GMT-1", 5)
    local mounted = ('mount --bind "%s" /etc/localtime && exec "$@"'):format(zone)
    local proxy, pid_file = running.start { under = { "unshare", "-rm", "sh", "-c", mounted, "sh" },
      words = { "--access-log", log } }
    local function lines() return select(2, process.read_file(log):gsub("\n", "")) end
    local function offset()
      local before = lines()
      client.request(proxy.port)
      scheduler.eventually(function() return lines() > before end)
      return process.read_file(log):match ".*%[[^%]\n]* ([+-]%d+)%]"
    end
    scheduler.eventually(function() return offset() == "+0100" end)
    return put, offset, pid_file
  end

  it("of the log's times is that of the machine by now, without a reload", function()
    if not can_mount then return pending(no_mount) end
    local put, offset = start()
    put("GMT-9", 0)
    scheduler.eventually(function() return offset() == "+0900" end)
  end)

  -- Each of them looks at once: the proxy itself looks every two seconds. The text of a time is kept for its second.
  it("is read again by each reload", function()
    if not can_mount then return pending(no_mount) end
    local put, offset, pid_file = start()
    for hours = 2, 5 do
      put("GMT-" .. hours, 60 - hours)
      assert.equal(0, running.command(pid_file, "reload").code)
      local second = os.time()
      scheduler.eventually(function() return os.time() > second end)
      assert.equal(("+%02d00"):format(hours), offset())
    end
  end)
end)
