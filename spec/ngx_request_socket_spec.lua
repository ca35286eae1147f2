-- SPDX-License-Identifier: Apache-2.0
-- ngx.req.socket(): libraries such as resty.upload read the body of a request as from a socket.
local libraries = require "nginx_libraries"

describe("ngx.req.socket", function()
  local ask = libraries.cases_of(setup, teardown, function() return [[
    local function words(...)
      local list = { n = select("#", ...), ... }
      for i = 1, list.n do list[i] = tostring(list[i]) end
      return table.concat(list, ",")
    end
    function cases.sizes()
      local sock = assert(ngx.req.socket())
      sock:settimeout(1000)
      return sock:receive(3), sock:receive "*l", sock:receive(), sock:receive(0), sock:receiveany(4),
        words(sock:receive(100)), words(sock:receive(1)), words(sock:receive "*a")
    end
    function cases.all() return ngx.req.socket():receive "*a" end
    function cases.last() return words(ngx.req.socket():receive "*l") end
    function cases.marks()
      local sock = ngx.req.socket()
      local until_mark, said = sock:receiveuntil "--x", {}
      for _ = 1, 7 do said[#said + 1] = words(until_mark(4)) end
      said[#said + 1] = words(until_mark())
      return unpack(said)
    end
    function cases.inclusive()
      local until_mark = ngx.req.socket():receiveuntil("--x", { inclusive = true })
      return until_mark(), words(until_mark())
    end
    function cases.none() return ngx.req.socket() end
    function cases.late()
      ngx.req.read_body()
      return ngx.req.socket()
    end
    function cases.raw() return ngx.req.socket(true) end
    function cases.wrong()
      local sock = ngx.req.socket()
      local said = { words(pcall(sock.receive, sock, "*x")), words(pcall(sock.receive, sock, -1)),
        words(sock:receiveuntil ""), words(sock:send "x"), words(sock:setkeepalive()) }
      return table.concat(said, "; ")
    end
  ]] end)
  local function with(name, body) return ask(name, { method = "POST", body = body }) end

  it("gives sizes, lines and what is there, and says closed behind the end", function()
    assert.equal("abc|defg||" .. "|hijk|nil,closed,lmn|nil,closed,|", with("sizes", "abcdefg\r\n\r\nhijklmn"))
    assert.equal("a\nb", with("all", "a\nb"))
    assert.equal("nil,closed,no end", with("last", "no end"))
    assert.equal(tostring(("x"):rep(300000)), with("all", ("x"):rep(300000)))
  end)

  it("reads up to marks in pieces, then nil, nil, nil once, and again", function()
    assert.equal("abcd|ef|nil,nil,nil||nil,nil,nil|gh|nil,nil,nil|nil,closed,rest",
      with("marks", "abcdef--x--xgh--xrest"))
    assert.equal("ab--x|nil,closed,c--", with("inclusive", "ab--xc--"))
  end)

  it("is nil and why where there is no body, where it was read, and for both directions", function()
    assert.equal("nil|no body", ask "none")
    assert.equal("nil|request body already exists", with("late", "a"))
    assert.matches("^nil|raw request sockets are not in Perilune", with("raw", "a"))
  end)

  it("says what it does not understand", function()
    local said = with("wrong", "a")
    assert.matches("false,[^;]*bad argument", said)
    assert.matches("nil,pattern is empty; nil,[^;]*only reads its body[^;]*; nil,[^;]*only reads its body", said)
  end)
end)
