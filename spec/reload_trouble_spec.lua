-- SPDX-License-Identifier: Apache-2.0
-- What a reload says, and what does not disturb the proxy that runs.
local cleanup = require "cleanup"
local client = require "client"
local perilune = require "perilune"
local process = require "process"
local running = require "running"
local scheduler = require "scheduler"

after_each(cleanup.run)

local command = running.command

local function answering(text, listen)
  return ([[
    require("perilune").listen("%s", { request_filter = function(session)
      return session:respond { status = 200, body = "%s" }
    end })
  ]]):format(listen or "127.0.0.1:0", text)
end

local function start(policy, words, workers)
  return running.start { policy = policy or answering "one", words = words, workers = workers }
end

local function is_refused(pid_file, pattern)
  local result = command(pid_file, "reload")
  assert.equal(2, result.code, result.stdout)
  assert.matches(pattern, result.stderr)
  assert.matches("stays in force", result.stderr)
end

describe("a reload for which no thread can be made", function()
  it("is refused with the reason, and the next one is not", function()
    local proxy, pid_file = running.start { policy = answering "one", release = true,
      env = { GLIBC_TUNABLES = "glibc.pthread.stack_cache_size=0" } } -- no stack is kept for the next thread
    local kilobytes = tonumber(process.read_file(("/proc/%d/status"):format(proxy.pid)):match "VmSize:%s*(%d+)")
    local function limit(bytes) assert.equal(0, os.execute(("prlimit --pid %d --as=%s"):format(proxy.pid, bytes))) end
    limit(("%d:unlimited"):format(kilobytes * 1024 + 6 * 1024 * 1024)) -- less than a stack of 8 MiB
    is_refused(pid_file, "cannot start a thread to load the policy: Resource temporarily unavailable")
    assert.equal("one", client.request(proxy.port).body)
    limit "unlimited"
    assert.equal(0, command(pid_file, "reload").code)
  end)
end)

