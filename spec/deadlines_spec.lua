-- SPDX-License-Identifier: Apache-2.0
-- Who owes the next byte? A clock runs for the side that is waited for, and for nobody while the proxy or its policy is
-- what everybody waits for.
local client = require "client"
local http1 = require "http1"
local origins = require "origins"
local perilune = require "perilune"
local policies = require "policies"
local scene = require "scene"
local scheduler = require "scheduler"
local sys = require "sys"

after_each(require("cleanup").run)

local HEAD = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n"
local EXPECTANT = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
local CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n"

local start = scene.start

-- Reads each request whole, and answers.
local function patient_origin(delay)
  return origins.start(function(connection)
    while connection:read_request() do
      if connection.request.failure then return end
      if delay then connection:sleep(delay) end
      connection:respond { body = connection.request.body }
    end
  end)
end

local function dribble(connection, pause)
  for i = 1, 20 do
    assert(connection:send(("x"):sub(i > 0 and 1)))
    scheduler.sleep(pause)
  end
end

describe("while a body filter of the policy waits", function()
  it("the peer's answer is not awaited: the request goes on beyond first_byte_timeout", function()
    local hooks = [[local seen
      function policy.request_body_filter(_, chunk)
        if not seen then seen = true perilune.sleep(0.05) end
        return chunk
      end]]
    local options = { hooks = hooks, peer = ", first_byte_timeout = 0.6" }
    local connection = client.connect(start(patient_origin(), options).port)
    connection:send(HEAD)
    dribble(connection, 0.06)
    assert.equal(("x"):rep(20), connection:read_response().body)
  end)

  it("neither client nor peer is blamed, however long it takes", function()
    local hooks = [[function policy.request_body_filter(_, chunk) perilune.sleep(1) return chunk end
      function policy.response_body_filter(_, chunk) perilune.sleep(1) return chunk end]]
    local options = { hooks = hooks, listen = "body_timeout = 0.4, send_timeout = 0.4",
      peer = ", first_byte_timeout = 0.4, read_timeout = 0.4, send_timeout = 0.4" }
    local connection = client.connect(start(patient_origin(), options).port)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert.equal("hello", connection:read_response().body)
  end)

  it("the client's clock begins anew behind it", function()
    local hooks = "function policy.request_body_filter(_, chunk) perilune.sleep(0.5) return chunk end"
    local options = { hooks = hooks, listen = "body_timeout = 0.4, await_body = false" }
    local connection = client.connect(start(patient_origin(), options).port)
    connection:send(HEAD .. "hello")
    local begun = sys.now()
    assert.equal(408, connection:read_response().status)
    assert.is_true(sys.now() - begun > 0.8)
  end)
end)

describe("while a hook waits", function()
  it("the client, whose body comes, and the peer, which has answered, are not blamed", function()
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:respond { body = "early" }
      connection:read_request_body()
    end)
    local options = { hooks = "function policy.response_filter() perilune.sleep(1) end",
      listen = "body_timeout = 0.4, await_body = false", peer = ", read_timeout = 0.4" }
    local connection = client.connect(start(origin, options).port)
    connection:send(HEAD)
    assert.equal("early", connection:read_response().body)
  end)
end)

