-- SPDX-License-Identifier: Apache-2.0
-- Answers that a hook writes with a length that it says before, and with trailers behind them.
local client = require "client"
local streamed = require "streamed"

after_each(require("cleanup").run)

local start, begin = streamed.start, streamed.begin

describe("a streamed answer whose length is said", function()
  local CASES = [[
    function cases.whole(session)
      session:start_response { status = 200, length = 10 }
      session:send "12345"
      session:flush()
      session:send "67890"
      session:send ""
    end
    function cases.none(session) session:start_response { status = 200, length = 0 } end
    function cases.few(session)
      session:start_response { status = 200, length = 10 }
      session:send "12345"
      session:flush()
    end
    function cases.unfinished(session)
      session:start_response { status = 200, length = 10 }
      session:send "12345"
      session:flush()
      session:finish()
    end
    function cases.many(session)
      session:start_response { status = 200, length = 10 }
      session:send "12345"
      session:flush()
      session:send "678901"
    end
  ]]

  for version, more in pairs { ["1.1"] = {}, ["2"] = { version = "2" } } do
    it("has it in its head, and as many bytes, over HTTP/" .. version, function()
      local proxy = start(CASES)
      local connection = client.connect { port = proxy.port, version = more.version }
      for _ = 1, 2 do
        local response = connection:request { path = "/whole" }
        assert.same({ "10", "1234567890" }, { response.headers.content_length, response.body })
        assert.is_nil(response.headers.transfer_encoding)
        response = connection:request { path = "/none" }
        assert.same({ "0", "" }, { response.headers.content_length, response.body })
        response = connection:request { path = "/whole", method = "HEAD" }
        assert.same({ "10", "" }, { response.headers.content_length, response.body })
      end
    end)
  end

  it("is told to a client of HTTP/1.0, which sees by it that it has all", function()
    local connection, head = begin(start(CASES), "whole", "1.0")
    assert.matches("Content%-Length: 10\r\n", head)
    assert.equal("1234567890", (connection:receive_all()))
  end)

  for path, said in pairs {
    few = "request_filter failed: .*policy%.lua:%d+ .*5 bytes of the length of its answer are missing",
    unfinished = "policy%.lua:%d+: session:finish: 5 bytes of the length that the answer was begun with are missing",
    many = "policy%.lua:%d+: session:send: the answer was begun with a length of 10 bytes, of which 5 are left, and "
      .. "the piece has 6",
  } do
    it("ends short where there are too few or too many: " .. path, function()
      local proxy = start(CASES)
      local connection, head = begin(proxy, path)
      assert.matches("Content%-Length: 10\r\n", head)
      assert.equal("12345", (connection:receive_all()))
      proxy:wait_log(said)
      connection = client.connect { port = proxy.port, version = "2" }
      assert.equal("INTERNAL_ERROR", connection:request({ path = "/" .. path }).reset)
      assert.equal("1234567890", connection:request({ path = "/whole" }).body)
    end)
  end

  it("has none where it is compressed, and is checked all the same", function()
    local proxy = start([[
      function cases.page(session)
        session:start_response { status = 200, length = 20000, headers = { ["Content-Type"] = "text/plain" } }
        for _ = 1, 20 do session:send(("x"):rep(1000)) end
      end
      function cases.short(session)
        session:start_response { status = 200, length = 20000, headers = { ["Content-Type"] = "text/plain" } }
        for _ = 1, 19 do session:send(("x"):rep(1000)) end
      end
    ]], { listen = "compress = true" })
    local headers = { ["Accept-Encoding"] = "gzip" }
    local response = client.request { port = proxy.port, path = "/page", headers = headers }
    assert.is_nil(response.headers.content_length)
    assert.equal(("x"):rep(20000), require("coded").decode("gzip", response.body))
    local connection = client.connect { port = proxy.port, version = "2" }
    assert.equal("INTERNAL_ERROR", connection:request({ path = "/short", headers = headers }).reset)
  end)

  it("is told at its line what is wrong with it", function()
    local _, ask = start([[
      local function try(session, length)
        return select(2, pcall(session.start_response, session, { status = 200, length = length }))
      end
      function cases.wrong(session)
        local said = {}
        for i, length in ipairs { -1, 1.5, "5", 1e300, 0 / 0 } do said[i] = try(session, length) end
        said[#said + 1] = select(2, pcall(session.respond, session, { status = 200, length = 5 }))
        session:respond { status = 200, body = table.concat(said, "\n") }
      end
    ]])
    local body = ask("wrong").body
    local _, count = body:gsub("policy%.lua:%d+: session:start_response: length must be the number of bytes", "")
    assert.equal(5, count)
    assert.matches("session:respond: length is that of the body", body)
  end)
end)

describe("trailers of a streamed answer", function()
  local CASES = [[
    function cases.sum(session)
      session:start_response { status = 200 }
      session:send "all"
      session:finish { ["X-Sum"] = 3, ["X-Two"] = { "a", "b" } }
    end
    function cases.sized(session)
      session:start_response { status = 200, length = 3 }
      session:send "all"
      session:finish { ["X-Sum"] = 3 }
    end
    function cases.bare(session)
      session:start_response { status = 200 }
      session:finish { ["X-Sum"] = 0 }
    end
  ]]

  it("come behind the last chunk of HTTP/1.1", function()
    local proxy = start(CASES)
    local connection = begin(proxy, "bare")
    assert.equal("0\r\nX-Sum: 0\r\n\r\n", connection:read(15))
    connection:send "GET /sum HTTP/1.1\r\nHost: a\r\n\r\n"
    connection:read_until "\r\n\r\n"
    local text = connection:read_until "X-Two: b\r\n" .. connection:read_until "\r\n"
    assert.matches("^3\r\nall\r\n0\r\n", text)
    assert.matches("\r\nX%-Sum: 3\r\n", text)
    assert.matches("\r\nX%-Two: a\r\nX%-Two: b\r\n", text)
  end)

  it("end the stream of HTTP/2, also where the length was said", function()
    local proxy = start(CASES)
    local connection = client.connect { port = proxy.port, version = "2" }
    for path, body in pairs { sum = "all", sized = "all", bare = "" } do
      local response = connection:request { path = "/" .. path }
      assert.equal(body, response.body)
      assert.equal(path == "bare" and "0" or "3", response.trailers.x_sum)
    end
  end)

  it("are left out where the client's message has no place for them", function()
    local proxy = start(CASES)
    local connection = begin(proxy, "sum", "1.0")
    assert.equal("all", (connection:receive_all()))
    connection = begin(proxy, "sized")
    assert.equal("all", connection:read(3))
    connection:send "GET /bare HTTP/1.1\r\nHost: a\r\n\r\n"
    assert.matches("^HTTP/1.1 200", connection:read_until "\r\n\r\n")
  end)

  it("are checked at the policy's line, and leave the answer as it was", function()
    local proxy = start([[
      function cases.wrong(session)
        session:start_response { status = 200 }
        for _, given in ipairs { { ["Content-Length"] = "5" }, { ["X-A"] = "b\r\nc" }, { "x" }, 5, { ["a b"] = "c" },
          { Authorization = "x" } } do
          session:send(select(2, pcall(session.finish, session, given)) .. "\n")
        end
        session:finish { ["X-Sum"] = "1" }
      end
    ]])
    local connection = client.connect { port = proxy.port, version = "2" }
    local response = connection:request { path = "/wrong" }
    for _, pattern in ipairs { "the field Content%-Length may not stand in trailers", "a control character in it",
      "trailers must be a table of names and values", "table expected, got number", "'a b' is no valid field name",
      "the field Authorization may not stand in trailers" } do
      assert.matches(pattern, response.body)
    end
    assert.equal("1", response.trailers.x_sum)
  end)
end)
