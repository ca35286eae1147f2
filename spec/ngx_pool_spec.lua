-- SPDX-License-Identifier: Apache-2.0
-- Pools, times and pieces of perilune.ngx's sockets, as ngx_lua's README has them and libraries rely on them.
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"

local cases_of = nginx_libraries.cases_of

-- A line server. "WHO" tells the number of the connection, "PART" sends half a line and the rest later, "END" some
-- bytes and the end of the connection, "LF" a line that ends in LF alone; "DEAF" reads nothing any more.
local function serve(connection)
  while true do
    local line = connection:read_until "\r\n"
    if not line then return end
    if line == "END\r\n" then return connection:send "a\r\nb\r\nc" end
    if line == "DEAF\r\n" then
      connection:sleep(60)
    elseif line == "WHO\r\n" then
      connection:send(connection.number .. "\r\n")
    elseif line == "LF\r\n" then
      connection:send "one\ntwo\r\n"
    elseif line == "PART\r\n" then
      connection:send "half"
      connection:read_until "\r\n"
      connection:send " and half\r\n"
    end
  end
end

local HEAD = [[
  local host, port = ("%s"):match "^(.*):(%%d+)$"
  local other_host, other_port = ("%s"):match "^(.*):(%%d+)$"
  local function open(options, to_port)
    local sock = ngx.socket.tcp()
    sock:settimeouts(5000, 5000, 5000)
    assert(sock:connect(host, to_port or port, options))
    return sock
  end
  local function who(sock)
    assert(sock:send "WHO\r\n")
    return sock:receive()
  end
]]

local function put_by(cases)
  return cases_of(setup, teardown, function()
    local origin, other = origins.start(serve), origins.start(serve)
    return HEAD:format(origin.address, other.address) .. cases
  end)
end

describe("a pool of ngx.socket", function()
  local ask = put_by [[
    function cases.key() -- host and port; the option replaces both
      local mine = open()
      local number = who(mine)
      mine:setkeepalive()
      local elsewhere = open(nil, other_port)
      local again = open()
      local named = open { pool = "named" }
      local is_new, named_number = named:getreusedtimes() == 0, who(named)
      named:setkeepalive()
      local by_name = open({ pool = "named" }, other_port)
      return elsewhere:getreusedtimes(), again:getreusedtimes(), who(again) == number, is_new,
        by_name:getreusedtimes(), who(by_name) == named_number
    end
    function cases.newest_first()
      local numbers, socks = {}, {}
      for i = 1, 3 do socks[i] = open { pool = "order" } numbers[i] = who(socks[i]) end
      for i = 1, 3 do socks[i]:setkeepalive() end
      local first, second = open { pool = "order" }, open { pool = "order" }
      return who(first) == numbers[3], who(second) == numbers[2]
    end
    function cases.size() -- 30 where nobody says anything; the oldest goes
      local socks, spare = {}, 0
      for i = 1, 32 do socks[i] = open { pool = "thirty" } end
      for i = 1, 32 do socks[i]:setkeepalive() end
      for i = 1, 32 do
        socks[i] = open { pool = "thirty" }
        spare = spare + socks[i]:getreusedtimes()
      end
      return spare
    end
    function cases.size_at_connect() -- it counts, whatever setkeepalive says
      local options, spare = { pool = "two", pool_size = 2 }, 0
      local socks = { open(options), open(options), open(options) } -- no backlog: no cap
      for i = 1, 3 do socks[i]:setkeepalive() end
      for i = 1, 3 do
        socks[i] = open(options)
        spare = spare + socks[i]:getreusedtimes()
      end
      return spare
    end
    function cases.again() -- the object itself
      local sock = open { pool = "self" }
      local kept = sock:setkeepalive()
      local closed, why = sock:receive()
      return kept, closed, why, sock:connect(host, port, { pool = "self" }), sock:getreusedtimes()
    end
    function cases.idle()
      local sock = open { pool = "short" }
      sock:setkeepalive(20)
      ngx.sleep(0.1)
      local is_new = open { pool = "short" }:getreusedtimes()
      sock = open { pool = "ever" }
      sock:settimeout(20) -- of calls; not of how long it lies in the pool
      sock:setkeepalive(0)
      ngx.sleep(0.1)
      return is_new, open { pool = "ever" }:getreusedtimes()
    end
    function cases.queue() -- waits for its time to connect, and no longer
      local options = { pool = "queue", pool_size = 1, backlog = 2 }
      local holder, sock = open(options), ngx.socket.tcp()
      sock:settimeout(30)
      local ok, why = sock:connect(host, port, options)
      holder:setkeepalive()
      return ok, why, sock:connect(host, port, options), sock:getreusedtimes()
    end
  ]]

  it("goes by host and port, or by its name alone", function()
    assert.equal("0|1|true|true|1|true", ask "key")
  end)
  it("gives the newest first", function()
    assert.equal("true|true", ask "newest_first")
  end)
  it("keeps 30, or as many as was said at connect, which is no cap without a backlog", function()
    assert.equal("30", ask "size")
    assert.equal("2", ask "size_at_connect")
  end)
  it("leaves the object closed, which may connect again", function()
    assert.equal("1|nil|closed|1|1", ask "again")
  end)
  it("keeps a connection as long as setkeepalive says, 0 for ever, whatever the socket's times", function()
    assert.equal("0|1", ask "idle")
  end)
  it("that is full lets connect wait for its time", function()
    assert.equal("nil|timeout|1|1", ask "queue")
  end)
end)