describe("a client that expects 100 (Continue)", function()
  -- Says 100 after some time; then reads and answers.
  local function thoughtful(delay)
    return origins.start(function(connection)
      connection:read_request_head()
      connection:sleep(delay)
      connection:send(CONTINUE)
      connection:read_request_body()
      connection:respond { body = connection.request.body }
    end)
  end

  it("owes its body once it was asked for it, not while the peer thinks (RFC 9110 10.1.1)", function()
    local connection = client.connect(start(thoughtful(0.8), { listen = "body_timeout = 0.3" }).port)
    connection:send(EXPECTANT)
    assert.equal(100, connection:read_response().status)
    connection:send "hello"
    assert.equal("hello", connection:read_response().body)
  end)

  it("owes the rest of it where it has begun without being asked", function()
    local connection = client.connect(start(thoughtful(60), { listen = "body_timeout = 0.3" }).port)
    connection:send(EXPECTANT .. "he")
    assert.equal(408, connection:read_response().status)
  end)

  it("has 504 of a peer that never says it, nor answers", function()
    local options = { listen = "body_timeout = 0.2", peer = ", first_byte_timeout = 0.4" }
    local connection = client.connect(start(thoughtful(60), options).port)
    connection:send(EXPECTANT)
    assert.equal(504, connection:read_response().status)
  end)

  for what, hooks in pairs {
    ["the request"] = "function policy.request_filter(session) session:request():remove_header 'Expect' end",
    ["the peer's request"] = "function policy.upstream_request_filter(_, request) request:remove_header 'Expect' end",
  } do
    it("is asked by the proxy where the policy takes the field out of " .. what .. " (RFC 9110 10.1.1)", function()
      local origin = patient_origin()
      local connection = client.connect(start(origin, { hooks = hooks, listen = "body_timeout = 0.5" }).port)
      connection:send(EXPECTANT)
      assert.equal(100, connection:read_response().status)
      connection:send "hello"
      assert.equal("hello", connection:read_final_response().body)
      assert.is_nil(origin.requests[1].headers.expect)
      assert.is_false(connection:is_closed(0.05))
    end)
  end
end)

describe("interim responses", function()
  for _, case in ipairs { { "behind the request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n" },
    { "before the client is asked for its body", EXPECTANT } } do
    it("keep " .. case[1] .. " an answer waiting for three times first_byte_timeout, not for ever", function()
      local origin = origins.start(function(connection)
        connection:read_request_head()
        local ends = sys.now() + 20 -- later than what is allowed below: not to wait for ever in vain
        while sys.now() < ends and connection:send "HTTP/1.1 102 Processing\r\n\r\n" do connection:sleep(0.1) end
      end)
      local connection = client.connect(start(origin, { peer = ", first_byte_timeout = 0.3" }).port)
      local begun = sys.now()
      connection:send(case[2])
      local response = connection:read_final_response()
      local took = sys.now() - begun
      assert.equal(504, response.status)
      assert.equal(102, response.interim[1].status)
      assert.is_true(took > 0.8 and took < 15, ("after %.2f s"):format(took))
    end)
  end
end)

describe("a client that takes its response slowly", function()
  local function block(bytes) return ("x"):rep(bytes) end

  it("stops the peer through us, which is not blamed for it", function()
    -- It writes more than the sockets hold; so it reads no more of the request, and sends no more of the response.
    local bytes = 24 * 1024 * 1024
    local origin = origins.start(function(connection)
      connection:read_request_head()
      connection:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(bytes))
      local text = block(65536)
      for _ = 1, bytes / #text do
        if not connection:send(text) then return end
      end
      connection:read_request_body()
    end)
    local options = { peer = ", read_timeout = 1.5, send_timeout = 1.5" }
    local proxy = start(origin, options)
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nhello")
    scheduler.sleep(3.5)
    connection:send(("x"):rep(15))
    assert.equal(bytes, #connection:read_response(nil, 60).body)
    assert.equal(0, proxy:count_log "peer 127")
  end)

  it("stops the peer through us from taking the request, too", function()
    -- Neither side's sockets hold so much: the peer takes no more before it is rid of its response, but for the end.
    local bytes, taken = 24 * 1024 * 1024, nil
    local proxy = start(origins.start(function(connection)
      connection:read_request_head()
      connection:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(bytes + 1, block(bytes)))
      taken = #connection:read_request_body().body
      connection:send "x"
    end), { peer = ", send_timeout = 1" })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    scheduler.all {
      function()
        connection:send(("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"):format(bytes))
        connection:send(block(bytes))
      end,
      function()
        scheduler.sleep(3)
        assert.equal(bytes + 1, #connection:read_response(nil, 60).body)
      end,
    }
    assert.equal(bytes, taken)
    assert.equal(0, proxy:count_log "peer 127")
  end)

  it("but steadily is served on, though the kernel says for long that there is no room", function()
    local bytes = 64 * 1024 * 1024
    local proxy = scene.proxied(function(connection)
      connection:read_request()
      connection:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(bytes))
      local text = block(65536)
      for _ = 1, bytes / #text do
        if not connection:send(text) then return end
      end
    end, { listen = "send_timeout = 0.5" })
    local connection = client.connect { port = proxy.port, receive_buffer = 65536 }
    connection:send_request {}
    local finish = sys.now() + 3
    while sys.now() < finish do
      assert.is_truthy(connection:receive_some(8192))
      scheduler.sleep(0.01)
    end
    assert.equal(0, proxy:count_log "does not read")
  end)
