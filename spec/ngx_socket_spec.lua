-- SPDX-License-Identifier: Apache-2.0
-- Sockets of perilune.ngx: pools, times, marks, owners, as libraries for OpenResty rely on them.
local cleanup = require "cleanup"
local lines = require "lines"
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"

local cases_of = nginx_libraries.cases_of

describe("ngx.socket.tcp", function()
  local origin
  local ask = cases_of(setup, teardown, function()
    origin = origins.start(lines.serve)
    return ([[
    local host, port = ("%s"):match "^(.*):(%%d+)$"
    local function open(options)
      local sock = ngx.socket.tcp()
      sock:settimeouts(5000, 5000, 5000)
      assert(sock:connect(host, port, options))
      return sock
    end
    function cases.results()
      local sock = ngx.socket.tcp()
      local ok, err = sock:connect(host, tonumber(port))
      local sent = sock:send { "EC", { "HO ", 5 }, "\r\n" }
      return ok, err, sent, sock:receive "*l", sock:receive(5), sock:receive(0), sock:close(), sock:close()
    end
    function cases.timeout()
      local sock = open()
      sock:send "LATER\r\nPING\r\n"
      sock:settimeout(30)
      local data, err, partial = sock:receive()
      sock:settimeout(5000)
      return data, err, partial, sock:receive(), sock:receive()
    end
    function cases.partial()
      local sock = open()
      sock:send "HALF\r\n"
      local data, err, partial = sock:receive()
      return data, err, partial, sock:receive()
    end
    function cases.pool()
      local sock = open { pool = "mine" }
      sock:send "WHO\r\n"
      local first, times = sock:receive(), sock:getreusedtimes()
      local kept = sock:setkeepalive(1000, 5)
      local after, err = sock:send "x"
      local other = open { pool = "another" }
      local again = open { pool = "mine" }
      again:send "WHO\r\n"
      return times, kept, after, err, other:getreusedtimes(), again:getreusedtimes(), again:receive() == first
    end
    function cases.dubious()
      local sock = open()
      sock:send "PING\r\n"
      sock:receive(1) -- of an answer of seven bytes
      return sock:setkeepalive()
    end
    function cases.wrong()
      local sock = ngx.socket.tcp()
      local a, b = sock:connect(nil, 80)
      local c, d = sock:connect(host, 99999)
      local e, f = sock:connect("127.0.0.1", 1)
      return a, b, c, d, e, f, sock:send "x", sock:receive(), sock:setkeepalive(), sock:getreusedtimes()
    end
    function cases.busy()
      local sock = open()
      local thread = ngx.thread.spawn(function() return sock:receive() end)
      local data, err = sock:receive()
      sock:send "PING\r\n"
      return data, err, ngx.thread.wait(thread)
    end
    local kept
    function cases.owner(session)
      if session:query() == "keep" then kept = open() return "kept" end
      return kept:send "PING\r\n", kept:receive()
    end
    function cases.full()
      local options = { pool = "few", pool_size = 1, backlog = 1 }
      local first = open(options)
      local waiting = ngx.thread.spawn(open, options)
      local sock = ngx.socket.tcp()
      local ok, err = sock:connect(host, port, options)
      first:close()
      local _, second = ngx.thread.wait(waiting)
      second:send "PING\r\n"
      return ok, err, second:receive()
    end
    ]]):format(origin.address)
  end)

  it("gives results and errors in ngx_lua's order", function()
    assert.equal("1|nil|8|$5|xxxxx||1|nil", ask("results"):match "^(.*)|closed$")
  end)
  it("stays open when a receive takes too long, and gives what had come", function()
    assert.equal("nil|timeout||+PONG|+PONG", ask "timeout")
    assert.equal("nil|closed|+PO|nil|closed", ask "partial")
  end)
  it("reuses connections by the name of their pool", function()
    assert.equal("0|1|nil|closed|0|1|true", ask "pool")
  end)
  it("does not keep one on which something is unread", function()
    assert.equal("nil|connection in dubious state", ask "dubious")
  end)
  it("gives nil and a message for what cannot be, and never raises", function()
    assert.equal("nil|bad host: a string is expected|nil|bad port number: 99999|nil|connection refused|nil|nil|nil|nil"
      .. "|closed", ask "wrong")
  end)
  it("refuses a second reader, and use by another request", function()
    assert.equal("nil|socket busy reading|true|+PONG", ask "busy")
    assert.equal("kept", ask "owner?keep")
    assert.equal("nil|nil|bad request", ask "owner")
  end)
  it("lets connects wait for a full pool, and refuses those beyond its backlog", function()
    assert.equal("nil|too many waiting connect operations|+PONG", ask "full")
  end)
end)

describe("ngx.socket's receiveuntil", function()
  it("gives pieces, then nil, nil, nil once, and starts again", function()
    local origin = origins.start(function(connection) connection:send "abcdefg--xy--rest" end)
    local host, port = origin.address:match "^(.*):(%d+)$"
    local ask = nginx_libraries.start(([[
      function cases.pieces()
        local sock = ngx.socket.tcp()
        sock:connect(%q, %d)
        local read = sock:receiveuntil "--"
        local a, b, c = read(4), read(4), read(4)
        local whole = read()
        local inclusive = sock:receiveuntil("t", { inclusive = true })
        local last, err, partial = (inclusive()), nil, nil
        _, err, partial = read()
        return a, b, c, whole, last, err, partial, sock:receiveuntil ""
      end
    ]]):format(host, port))
    assert.equal("abcd|efg|nil|xy|rest|closed||nil|pattern is empty", ask "pieces")
    cleanup.run()
  end)
end)
