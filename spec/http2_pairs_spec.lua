-- SPDX-License-Identifier: Apache-2.0
-- Whatever the client speaks and whatever the peer speaks, HTTP/1.1 or HTTP/2: a message comes through as what it is
-- (RFC 9110), and only what carries it differs (RFC 9112, RFC 9113).
local client = require "client"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

after_each(require("cleanup").run)

-- An origin of one protocol and a proxy in front of it, which takes both. The handler answers one request.
local function start(to, handler, options)
  options = options or {}
  local is_http2 = to == "2"
  local origin = origins.start(is_http2 and handler or function(at)
    while true do
      if options.reads_head then
        if not at:read_request_head() then return end
      elseif not at:read_request() then
        return
      end
      handler(at)
    end
  end, { http2 = is_http2 or nil })
  local proxy = scene.start(origin, { listen = "h2c = true" .. (options.listen or ""), hooks = options.hooks,
    peer = (is_http2 and ", http2 = true" or "") .. (options.peer or "") })
  return proxy, origin
end

local function ask(proxy, from, request)
  local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
  return assert(connection:request(request)), connection
end

-- The whole request, where an origin of HTTP/2 has only its head so far.
local function whole(at)
  if at.read_request_body and at.id then return assert(at:read_request()) end
  return at.request
end