end)

describe("a peer that takes the request slowly", function()
  it("but steadily is not failed, nor its client, though the kernel says for long that there is no room", function()
    local bytes = 64 * 1024 * 1024
    local reads = true
    local proxy = scene.proxied(function(connection)
      sys.set_buffers(connection.fd, 65536)
      connection:read_request_head()
      while reads and connection:receive_some(8192) do connection:sleep(0.01) end
    end, { peer = ", send_timeout = 0.5", listen = "body_timeout = 0.5" })
    local connection = client.connect(proxy.port)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " .. bytes .. "\r\n\r\n")
    local text = ("x"):rep(65536)
    local sending = scheduler.spawn(function()
      while connection:send(text) do scheduler.sleep(0) end
    end)
    assert.is_false(connection:is_closed(3))
    assert.equal("", connection.buffer)
    scheduler.cancel(sending)
    reads = false
    connection:close()
  end)
end)

describe("empty lines before a request", function()
  it("do not put its deadline back, in whatever pieces they come (RFC 9112 2.2)", function()
    local proxy = start(patient_origin(), { listen = "head_timeout = 0.5, keepalive_timeout = 0.5" })
    for _, pieces in ipairs { { "\r", "\n" }, { "\r\n" }, { "\r\n\r", "\n" } } do
      local connection = client.connect(proxy.port)
      local i = 0
      local sending = scheduler.spawn(function()
        repeat
          i = i + 1
          scheduler.sleep(0.2)
        until not connection:send(pieces[(i - 1) % #pieces + 1])
      end)
      local answer, why = connection:receive_all(30)
      scheduler.cancel(sending)
      assert.not_equal("timeout", why)
      assert.not_matches(" 400 ", answer) -- which would be for their number
    end
  end)

  it("are some few: more of them are no request (RFC 9112 2.2)", function()
    local proxy = start(patient_origin())
    local connection = client.connect(proxy.port)
    connection:send(("\r\n"):rep(4) .. "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert.equal(200, connection:read_response().status)
    connection:send(("\r\n"):rep(1000))
    assert.equal(400, connection:read_response().status)
    assert.is_true(connection:is_closed())
  end)
end)

describe("a peer that has answered in full", function()
  local BYTES = 16 * 1024 * 1024
  local REFUSAL = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig\n"

  -- How it goes on behind its answer: the client must not see the difference.
  local ways = {
    ["stops reading"] = function(connection) connection:sleep(60) end,
    ["reads a little now and then"] = function(connection)
      while connection:receive_some(4000) do connection:sleep(0.02) end
    end,
  }
  local LARGE = "HTTP/1.1 413 Too Large\r\nContent-Length: 30000\r\n\r\n" .. ("x"):rep(30000)
  local cases = {
    ["to a body by length"] = {},
    ["to a chunked body"] = { chunked = true },
    ["to a body that a filter sees"] = { hooks = "function policy.request_body_filter(_, chunk) return chunk end" },
    ["through TLS"] = { tls = true },
    ["with more than its client's window takes"] = { answer = LARGE, window = 4096 },
  }

  local function upload(connection, chunked)
    local text = ("x"):rep(65536)
    connection:send("POST / HTTP/1.1\r\nHost: a\r\n"
      .. (chunked and "Transfer-Encoding: chunked" or "Content-Length: " .. BYTES) .. "\r\n\r\n")
    for _ = 1, BYTES / #text do
      if not connection:send(chunked and http1.chunk(text) or text, 20) then return end
    end
    if chunked then connection:send "0\r\n\r\n" end
  end

  for way, goes_on in pairs(ways) do
    for case, options in pairs(cases) do
      it(case .. ", and then " .. way .. ", is given up, and the client gets the answer", function()
        local origin = origins.start(function(connection)
          sys.set_buffers(connection.fd, 65536)
          connection:read_request_head()
          connection:send(options.answer or REFUSAL)
          goes_on(connection)
        end, options.tls and { names = { "peer.example" } } or nil)
        local peer = options.tls and (", tls = true, sni = 'peer.example', ca = %q"):format(origin.files.ca) or ""
        local proxy = start(origin, { hooks = options.hooks, peer = peer })
        local sockets = proxy:open_sockets()
        local connection = client.connect { port = proxy.port, receive_buffer = options.window }
        local begun = sys.now()
        upload(connection, options.chunked)
        assert.equal(413, connection:read_response().status)
        assert.is_true(sys.now() - begun < 15)
        connection:close()
        scheduler.eventually(function() return proxy:open_sockets() <= sockets end)
        assert.equal(0, proxy:count_log " warn ")
      end)
    end
  end

  it("or has begun to refuse at length, is sent no more: its client writes all, and then reads", function()
    local bytes = 6 * 1024 * 1024
    local proxy = scene.proxied(function(connection)
      connection:read_request_head()
      connection:send(("HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n"):format(bytes))
      connection:send(("y"):rep(bytes))
      connection:sleep(60)
    end)
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    upload(connection)
    local response = connection:read_response(nil, 60)
    assert.same({ 413, bytes }, { response.status, #response.body })
    assert.equal(0, proxy:count_log " warn ")
  end)

  it("has no request under way any more, though its client still uploads", function()
    local origin = origins.start(function(connection)
      while connection:read_request_head() do
        connection:respond { body = "early" }
        connection:read_request_body()
      end
    end)
    local proxy = perilune.start { workers = 1, policy = policies.fill([[
      local set = require("perilune.round_robin").new { "$ADDRESS", max_in_flight = 1 }
      require("perilune").listen("127.0.0.1:0", { upstream_peer = function() return { address = set:select() } end })
    ]], { ADDRESS = origin.address }) }
    local connection = client.connect(proxy.port)
    connection:send(HEAD)
    assert.equal("early", connection:read_response().body)
    assert.equal(200, client.request(proxy.port).status)
    connection:send(("x"):rep(20))
    assert.equal(200, connection:request().status)
  end)

  it("does not keep a stop waiting", function()
    local proxy = scene.proxied(function(connection)
      connection:read_request_head()
      connection:respond { body = "early" }
      connection:is_closed(60)
    end)
    local connection = client.connect(proxy.port)
    connection:send(HEAD)
    assert.equal("early", connection:read_response().body)
    local begun = sys.now()
    proxy:signal "TERM"
    scheduler.eventually(function() return proxy:exit_code() == 0 end)
    assert.is_true(sys.now() - begun < 15)
  end)

  it("may stream on to a client that was refused, which is read away: both get to their end", function()
    -- The policy answers with more than the sockets hold, to a client that writes before it reads.
    local hooks = [[local page = ("x"):rep(12 * 1024 * 1024)
      function policy.request_filter(session) return session:respond { status = 403, body = page } end]]
    local proxy = start(patient_origin(), { hooks = hooks })
    local connection = client.connect { port = proxy.port, receive_buffer = 4096 }
    upload(connection)
    local response = connection:read_response(nil, 60)
    assert.equal(403, response.status)
    assert.equal(12 * 1024 * 1024, #response.body)
  end)
end)