describe("perilune reload", function()
  it("tells what has changed: files, listeners, and settings that want an upgrade", function()
    local proxy, pid_file, path = start()
    local directory = path:match "^(.*)/"
    local socket = "unix:" .. directory .. "/second"
    assert.equal("reloaded: generation 2 is in force on 2 workers\n", command(pid_file, "reload").stdout)
    process.write_file(directory .. "/words.lua", "return 'two'")
    process.write_file(path, answering "one" .. answering("two", socket) .. "require 'words'"
      .. " require('perilune').configure { grace = 5, workers = 7 }")
    assert.equal(table.concat({
      "reloaded: generation 3 is in force on 2 workers",
      "  changed: " .. path,
      "  new: " .. directory .. "/words.lua",
      "  listening on " .. socket,
      "  grace = 5 comes into force with 'perilune upgrade'\n",
    }, "\n"), command(pid_file, "reload").stdout)
    process.write_file(path, answering "three")
    local said = command(pid_file, "reload").stdout
    assert.matches("no longer listening on " .. socket:gsub("%p", "%%%0"), said)
    assert.matches("no longer used: " .. directory:gsub("%p", "%%%0") .. "/words.lua", said)
    assert.matches("no longer listening on", proxy:log())
  end)

  it("leaves the old policy in force when the file is gone, cannot be read, or is a directory", function()
    local proxy, pid_file, path = start()
    os.remove(path)
    is_refused(pid_file, "policy%.lua")
    assert(os.execute(("mkdir '%s'"):format(path)) == 0)
    is_refused(pid_file, "policy%.lua")
    assert.equal("one", client.request(proxy.port).body)
  end)

  it("leaves the old policy in force when the new one never comes to its end", function()
    local proxy, pid_file, path = start()
    for _, endless in ipairs { "while true do end", "local function f() while true do end end f()" } do
      process.write_file(path, answering "two" .. "\nrequire('perilune').configure { load_time = 0.2 }\n" .. endless)
      is_refused(pid_file, "policy%.lua:%d+: used up its time")
    end
    assert.equal("one", client.request(proxy.port).body)
  end)

  it("leaves the old policy in force when the new one listens elsewhere in some workers", function()
    local proxy, pid_file, path = start()
    process.write_file(path, answering "two" .. "if require('perilune').worker() == 1 then " .. answering "x" .. " end")
    is_refused(pid_file, "listens elsewhere in worker 1")
    process.write_file(path, "if require('perilune').worker() < 2 then " .. answering "x" .. " end\n" .. answering "y")
    is_refused(pid_file, "listens elsewhere in worker 0")
    assert.equal("one", client.request(proxy.port).body)
  end)

  it("leaves the old policy in force when a certificate is broken or gone", function()
    local proxy, pid_file, path = start()
    process.write_file(path, answering "two" .. [[
      require("perilune").listen("127.0.0.1:0", { request_filter = function(session)
        return session:respond { status = 200 }
      end }, { certificate = "none.pem", key = "none.key" })
    ]])
    is_refused(pid_file, "none%.pem")
    assert.equal("one", client.request(proxy.port).body)
  end)

  it("by a storm of HUPs comes to an end, with the last policy in force", function()
    local proxy, _, path = start(nil, nil, 4)
    for i = 1, 50 do
      process.write_file(path .. ".new", answering("policy " .. i))
      os.rename(path .. ".new", path)
      for _ = 1, 5 do proxy:signal "HUP" end
    end
    scheduler.eventually(function() return client.request(proxy.port).body == "policy 50" end)
    assert.equal(0, proxy:count_log "error")
  end)

  it("never leaves workers on different versions of a file that is written meanwhile", function()
    local proxy, pid_file, path = start(nil, nil, 4)
    local word = path:match "^.*/" .. "word.lua"
    process.write_file(word, "return 'old'")
    local policy = ("local word, path = require 'word', '%s'\n"):format(word) .. answering "X":gsub('"X"', "word")
    process.write_file(path, policy .. [[
      if require("perilune").worker() == 1 and word == "old" then -- two have loaded, three have not
        local file = io.open(path, "w")
        file:write "return 'new'"
        file:close()
      end
    ]])
    local result = command(pid_file, "reload")
    assert.equal(0, result.code, result.stderr)
    for _ = 1, 40 do assert.equal("new", client.request(proxy.port).body) end
  end)

  it("asked for by several at once is done, or refused to some", function()
    local proxy, pid_file, path = start()
    process.write_file(path, answering "two")
    local tasks = {}
    for i = 1, 8 do tasks[i] = function() return command(pid_file, "reload") end end
    local fine = 0
    for _, result in ipairs(scheduler.all(tasks, 90)) do
      if result.code == 0 then fine = fine + 1
      else assert.matches("a reload is under way already", result.stderr) end
    end
    assert.is_true(fine > 0)
    assert.equal("two", client.request(proxy.port).body)
  end)

  it("and a stop at the same time: the stop has its way", function()
    local proxy, pid_file = start()
    local results = scheduler.all({
      function() return command(pid_file, "reload").code end,
      function() return command(pid_file, "stop").code end,
      function() return command(pid_file, "stop").code end,
    }, 90)
    assert.equal(0, proxy:ended(10))
    assert.is_true(results[2] == 0 or results[3] == 0)
  end)

  it("by HUP is made up for once a canary or a shadow has ended", function()
    local proxy, pid_file, path = start()
    for generation, words in pairs { [2] = { "--canary", "5%" }, [3] = { "--shadow" } } do
      scheduler.all({
        function() command(pid_file, "reload", "--for", "400ms", unpack(words)) end,
        function()
          local word = words[1]:sub(3)
          proxy:wait_log("(" .. word .. ": )")
          process.write_file(path, answering(word))
          proxy:signal "HUP"
        end,
      }, 90)
      scheduler.eventually(function() return client.request(proxy.port).body == words[1]:sub(3) end)
      assert.is_true(generation > 1)
    end
  end)
end)

