-- SPDX-License-Identifier: Apache-2.0
-- redis_server: a real Redis on a unix socket of its own, scripted ones, and a policy that asks them.
local cleanup = require "cleanup"
local client = require "client"
local machine = require "machine"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local process = require "process"
local scheduler = require "scheduler"
local stream = require "stream"

local M = {}

local function find_program()
  for _, name in ipairs { "redis-server", "valkey-server" } do
    if machine.has_program(name) then return name end
  end
end

M.program = find_program()

--- `it` where there is a Redis; else the specs are pending, and say so.
function M.it(it, pending)
  return M.program and it or function(sentence) pending(sentence .. " (redis-server: make deps)") end
end

local Server = setmetatable({}, { __index = process.class })
Server.__index = Server

--- Sends commands on a connection of its own, as lists, and gives what came back as one text.
function Server:ask(...)
  local connection = assert(stream.connect(self.host or self.address, self.port))
  for _, command in ipairs { ... } do
    local parts = { ("*%d\r\n"):format(#command) }
    for _, word in ipairs(command) do parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#tostring(word), word) end
    assert(connection:send(table.concat(parts)))
  end
  connection:half_close()
  local bytes = connection:receive_all()
  connection:close()
  return bytes
end

M.ask = Server.ask

local function is_up(server)
  if server:exit_code() then error("redis ended: " .. server:stdout(), 0) end
  local ok, text = pcall(server.ask, server, { "PING" })
  return ok and text:find "PONG" or ok and text:find "NOAUTH"
end

--- Starts one, and waits until it answers. Its options as words: "--requirepass", "secret".
function M.start(...)
  local directory = process.directory()
  local path = directory .. "/s"
  local self = process.start({ M.program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
    "--dir", directory, "--daemonize", "no", "--pidfile", "", ... }, { directory = directory })
  setmetatable(self, Server).address = "unix:" .. path
  cleanup.add(2, function()
    self:signal "CONT"
    self:signal "TERM"
    if not pcall(self.wait, self, 10) then self:kill() end
  end)
  scheduler.eventually(function() return is_up(self) end, nil, "redis that answers")
  return self
end

--- One command of RESP, as a list of words; nil at the end of the connection.
function M.read_command(connection)
  local head = connection:read_until "\r\n"
  local count = head and tonumber(head:match "^%*(%d+)")
  if not count then return nil end
  local words = {}
  for i = 1, count do
    local length = tonumber(connection:read_until("\r\n"):match "^%$(%d+)")
    words[i] = connection:read(length)
    connection:read(2)
  end
  return words
end

--- A scripted server: `answer(connection, words)` for each command but those of the greeting.
function M.scripted(answer, options)
  return origins.start(function(connection)
    while true do
      local words = M.read_command(connection)
      if not words then return end
      if words[1] == "PING" and not (options and options.pings) then
        connection:send "+PONG\r\n"
      elseif answer(connection, words) == false then
        return
      end
    end
  end, options)
end

-- For policies that have `json`: values as one text.
M.SHOW = [[
  local function show(...)
    local list = {}
    for i = 1, select("#", ...) do
      local value = select(i, ...)
      list[i] = type(value) == "table" and json.encode(value) or tostring(value)
    end
    return table.concat(list, "|")
  end
]]

M.POLICY = [[
  local perilune = require "perilune"
  local redis = require "perilune.redis"
  local json = require "perilune.json"
  local store = redis.new("$ADDRESS"$OPTIONS)
  $SHOW
  local function run(session, path)
    $CODE
  end
  $MAIN
  perilune.listen("127.0.0.1:0", { request_filter = function(session)
    return session:respond { status = 200, body = show(run(session, session:path())) }
  end })
]]

--- A proxy whose policy runs `code` in a hook, with `store`; what that returns is the answer's body.
---@param options table? client (", { timeout = 1 }"), main (code of the main chunk), those of perilune.start
---@return fun(path: string?): string ask, table proxy
function M.policy(address, code, options)
  options = options or {}
  local all = { workers = 1, policy = policies.fill(M.POLICY, { SHOW = M.SHOW, ADDRESS = address, CODE = code,
    OPTIONS = options.client or ", { timeout = 20, connect_timeout = 20 }", MAIN = options.main or "" }) }
  for name, value in pairs(options) do all[name] = value end
  all.client, all.main = nil, nil
  local proxy = perilune.start(all)
  return function(path) return client.request({ port = proxy.port, path = path or "/" }).body end, proxy
end

--- Asks until the answer is `wanted`.
function M.until_answer(ask, wanted, timeout)
  local last
  scheduler.eventually(function()
    last = ask()
    return last == wanted or nil, last
  end, timeout, "the answer " .. wanted)
end

return M