describe("a pool of ngx.socket by a unix socket", function()
  it("goes by the path as it is given", function()
    local cleanup, process = require "cleanup", require "process"
    local path = "unix:" .. process.directory() .. "/s"
    origins.start(serve, { host = path })
    local ask = nginx_libraries.start(([[
      function cases.reused()
        local sock = ngx.socket.tcp()
        local ok = sock:connect(%q)
        sock:send "WHO\r\n"
        local number = sock:receive()
        sock:setkeepalive()
        return ok, number, sock:connect(%q, { pool_size = 3 }), sock:getreusedtimes()
      end
    ]]):format(path, path))
    assert.equal("1|1|1|1", ask "reused")
    cleanup.run()
  end)
end)

describe("what comes through a socket of ngx", function()
  local ask = put_by [[
    function cases.partial() -- what a receive has given is not given again
      local sock = open()
      sock:send "PART\r\n"
      sock:settimeout(50)
      local data, why, partial = sock:receive(100)
      sock:settimeout(5000)
      sock:send "go on\r\n"
      return data, why, partial, sock:receive()
    end
    function cases.partial_mark()
      local sock = open()
      sock:send "PART\r\n"
      sock:settimeout(50)
      local read = sock:receiveuntil "\r\n"
      local data, why, partial = read()
      sock:settimeout(5000)
      sock:send "go on\r\n"
      return data, why, partial, (read())
    end
    function cases.lines()
      local sock = open()
      sock:send "LF\r\n"
      return sock:receive "*l", sock:receive()
    end
    function cases.all()
      local sock = open()
      sock:send "END\r\n"
      return sock:receive(), sock:receive "*a", (select(2, sock:receive()))
    end
    function cases.send_timeout() -- it closes
      local sock = open()
      sock:send "DEAF\r\n"
      sock:settimeouts(5000, 50, 5000)
      local bytes, why = sock:send(("x"):rep(2 ^ 25))
      return bytes, why, sock:receive()
    end
  ]]

  it("comes once, also where a receive took too long", function()
    assert.equal("nil|timeout|half| and half", ask "partial")
    assert.equal("nil|timeout|half| and half", ask "partial_mark")
  end)
  it("is cut into lines without CR and LF", function()
    assert.equal("one|two", ask "lines")
  end)
  it("is all that is left for *a, which is no error at the end", function()
    assert.equal("a|b\r\nc|closed", ask "all")
  end)
  it("is lost where a send took too long", function()
    assert.equal("nil|timeout|nil|closed", ask "send_timeout")
  end)
end)
