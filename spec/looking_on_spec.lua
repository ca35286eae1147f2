-- SPDX-License-Identifier: Apache-2.0
-- Traces, profiles and recordings that people begin and end while a proxy serves and loads its policy again: the proxy
-- is not disturbed, and nothing of them is left.
local client = require "client"
local cleanup = require "cleanup"
local perilune = require "perilune"
local running = require "running"
local process = require "process"
local scheduler = require "scheduler"
local stream = require "stream"

after_each(cleanup.run)

local POLICY = [[
local perilune = require "perilune"
local function work(count)
  local sum = 0
  for i = 1, count do sum = sum + i % 7 end
  return sum
end
perilune.listen("127.0.0.1:0", { request_filter = function(session, ctx)
  ctx.sum = work(2000)
  perilune.sleep(0.001)
  return session:respond { status = session:path() == "/bad" and 500 or 200, body = tostring(ctx.sum) }
end })
]]

local LINES = {
  "trace", "profile cpu 60000", "trace\tpath=/o*\tstatus=2xx", "record 60000 10000 65536", "profile wait 60000",
  "trace\tstatus=5xx\tfields=yes", "record 60000 1000 0", "recent",
}
local ROUNDS = 200

-- Requests on some connections, until stop() is called, which gives how many there were.
local function load(port)
  local is_over, asked, ended = false, 0, 0
  for i = 1, 4 do
    scheduler.spawn(function()
      while not is_over do
        local path = i == 1 and asked % 10 == 0 and "/bad" or "/own"
        local response = client.request { port = port, target = path }
        assert(response.status == (path == "/bad" and 500 or 200), response.status)
        asked = asked + 1
      end
      ended = ended + 1
    end)
  end
  return function()
    is_over = true
    scheduler.eventually(function() return ended == 4 end, nil, "all requests are answered")
    return asked
  end
end

local function begin(socket, line)
  local reader = assert(stream.connect("unix:" .. socket))
  reader:send(line .. "\n")
  return reader
end

describe("A proxy at which people look on", function()
  it("is not disturbed by 200 traces, profiles and recordings that begin and end under load and reloads", function()
    local socket = process.directory() .. "/socket"
    local proxy, pid_file = running.start {
      policy = POLICY, workers = 2, words = { "--socket", socket },
    }
    local stop = load(proxy.port)
    local kept = {}
    for i = 1, ROUNDS do
      local reader = begin(socket, LINES[i % #LINES + 1])
      if i % 3 == 0 then assert(reader:read(1)) end -- else it goes before it has seen anything
      kept[#kept + 1] = reader
      if #kept > 3 then table.remove(kept, 1):close() end -- several at a time
      if i % 40 == 0 then assert.equal(0, running.command(pid_file, "reload").code) end
    end
    for _, reader in ipairs(kept) do reader:close() end
    assert.is_true(stop() > ROUNDS)
    -- Nothing is left that keeps others from it.
    scheduler.eventually(function()
      return begin(socket, "profile cpu 50"):receive_all():find "\n0\n"
    end, nil, "a profile is made")
    scheduler.eventually(function()
      return begin(socket, "record 50 10000 0"):receive_all():find "0\n"
    end, nil, "a recording is made")
    assert.equal(0, proxy:count_log " error ")
  end)

  it("hears commands while others stall: who sends no line, half a line, or does not read its answer", function()
    local socket = process.directory() .. "/socket"
    local proxy, pid_file = running.start { policy = POLICY, workers = 2, words = { "--socket", socket } }
    local stop = load(proxy.port)
    local stalled = {}
    for i = 1, 70 do -- more than the proxy hears at once
      local reader = assert(stream.connect("unix:" .. socket))
      if i % 2 == 0 then reader:send "sta" end
      stalled[i] = reader
    end
    for _, line in ipairs { "trace", "trace\tfields=yes", "record 60000 10000 65536", "profile wait 60000" } do
      stalled[#stalled + 1] = begin(socket, line)
    end
    for _ = 1, 3 do assert.equal(0, running.command(pid_file, "status").code) end
    assert.equal(0, running.command(pid_file, "reload").code)
    assert.is_true(stop() > 0)
    for _, reader in ipairs(stalled) do reader:close() end
  end)

  it("makes a profile for which there is no room: that ends with a clear line, and leaves no file", function()
    local proxy, pid_file = running.start { policy = POLICY, workers = 1 }
    local stop = load(proxy.port)
    local file = process.directory() .. "/flame.svg"
    local result = process.run { "prlimit", "--fsize=200", perilune.binary, "profile", "--pid-file", pid_file, "--for",
      "200ms", "-o", file }
    assert.equal(1, result.code, result.stderr)
    assert.truthy(result.stderr:find("perilune: cannot write " .. file .. ": ", 1, true), result.stderr)
    assert.is_nil(io.open(file))
    stop()
  end)
end)