describe("perilune run --watch", function()
  it("sees what editors do: a new file in place of the old one, a policy that is gone for a moment", function()
    local proxy, _, path = start(nil, { "--watch" })
    local function becomes(word)
      scheduler.eventually(function() return client.request(proxy.port).body == word end)
    end
    process.write_file(path .. ".swp", answering "renamed")
    os.rename(path .. ".swp", path)
    becomes "renamed"
    os.rename(path, path .. "~")
    process.write_file(path, answering "written anew")
    becomes "written anew"
    os.remove(path)
    process.write_file(path, "broken")
    proxy:wait_log "(stays in force)"
    assert.equal("written anew", client.request(proxy.port).body)
    process.write_file(path, answering "mended")
    becomes "mended"
  end)

  -- A policy behind links, as Kubernetes makes them: the file is one, through a folder that is one, which is renamed
  -- into place. release() writes a folder, switch() puts it in place.
  local function linked()
    local it = { directory = process.directory() }
    local data = it.directory .. "/..data"
    function it.release(name, text)
      os.execute(("mkdir -p '%s/%s'"):format(it.directory, name))
      process.write_file(it.directory .. "/" .. name .. "/word.lua", text)
      process.write_file(it.directory .. "/" .. name .. "/policy.lua", "local word = require 'word'\n" ..
        answering "X":gsub('"X"', "word"))
    end
    function it.switch(name)
      os.execute(("ln -s %s '%s_next' && mv -T '%s_next' '%s'"):format(name, data, data, data))
    end
    function it.start()
      it.release("..one", "return 'one'")
      it.switch "..one"
      for _, file in ipairs { "policy.lua", "word.lua" } do
        os.execute(("ln -s ..data/%s '%s/%s'"):format(file, it.directory, file))
      end
      it.proxy = perilune.start { args = { "run", "--watch", it.directory .. "/policy.lua" } }
      assert.equal("one", client.request(it.proxy.port).body)
    end
    return it
  end

  it("sees that a link on the way is set anew, again and again, and no longer what is behind the old one", function()
    local it = linked()
    it.start()
    for generation, word in ipairs { "two", "three" } do
      it.release(".." .. word, ("return '%s'"):format(word))
      it.switch(".." .. word)
      it.proxy:wait_log(("(generation %d) is in force"):format(generation + 1))
      assert.equal(word, client.request(it.proxy.port).body)
    end
    process.write_file(it.directory .. "/..one/word.lua", "return 'old'")
    process.write_file(it.directory .. "/..three/word.lua", "return 'edited'")
    it.proxy:wait_log "(generation 4) is in force"
    assert.equal("edited", client.request(it.proxy.port).body)
  end)

  it("sees that what a link leads to by now is mended, or there at last", function()
    local it = linked()
    it.start()
    it.release("..two", "broken")
    it.switch "..two"
    it.proxy:wait_log "(word.lua:1:.*stays in force)"
    process.write_file(it.directory .. "/..two/word.lua", "return 'two'")
    it.proxy:wait_log "(generation 2) is in force"
    assert.equal("two", client.request(it.proxy.port).body)
    it.switch "..three"
    it.proxy:wait_log "(policy.lua.*stays in force)"
    it.release("..three", "return 'three'")
    scheduler.eventually(function() return client.request(it.proxy.port).body == "three" end)
  end)

  it("sees that a module is mended which the policy in force did not require yet", function()
    local proxy, _, path = start(nil, { "--watch" })
    local module = path:match "^(.*)/" .. "/word.lua"
    process.write_file(module, "broken")
    process.write_file(path, "local word = require 'word'\n" .. answering "X":gsub('"X"', "word"))
    proxy:wait_log "(word.lua:1:.*stays in force)"
    process.write_file(module, "return 'mended'")
    scheduler.eventually(function() return client.request(proxy.port).body == "mended" end)
  end)
end)

describe("a thousand reloads", function()
  it("leave memory and descriptors where they were", function()
    local binary = perilune.binary
    perilune.binary = perilune.release_binary
    local ok, proxy = pcall(start, answering "ok" .. "local big = ('x'):rep(100000)")
    perilune.binary = binary
    assert(ok, proxy)
    local function reload(times)
      local before = proxy:count_log "is in force"
      for i = 1, times do
        proxy:signal "HUP"
        scheduler.eventually(function() return proxy:count_log "is in force" >= before + i end)
      end
    end
    reload(200)
    local files, bytes = proxy:open_files(), proxy:rss()
    reload(800)
    assert.equal("ok", client.request(proxy.port).body)
    scheduler.eventually(function() return proxy:open_files() <= files end) -- the request's is closed in its own time
    assert.is_true(proxy:rss() < bytes + 2 * 1024 * 1024, "memory: " .. proxy:rss() .. ", before " .. bytes)
  end)
end)