for _, from in ipairs { "1.1", "2" } do
  for _, to in ipairs { "1.1", "2" } do
    describe(("from HTTP/%s to HTTP/%s"):format(from, to), function()
      it("a request and its response come through, with one Host and no field of a connection", function()
        local proxy, origin = start(to, function(at) at:respond { body = "hello", headers = { ["X-A"] = "b" } } end)
        local response = ask(proxy, from, { target = "/a?b=c", host = "site.example:81", headers = { ["X-C"] = "d" } })
        assert.same({ 200, "hello", "b", "5" }, { response.status, response.body, response.headers.x_a,
          response.headers.content_length })
        local request = origin.requests[1]
        assert.equal("/a?b=c", request.target)
        assert.equal("d", request.headers.x_c)
        assert.equal("site.example:81", to == "2" and request.authority or request.headers.host)
        assert.equal(from == "2" and "2.0 perilune" or "1.1 perilune", request.headers.via)
        assert.equal(to == "2" and "2.0 perilune" or "1.1 perilune", response.headers.via)
        if to == "2" then assert.is_nil(request.headers.host) end
      end)

      it("a body of known length keeps its length, and ends with it", function()
        local proxy, origin = start(to, function(at) at:respond { body = whole(at).body:rep(2) } end)
        local body = ("0123456789abcdef"):rep(20000)
        local response = ask(proxy, from, { method = "POST", body = body })
        assert.is_true(response.body == body:rep(2))
        assert.equal(tostring(#body * 2), response.headers.content_length)
        assert.equal(tostring(#body), origin.requests[1].headers.content_length)
      end)

      it("a body of unknown length and its trailers come through, both ways", function()
        local proxy, origin = start(to, function(at)
          local request = whole(at)
          at:respond { pieces = { "got ", request.body }, trailers = { ["X-Sum"] = "9" } }
        end)
        local response = ask(proxy, from, { method = "POST", body = "abc", chunked = true,
          headers = from == "2" and { TE = "trailers" } or { TE = "trailers", Connection = "TE" },
          trailers = { ["X-Count"] = "3" } })
        assert.equal("got abc", response.body)
        assert.is_nil(response.headers.content_length)
        assert.equal("9", response.trailers.x_sum)
        assert.equal("3", origin.requests[1].trailers.x_count)
        assert.matches("trailers", origin.requests[1].headers.te)
      end)

      -- HTTP/1.1 has no place for trailers behind a Content-Length (RFC 9112 6.5): there they are dropped, and nothing
      -- else.
      it("a body of known length comes through with its trailers, where both sides can say them", function()
        local seen
        local proxy, origin = start(to, function(at)
          local request = whole(at)
          seen = request.trailers
          at:respond { body = request.body, headers = { ["Content-Length"] = #request.body },
            trailers = to == "2" and { ["X-Sum"] = "9", ["Content-Type"] = "a/b" } or nil }
        end)
        for _, body in ipairs { "abc", ("0123456789"):rep(20000) } do
          local is_said = from == "2"
          local response = ask(proxy, from, { method = "POST", body = body,
            headers = { ["Content-Length"] = is_said and #body or nil, TE = is_said and "trailers" or nil },
            trailers = is_said and { ["X-Count"] = "3", ["Content-Length"] = "1" } or nil })
          assert.is_true(response.body == body)
          assert.equal(tostring(#body), response.headers.content_length)
          assert.equal(tostring(#body), origin.requests[#origin.requests].headers.content_length)
          local passes = from == "2" and to == "2"
          assert.equal(passes and "9" or nil, (response.trailers or {}).x_sum)
          assert.equal(passes and "3" or nil, (seen or {}).x_count)
          assert.is_nil((response.trailers or {}).content_type)
          assert.is_nil((seen or {}).content_length)
        end
      end)

      it("responses without a body have none: to HEAD, 204 and 304", function()
        local proxy = start(to, function(at)
          local target = at.request.target
          at:respond { status = tonumber(target:match "%d+") or 200, body = "hello", headers = { ETag = '"a"' } }
        end)
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
        local response = connection:request { method = "HEAD" }
        assert.same({ 200, "", "5" }, { response.status, response.body, response.headers.content_length })
        for _, status in ipairs { 204, 304 } do
          response = connection:request { target = "/" .. status }
          assert.same({ status, "" }, { response.status, response.body })
        end
        assert.equal("hello", connection:request().body)
      end)

      it("a response may come before the request ends, and both go on: full duplex", function()
        local proxy = start(to, function(at)
          if to == "2" then
            at:send_fields { { ":status", "200" } }
            for piece in function() return at:read() end do at:send(piece:upper()) end
            at:finish()
            return
          end
          at:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          for _ = 1, 2 do
            local size = tonumber(at:read_until "\r\n":match "%x+", 16)
            at:send(("%x\r\n%s\r\n"):format(size, at:read(size + 2):sub(1, size):upper()))
          end
          at:send "0\r\n\r\n"
          at:read_until "0\r\n\r\n"
        end, { reads_head = true })
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
        if from == "2" then
          local stream = connection:open { method = "POST", ends = false }
          assert.equal(200, stream:read_head().status)
          stream:send "one"
          assert.equal("ONE", stream:read())
          stream:send "two"
          assert.equal("TWO", stream:read())
          stream:finish()
          assert.equal("", stream:read_all())
        else
          connection:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          connection:read_until "\r\n\r\n"
          connection:send "3\r\none\r\n"
          assert.matches("3\r\nONE\r\n", connection:read_until "ONE\r\n")
          connection:send "3\r\ntwo\r\n0\r\n\r\n"
          assert.matches("TWO\r\n0\r\n\r\n$", connection:read_until "0\r\n\r\n")
        end
      end)

      it("a client that expects 100 (Continue) is told by the peer, and by nobody else", function()
        local told = {}
        local proxy = start(to, function(at)
          scheduler.eventually(function() return told.waits end)
          at:respond { status = 100 }
          local request = to == "2" and at:read_request() or at:read_request_body()
          at:respond(request.body)
        end, { reads_head = true })
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
        local head = { method = "POST", ends = false, headers = { { "Content-Length", "4" },
          { "Expect", "100-continue" } } }
        local stream
        if from == "2" then
          stream = connection:open(head)
        else
          stream = connection
          connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        end
        told.waits = true
        local interim = from == "2" and stream:read_head() or connection:read_response "POST"
        assert.equal(100, interim.status)
        stream:send("body", from == "2" or nil)
        local response = from == "2" and stream:read_response() or connection:read_response "POST"
        assert.equal("body", response.body)
      end)

      it("interim responses go on as they come", function()
        local proxy = start(to, function(at)
          at:respond { status = 103, headers = { Link = "</a.css>" } }
          at:respond "hello"
        end)
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
        local first
        if from == "2" then
          local response = connection:request()
          first = response.interim[1]
          assert.equal("hello", response.body)
        else
          connection:send_request {}
          first = connection:read_response "GET"
          assert.equal("hello", connection:read_response "GET".body)
        end
        assert.same({ 103, "</a.css>" }, { first.status, first.headers.link })
      end)

      it("cookies are one field where they go on as HTTP/1.1, and no less where not (RFC 9113 8.2.3)", function()
        local proxy, origin = start(to, function(at) at:respond "hello" end)
        local fields = from == "2" and { { "Cookie", "a=1" }, { "Cookie", "b=2" } } or { { "Cookie", "a=1; b=2" } }
        ask(proxy, from, { headers = fields })
        assert.equal("a=1; b=2", table.concat(origin.requests[1].headers:all "cookie", "; "))
        if to == "1.1" then assert.equal(1, #origin.requests[1].headers:all "cookie") end
      end)

      it("a large body comes through as it is, however slowly it is read", function()
        local body = {}
        for i = 1, 40000 do body[i] = ("%08x"):format(i * 2654435761 % 4294967296) end
        body = table.concat(body):rep(8)
        local proxy = start(to, function(at) at:respond { body = body } end)
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil,
          receive_buffer = 4096 }
        local response = connection:request()
        assert.is_true(response.body == body)
      end)

      it("a response that is cut does not look whole (RFC 9112 8, RFC 9113 8.1)", function()
        local proxy = start(to, function(at)
          if to == "2" then
            at:send_fields { { ":status", "200" } }
            at:send "hello"
            return at:reset "internal_error"
          end
          at:send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
          at:close()
        end)
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
        if from == "2" then
          local response = connection:request()
          assert.matches("^reset: ", response.failure)
        else
          connection:send_request {}
          local text = connection:receive_all()
          assert.not_matches("0\r\n\r\n$", text)
          assert.matches("hello", text)
        end
      end)

      it("an upload that its client gives up does not look whole to the peer", function()
        local seen = {}
        local proxy, origin = start(to, function(at)
          local request, why
          if to == "2" then
            request, why = at:read_request()
          else
            request = at:read_request_body(20)
            if request.failure then request, why = nil, request.failure end
          end
          seen.request, seen.why, seen.is_over = request, why or "nothing", true
        end, { reads_head = true })
        local connection = client.connect { port = proxy.port, version = from == "2" and "2" or nil }
        if from == "2" then
          local stream = connection:open { method = "POST", ends = false }
          stream:send "abc"
          scheduler.eventually(function() return origin.requests[1] end)
          stream:reset "cancel"
        else
          connection:send "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
          scheduler.eventually(function() return origin.requests[1] end)
          connection:close()
        end
        scheduler.eventually(function() return seen.is_over end, 20, "the end of the upload")
        assert.is_nil(seen.request)
        assert.equal(to == "2" and "reset: CANCEL" or "closed", seen.why)
      end)
    end)
  end
end
