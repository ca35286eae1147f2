-- SPDX-License-Identifier: Apache-2.0
-- What libraries do to sockets of perilune.ngx that they should not, and servers that lie: words, never an error that
-- was not there in OpenResty, and never another request's data.
local nginx_libraries = require "nginx_libraries"
local origins = require "origins"

local cases_of = nginx_libraries.cases_of

-- Answers each line by what it says: "HOLD" by nothing, "SHUT" by the end of the connection, "LIE n" by a length that
-- is not true, anything else by itself.
local function serve(connection)
  while true do
    local line = connection:read_until "\r\n"
    if not line or line:find "^SHUT" then return end
    local length = line:match "^LIE (%d+)"
    if length then
      connection:send("$" .. length .. "\r\nshort")
    elseif not line:find "^HOLD" then
      connection:send(line:sub(-2) == "\r\n" and line or line .. "\r\n")
    end
  end
end

describe("a socket of ngx", function()
  local origin
  local ask = cases_of(setup, teardown, function()
    origin = origins.start(serve)
    return ([[
    local host, port = ("%s"):match "^(.*):(%%d+)$"
    local function open(options)
      local sock = ngx.socket.tcp()
      sock:settimeouts(5000, 5000, 5000)
      assert(sock:connect(host, port, options))
      return sock
    end
    local function words(...) -- of calls that give nil and a word
      local list = {}
      for i = 1, select("#", ...) do
        local ok, value, why = pcall((select(i, ...)))
        list[i] = ok and tostring(value) .. " " .. tostring(why) or "raised " .. tostring(value):gsub("^.-:%%d+: ", "")
      end
      return table.concat(list, ", ")
    end
    function cases.unopened()
      local sock = ngx.socket.tcp()
      return words(function() return sock:send "a" end, function() return sock:receive() end,
        function() return sock:receiveany(5) end, function() return sock:receiveuntil "x"() end,
        function() return sock:setkeepalive() end, function() return sock:close() end,
        function() return sock:getreusedtimes() end, function() return sock:sslhandshake() end)
    end
    function cases.types()
      local sock = open()
      return words(function() return sock:connect({}, 1) end, function() return sock:connect("a", "b") end,
        function() return sock:connect("a", 0/0) end, function() return sock:connect("a b", 1) end,
        function() return sock:connect("unix:") end, function() return sock:settimeouts("x", 1, 1) end,
        function() return sock:settimeout(0/0) end, function() return sock:receiveuntil("x", 1) end,
        function() return ngx.socket.udp():setpeername("", 1) end,
        function() return sock:connect(host, port, false) end, function() return sock:connect(host, port, ngx.null) end,
        function() return sock:receive "*x" end, function() return sock:receive "*lx" end,
        function() return sock:receive "*all" end, function() return sock:receive(-1) end,
        function() return sock:receive {} end, function() return sock:receive(0/0) end,
        function() return sock:receiveany(0) end, function() return sock:receiveuntil "" end,
        function() return sock:setclientcert("a", "b") end)
    end
    function cases.data()
      local sock = open()
      local sent = sock:send { "a", true, ngx.null, { 1, 2.5, false }, "\r\n" }
      local line = sock:receive()
      return sent, line, sock:send(nil), sock:send(true), sock:send "\r\n", sock:receive()
    end
    function cases.readers()
      local sock = open()
      local first = ngx.thread.spawn(function() return sock:receive() end)
      local text = words(function() return sock:receive(5) end, function() return sock:receiveany(5) end,
        function() return sock:receiveuntil "x"() end, function() return sock:setkeepalive() end)
      sock:send "PING\r\n"
      return text, ngx.thread.wait(first)
    end
    function cases.greedy() -- beside another reader
      local sock = open { pool = "greedy" }
      local first = ngx.thread.spawn(function() return sock:receive() end)
      local text = words(function() return sock:receive(1e12) end)
      sock:send "PING\r\n"
      local ok, line = ngx.thread.wait(first)
      return text, ok, line, sock:setkeepalive()
    end
    function cases.least()
      local sock, other = open { pool = "least" }, open { pool = "least" }
      sock:setkeepalive(1000, -1)
      other:setkeepalive(1000, -1)
      return open { pool = "least" }:getreusedtimes(), open { pool = "least" }:getreusedtimes()
    end
    function cases.closed_under()
      local sock = open()
      local first = ngx.thread.spawn(function() return sock:receive() end)
      sock:close()
      local ok, data, why = ngx.thread.wait(first)
      return ok, data, why, words(function() return sock:receive() end)
    end
    function cases.connecting()
      local sock = open()
      local slow = ngx.thread.spawn(function() return sock:connect("127.0.0.1", 1) end)
      return words(function() return sock:receive() end, function() return sock:connect(host, port) end),
        sock:connect(host, port)
    end
    local kept
    function cases.strangers(session)
      if session:query() == "keep" then
        kept = open()
        kept:send "HOLD\r\n"
        ngx.timer.at(0, function() kept.seen = words(function() return kept:send "x" end) end)
        ngx.sleep(0.05)
        return kept.seen
      end
      return words(function() return kept:send "PING\r\n" end, function() return kept:receive() end,
        function() return kept:receiveany(5) end, function() return kept:receiveuntil "x"() end,
        function() return kept:setkeepalive() end, function() return kept:close() end,
        function() return kept:getreusedtimes() end)
    end
    function cases.pooled(session) -- a connection that was put by belongs to who takes it
      local sock = open { pool = "p" }
      if session:query() ~= "again" then
        sock:setkeepalive()
        kept = sock
        return "put by"
      end
      sock:send "MINE\r\n"
      return sock:getreusedtimes(), words(function() return kept:receive() end, function() return kept:close() end),
        sock:receive()
    end
    function cases.timers()
      local sock, result
      ngx.timer.at(0, function()
        sock = open()
        ngx.timer.at(0, function() result = words(function() return sock:send "x" end) end)
        ngx.sleep(0.05)
        sock:send "OWN\r\n"
        result = result .. " " .. sock:receive()
      end)
      local tries = 0
      while not (result and result:find "OWN") and tries < 500 do tries = tries + 1 ngx.sleep(0.01) end
      return result, words(function() return sock:receive() end)
    end
    function cases.lies(session)
      local sock = open { pool = "lies" }
      sock:send("LIE " .. session:query() .. "\r\n")
      local length = tonumber(sock:receive():sub(2))
      sock:settimeout(50)
      local data, why, partial = sock:receive(length)
      return data, why, partial, sock:setkeepalive()
    end
    function cases.shut()
      local sock = open()
      sock:send "SHUT\r\n"
      local data, why, partial = sock:receive "*a"
      return data, why, partial, words(function() return sock:receive() end)
    end
    function cases.dubious()
      local sock = open { pool = "d" }
      sock:send "HOLD\r\n"
      local first, why = sock:setkeepalive()
      local other = open { pool = "d" }
      return first, why, other:getreusedtimes()
    end
  ]]):format(origin.address)
  end)

  it("gives closed before it is connected", function()
    assert.equal(("nil closed, "):rep(7) .. "nil closed", ask "unopened")
  end)

  it("gives words for wrong addresses, and raises for patterns and times as ngx_lua does", function()
    local said = ask "types"
    assert.equal("nil bad host: a string is expected, nil bad port number: b, nil bad port number: nan",
      said:match "^nil bad host[^,]*, [^,]*, [^,]*")
    for _, wanted in ipairs { "raised ngx.socket: bad \"connect_timeout\" argument", "1 nil, 1 nil, ",
      "raised ngx.socket: bad \"timeout\" argument", "raised ngx.socket: receiveuntil: bad options argument",
      "argument, nil bad host: a string is expected, 1 nil",
      "raised ngx.socket: receive: bad pattern argument: *x", "raised ngx.socket: receive: bad pattern argument: *lx",
      "raised ngx.socket: receive: bad pattern argument: *all", "raised ngx.socket: receive: bad pattern argument: -1",
      "raised ngx.socket: receive: bad pattern argument: table",
      "raised ngx.socket: receive: bad pattern argument: nan",
      "raised ngx.socket: receiveany: bad argument \"max\"", "nil pattern is empty",
      "nil a certificate and its key are expected" } do
      assert.is_truthy(said:find(wanted, 1, true), wanted .. " in " .. said)
    end
  end)

  it("sends numbers, and other values as tostring makes them", function()
    local sent, rest = ask("data"):match "^(%d+)|(.*)$"
    assert.equal("atrueuserdata: NULL12.5false|3|4|2|niltrue", rest)
    assert.equal("30", sent)
  end)

  it("has one reader at a time, who is told when it is closed under him", function()
    assert.equal(("nil socket busy reading, "):rep(3) .. "nil socket busy reading|true|PING", ask "readers")
    assert.equal("nil socket busy reading|true|PING|1", ask "greedy")
    assert.equal("true|nil|closed|nil closed", ask "closed_under")
  end)

  it("is of the request or timer that opened it, and of nobody else", function()
    assert.equal("nil bad request", ask("strangers", { path = "/strangers?keep" }))
    assert.matches("^nil [bc][%w ]+, nil [bc]", ask "strangers")
    assert.equal("nil bad request OWN|nil bad request", ask "timers")
  end)

  it("that was put by belongs to who takes it, whatever the first one still holds", function()
    assert.equal("put by", ask "pooled")
    assert.equal("1|nil closed, nil closed|MINE", ask("pooled", { path = "/pooled?again" }))
  end)

  it("bears a server that lies about lengths, and keeps no such connection", function()
    assert.equal("nil|timeout|short|nil|connection in dubious state", ask("lies", { path = "/lies?100" }))
    assert.equal("nil|too long|nil|nil|connection in dubious state", ask("lies", { path = "/lies?999999999999" }))
    assert.equal("|nil|nil|nil closed", ask "shut")
    assert.equal("nil|connection in dubious state|0", ask "dubious")
  end)

  it("keeps one connection of a pool where setkeepalive is given a number below 1", function()
    assert.equal("1|0", ask "least")
  end)

  it("cannot be used while it connects", function()
    assert.matches("nil socket busy connecting", ask "connecting")
  end)
end)
