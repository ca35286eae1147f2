-- SPDX-License-Identifier: Apache-2.0
-- What frames of a client are at fault, and what the fault ends: the stream, or the connection (RFC 9113, 7541).
local frames = require "frames"
local policies = require "policies"
local wire = require "wire"

local u32, block = frames.u32, frames.block
local HEAD = { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" } }
local GET = block(HEAD)
local END_BOTH = frames.END_HEADERS + frames.END_STREAM

local function u16(number) return u32(number):sub(3) end
local function setting(id, value) return u16(id) .. u32(value) end
local function with(fields, pseudo)
  local all = {}
  for _, field in ipairs(pseudo or HEAD) do all[#all + 1] = field end
  for _, field in ipairs(fields) do all[#all + 1] = field end
  return block(all)
end
-- Frames to send, one after another: { type, flags, stream, payload }.
local function send(...)
  local list = { ... }
  return function(c)
    for _, frame in ipairs(list) do c:send(frame[1], frame[2], frame[3], frame[4] or "") end
  end
end
local function post(stream, fields, flags)
  return { "HEADERS", flags or frames.END_HEADERS, stream,
    with(fields or {}, { { ":method", "POST" }, { ":scheme", "http" }, { ":path", "/" }, { ":authority", "a" } }) }
end
local function get(stream, fields) return { "HEADERS", END_BOTH, stream, with(fields or {}) } end
local function head(pseudo, fields) return send { "HEADERS", END_BOTH, 1, with(fields or {}, pseudo) } end
local function field(name, value) return send(get(1, { { name, value or "1" } })) end
local OPEN, DONE = post(1), get(1)

-- Ends the connection: { sentence, code, frames }.
local connection_faults = {
  { "DATA of no stream (RFC 9113 6.1)", "PROTOCOL_ERROR", send { "DATA", 0, 0, "x" } },
  { "DATA of a stream that is idle (RFC 9113 5.1)", "PROTOCOL_ERROR", send { "DATA", 0, 1, "x" } },
  { "DATA behind the end of the stream (RFC 9113 5.1)", "STREAM_CLOSED",
    send({ "HEADERS", END_BOTH, 1, with({}, { HEAD[1], HEAD[2], { ":path", "/hold" }, HEAD[4] }) }, { "DATA", 0, 1,
      "x" }) },
  { "DATA behind RST_STREAM (RFC 9113 5.1)", "STREAM_CLOSED",
    send(OPEN, { "RST_STREAM", 0, 1, u32(8) }, { "DATA", 0, 1, "x" }) },
  { "DATA with more padding than payload (RFC 9113 6.1)", "PROTOCOL_ERROR", send(OPEN, { "DATA", 8, 1, "\4abc" }) },
  { "DATA with padding and no length of it (RFC 9113 6.1)", "FRAME_SIZE_ERROR", send(OPEN, { "DATA", 8, 1, "" }) },
  { "HEADERS of no stream (RFC 9113 6.2)", "PROTOCOL_ERROR", send { "HEADERS", END_BOTH, 0, GET } },
  { "HEADERS of an even stream (RFC 9113 5.1.1)", "PROTOCOL_ERROR", send(get(2)) },
  { "HEADERS of a lower stream than before (RFC 9113 5.1.1)", "PROTOCOL_ERROR", send(get(5), get(3)) },
  { "HEADERS behind the end of the stream (RFC 9113 5.1)", "STREAM_CLOSED",
    send({ "HEADERS", END_BOTH, 1, with({}, { HEAD[1], HEAD[2], { ":path", "/hold" }, HEAD[4] }) }, get(1)) },
  { "HEADERS behind RST_STREAM (RFC 9113 5.1)", "STREAM_CLOSED", send(OPEN, { "RST_STREAM", 0, 1, u32(8) }, get(1)) },
  { "HEADERS with more padding than payload (RFC 9113 6.2)", "PROTOCOL_ERROR",
    send { "HEADERS", END_BOTH + 8, 1, "\255" .. GET } },
  { "HEADERS with a priority that is cut (RFC 9113 6.2)", "FRAME_SIZE_ERROR",
    send { "HEADERS", END_BOTH + 32, 1, "\0\0\0" } },
  { "HEADERS longer than a frame may be (RFC 9113 4.2)", "FRAME_SIZE_ERROR",
    send { "HEADERS", END_BOTH, 1, ("x"):rep(16385) } },
  { "DATA longer than a frame may be (RFC 9113 4.2)", "FRAME_SIZE_ERROR",
    send(OPEN, { "DATA", 0, 1, ("x"):rep(16385) }) },
  { "an unknown frame longer than a frame may be (RFC 9113 4.2)", "FRAME_SIZE_ERROR",
    send { 0x42, 0, 0, ("x"):rep(16385) } },
  { "PRIORITY of no stream (RFC 9113 6.3)", "PROTOCOL_ERROR", send { "PRIORITY", 0, 0, u32(1) .. "\1" } },
  { "a stream that depends on itself (RFC 7540 5.3.1)", "PROTOCOL_ERROR", send { "PRIORITY", 0, 1, u32(1) .. "\1" } },
  { "PRIORITY of 4 octets (RFC 9113 6.3)", "FRAME_SIZE_ERROR", send { "PRIORITY", 0, 1, u32(3) } },
  { "RST_STREAM of no stream (RFC 9113 6.4)", "PROTOCOL_ERROR", send { "RST_STREAM", 0, 0, u32(8) } },
  { "RST_STREAM of a stream that is idle (RFC 9113 6.4)", "PROTOCOL_ERROR", send { "RST_STREAM", 0, 1, u32(8) } },
  { "RST_STREAM of 3 octets (RFC 9113 6.4)", "FRAME_SIZE_ERROR", send(OPEN, { "RST_STREAM", 0, 1, "\0\0\0" }) },
  { "RST_STREAM of 5 octets (RFC 9113 6.4)", "FRAME_SIZE_ERROR", send(OPEN, { "RST_STREAM", 0, 1, "\0\0\0\0\0" }) },
  { "SETTINGS of a stream (RFC 9113 6.5)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 1, "" } },
  { "SETTINGS of 5 octets (RFC 9113 6.5)", "FRAME_SIZE_ERROR", send { "SETTINGS", 0, 0, "\0\0\0\0\0" } },
  { "an acknowledgement with a payload (RFC 9113 6.5)", "FRAME_SIZE_ERROR", send { "SETTINGS", 1, 0, setting(3, 1) } },
  { "ENABLE_PUSH of 2 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(2, 2) } },
  { "INITIAL_WINDOW_SIZE of 2^31 (RFC 9113 6.5.2)", "FLOW_CONTROL_ERROR", send { "SETTINGS", 0, 0, "\0\4\128\0\0\0" } },
  { "MAX_FRAME_SIZE of 16383 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(5, 16383) } },
  { "MAX_FRAME_SIZE of 2^24 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(5, 16777216) } },
  { "ENABLE_CONNECT_PROTOCOL of 2 (RFC 8441 3)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(8, 2) } },
  { "INITIAL_WINDOW_SIZE that makes a window too large (RFC 9113 6.9.2)", "FLOW_CONTROL_ERROR",
    send(OPEN, { "WINDOW_UPDATE", 0, 1, u32(0x7fffffff - 65535) }, { "SETTINGS", 0, 0, setting(4, 65536) }) },
  { "PUSH_PROMISE (RFC 9113 8.4)", "PROTOCOL_ERROR", send(OPEN, { "PUSH_PROMISE", 4, 1, u32(2) .. GET }) },
  { "PING of a stream (RFC 9113 6.7)", "PROTOCOL_ERROR", send { "PING", 0, 1, ("x"):rep(8) } },
  { "PING of 7 octets (RFC 9113 6.7)", "FRAME_SIZE_ERROR", send { "PING", 0, 0, ("x"):rep(7) } },
  { "GOAWAY of a stream (RFC 9113 6.8)", "PROTOCOL_ERROR", send { "GOAWAY", 0, 1, u32(0) .. u32(0) } },
  { "GOAWAY of 7 octets (RFC 9113 6.8)", "FRAME_SIZE_ERROR", send { "GOAWAY", 0, 0, ("\0"):rep(7) } },
  { "WINDOW_UPDATE of 0 for the connection (RFC 9113 6.9)", "PROTOCOL_ERROR", send { "WINDOW_UPDATE", 0, 0, u32(0) } },
  { "WINDOW_UPDATE of 3 octets (RFC 9113 6.9)", "FRAME_SIZE_ERROR", send { "WINDOW_UPDATE", 0, 0, "\0\0\1" } },
  { "WINDOW_UPDATE of a stream that is idle (RFC 9113 5.1)", "PROTOCOL_ERROR", send { "WINDOW_UPDATE", 0, 1, u32(1) } },
  { "a window of the connection above 2^31-1 (RFC 9113 6.9.1)", "FLOW_CONTROL_ERROR",
    send({ "WINDOW_UPDATE", 0, 0, u32(0x7fffffff) }) },
  { "CONTINUATION without HEADERS (RFC 9113 6.10)", "PROTOCOL_ERROR", send { "CONTINUATION", 4, 1, GET } },
  { "CONTINUATION of no stream (RFC 9113 6.10)", "PROTOCOL_ERROR", send { "CONTINUATION", 4, 0, GET } },
  { "CONTINUATION behind END_HEADERS (RFC 9113 6.10)", "PROTOCOL_ERROR", send(OPEN, { "CONTINUATION", 4, 1, GET }) },
  { "CONTINUATION of another stream (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 1, 1, GET:sub(1, 5) }, { "CONTINUATION", 4, 3, GET:sub(6) }) },
  { "DATA within a header block (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 0, 1, GET }, { "DATA", 0, 1, "x" }) },
  { "PRIORITY within a header block (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 1, 1, GET }, { "PRIORITY", 0, 1, u32(0) .. "\1" }) },
  { "PING within a header block (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 1, 1, GET }, { "PING", 0, 0, ("x"):rep(8) }) },
  { "an unknown frame within a header block (RFC 9113 5.5)", "PROTOCOL_ERROR",
    send({ "HEADERS", 1, 1, GET }, { 0x42, 0, 1, "x" }) },
  { "WINDOW_UPDATE of 0 within a header block (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 1, 1, GET }, { "WINDOW_UPDATE", 0, 1, u32(0) }) },
  { "an index of 0 (RFC 7541 6.1)", "COMPRESSION_ERROR", send { "HEADERS", END_BOTH, 1, "\128" } },
  { "an index behind the table (RFC 7541 2.3.3)", "COMPRESSION_ERROR", send { "HEADERS", END_BOTH, 1, "\254" } },
  { "an integer without end (RFC 7541 5.1)", "COMPRESSION_ERROR",
    send { "HEADERS", END_BOTH, 1, "\255" .. ("\255"):rep(12) } },
  { "a literal that is cut (RFC 7541 6.2)", "COMPRESSION_ERROR", send { "HEADERS", END_BOTH, 1, GET .. "\0\4ab" } },
  { "Huffman padding of 8 bits (RFC 7541 5.2)", "COMPRESSION_ERROR",
    send { "HEADERS", END_BOTH, 1, "\0\1x\130\31\255" } },
  { "Huffman padding with zeros (RFC 7541 5.2)", "COMPRESSION_ERROR", send { "HEADERS", END_BOTH, 1, "\0\1x\129\24" } },
  { "Huffman with EOS (RFC 7541 5.2)", "COMPRESSION_ERROR",
    send { "HEADERS", END_BOTH, 1, "\0\1x\132\255\255\255\255" } },
  { "a table larger than announced (RFC 7541 6.3)", "COMPRESSION_ERROR",
    send { "HEADERS", END_BOTH, 1, "\63\226\31" .. GET } },
  { "a table size in mid-block (RFC 7541 4.2)", "COMPRESSION_ERROR", send { "HEADERS", END_BOTH, 1, GET .. "\32" } },
  { "a broken block of trailers (RFC 9113 4.3)", "COMPRESSION_ERROR", send(OPEN, { "HEADERS", END_BOTH, 1, "\128" }) },
  { "a broken block of a stream too many (RFC 9113 4.3)", "COMPRESSION_ERROR", function(c)
    for i = 0, 100 do c:send("HEADERS", frames.END_HEADERS, 2 * i + 1, post(1)[4]) end
    c:send("HEADERS", END_BOTH, 999, "\128")
  end },
}

-- Resets stream 1, and the connection goes on: { sentence, code, frames }.
local stream_faults = {
  { "WINDOW_UPDATE of 0 (RFC 9113 6.9)", "PROTOCOL_ERROR", send(OPEN, { "WINDOW_UPDATE", 0, 1, u32(0) }) },
  { "a window above 2^31-1 (RFC 9113 6.9.1)", "FLOW_CONTROL_ERROR",
    send(OPEN, { "WINDOW_UPDATE", 0, 1, u32(0x7fffffff) }) },
  { "more DATA than the window (RFC 9113 6.9.1)", "FLOW_CONTROL_ERROR", function(c)
    c:send("HEADERS", frames.END_HEADERS, 1, with({}, { { ":method", "POST" }, HEAD[2], { ":path", "/hold" },
      HEAD[4] }))
    for _ = 1, 5 do c:send("DATA", 0, 1, ("x"):rep(16384)) end
  end },
  { "trailers that do not end the stream (RFC 9113 8.1)", "PROTOCOL_ERROR",
    send(OPEN, { "HEADERS", frames.END_HEADERS, 1, block { { "x", "1" } } }) },
  { "a pseudo-field in trailers (RFC 9113 8.1)", "PROTOCOL_ERROR",
    send(OPEN, { "HEADERS", END_BOTH, 1, block { { ":path", "/" } } }) },
  { "an upper case name in trailers (RFC 9113 8.2.1)", "PROTOCOL_ERROR",
    send(OPEN, { "HEADERS", END_BOTH, 1, block { { "X", "/" } } }) },
  { "a field of the connection in trailers (RFC 9113 8.2.2)", "PROTOCOL_ERROR",
    send(OPEN, { "HEADERS", END_BOTH, 1, block { { "connection", "x" } } }) },
  { "less body than Content-Length (RFC 9113 8.1.1)", "PROTOCOL_ERROR",
    send(post(1, { { "content-length", "5" } }), { "DATA", 1, 1, "1234" }) },
  { "more body than Content-Length (RFC 9113 8.1.1)", "PROTOCOL_ERROR",
    send(post(1, { { "content-length", "3" } }), { "DATA", 0, 1, "1234" }) },
  { "Content-Length and no body (RFC 9113 8.1.1)", "PROTOCOL_ERROR", field("content-length", "1") },
  { "two Content-Lengths that differ (RFC 9110 8.6)", "PROTOCOL_ERROR",
    send(post(1, { { "content-length", "1" }, { "content-length", "2" } }), { "DATA", 1, 1, "1" }) },
  { "a Content-Length that is none (RFC 9110 8.6)", "PROTOCOL_ERROR",
    send(post(1, { { "content-length", "+1" } }), { "DATA", 1, 1, "1" }) },
  { "a Content-Length that is empty (RFC 9110 8.6)", "PROTOCOL_ERROR",
    send(post(1, { { "content-length", "" } }), { "DATA", 1, 1, "" }) },
  { "a Content-Length out of all range (RFC 9110 8.6)", "PROTOCOL_ERROR",
    send(post(1, { { "content-length", "18446744073709551617" } }), { "DATA", 1, 1, "1" }) },
  { "TE of gzip (RFC 9113 8.2.2)", "PROTOCOL_ERROR", field("te", "gzip") },
  { "TE of trailers and more (RFC 9113 8.2.2)", "PROTOCOL_ERROR", field("te", "trailers, gzip") },
  { "a pseudo-field behind a field (RFC 9113 8.3)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], { "x", "1" }, HEAD[3], HEAD[4] }) },
  { "an unknown pseudo-field (RFC 9113 8.3)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], HEAD[3], HEAD[4], { ":x", "1" } }) },
  { ":status in a request (RFC 9113 8.3)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], HEAD[3], HEAD[4], { ":status", "200" } }) },
  { "two :method (RFC 9113 8.3)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[1], HEAD[2], HEAD[3], HEAD[4] }) },
  { "two :path (RFC 9113 8.3)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], HEAD[3], HEAD[3], HEAD[4] }) },
  { "two :scheme (RFC 9113 8.3)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], HEAD[2], HEAD[3], HEAD[4] }) },
  { "two :authority (RFC 9113 8.3)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], HEAD[3], HEAD[4], HEAD[4] }) },
  { "no :method (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ HEAD[2], HEAD[3], HEAD[4] }) },
  { "no :scheme (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[3], HEAD[4] }) },
  { "no :path (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], HEAD[4] }) },
  { "neither :authority nor Host (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], HEAD[3] }) },
  { "an empty :path (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], { ":path", "" }, HEAD[4] }) },
  { "an empty :method (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ { ":method", "" }, HEAD[2], HEAD[3], HEAD[4] }) },
  { "an empty :scheme (RFC 9113 8.3.1)", "PROTOCOL_ERROR", head({ HEAD[1], { ":scheme", "" }, HEAD[3], HEAD[4] }) },
  { "an empty :authority (RFC 9113 8.3.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], HEAD[3], { ":authority", "" } }) },
  { "a :method that is no token (RFC 9110 9.1)", "PROTOCOL_ERROR",
    head({ { ":method", "GET /x" }, HEAD[2], HEAD[3], HEAD[4] }) },
  { "a :path that is no path (RFC 9113 8.3.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], { ":path", "x" }, HEAD[4] }) },
  { "a :path with a space (RFC 9112 3.2)", "PROTOCOL_ERROR", head({ HEAD[1], HEAD[2], { ":path", "/a b" }, HEAD[4] }) },
  { "a :path with a fragment (RFC 9110 7.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], { ":path", "/a#b" }, HEAD[4] }) },
  { "a :path that is a URI (RFC 9113 8.3.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], { ":path", "http://a/" }, HEAD[4] }) },
  { "a * of another method than OPTIONS (RFC 9113 8.3.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], { ":path", "*" }, HEAD[4] }) },
  { "user information in :authority (RFC 9113 8.3.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], HEAD[3], { ":authority", "u@a" } }) },
  { "an :authority that is none (RFC 9113 8.3.1)", "PROTOCOL_ERROR",
    head({ HEAD[1], HEAD[2], HEAD[3], { ":authority", "a/b" } }) },
  { "a Host other than :authority (RFC 9113 8.3.1)", "PROTOCOL_ERROR", field("host", "b") },
  { "two Hosts (RFC 9110 7.2)", "PROTOCOL_ERROR", send(get(1, { { "host", "a" }, { "host", "a" } })) },
  { "CONNECT with :path (RFC 9113 8.5)", "PROTOCOL_ERROR",
    head({ { ":method", "CONNECT" }, HEAD[3], { ":authority", "a:1" } }) },
  { "CONNECT with :scheme (RFC 9113 8.5)", "PROTOCOL_ERROR",
    head({ { ":method", "CONNECT" }, HEAD[2], { ":authority", "a:1" } }) },
  { "CONNECT without :authority (RFC 9113 8.5)", "PROTOCOL_ERROR", head({ { ":method", "CONNECT" } }) },
  { "a :protocol of GET (RFC 8441 4)", "PROTOCOL_ERROR",
    head({ HEAD[1], { ":protocol", "websocket" }, HEAD[2], HEAD[3], HEAD[4] }) },
}
frames.add_malformed(stream_faults, field)

-- Is no fault: stream 101 is answered behind it.
local ignored = {
  { "an unknown frame of the connection (RFC 9113 5.5)", send { 0x42, 255, 0, "abc" } },
  { "an unknown frame of a stream that is idle (RFC 9113 5.1)", send { 0x42, 0, 7, "abc" } },
  { "an unknown frame of a stream that is over (RFC 9113 5.1)", send(DONE, { 0x42, 0, 1, "abc" }) },
  { "unknown flags (RFC 9113 4.1)", send({ "PING", 0xfe, 0, ("x"):rep(8) }, { "SETTINGS", 0xfe, 0, "" }) },
  { "the reserved bit (RFC 9113 4.1)", send({ "PING", 0, 0x80000000, ("x"):rep(8) }) },
  { "unknown settings (RFC 9113 6.5.2)", send { "SETTINGS", 0, 0, setting(0x4242, 7) .. setting(0, 1) } },
  { "SETTINGS without any (RFC 9113 6.5)", send { "SETTINGS", 0, 0, "" } },
  { "an answer to no PING (RFC 9113 6.7)", send { "PING", 1, 0, ("x"):rep(8) } },
  { "PRIORITY of a stream that is idle (RFC 9113 5.1)", send { "PRIORITY", 0, 9, u32(3) .. "\1" } },
  { "PRIORITY of a stream that is over (RFC 9113 5.1)", send(DONE, { "PRIORITY", 0, 1, u32(3) .. "\1" }) },
  { "WINDOW_UPDATE of a stream that is over (RFC 9113 5.1)", send(DONE, { "WINDOW_UPDATE", 0, 1, u32(3) }) },
  { "RST_STREAM of a stream that is over (RFC 9113 5.1)", send(DONE, { "RST_STREAM", 0, 1, u32(8) }) },
  { "RST_STREAM with a code that is unknown (RFC 9113 7)", send(OPEN, { "RST_STREAM", 0, 1, u32(4711) }) },
  { "ids that are skipped (RFC 9113 5.1.1)", send(get(51), get(99)) },
  { "HEADERS with a priority (RFC 9113 6.2)", send { "HEADERS", END_BOTH + 32, 1, u32(0) .. "\1" .. GET } },
  { "HEADERS with padding (RFC 9113 6.2)", send { "HEADERS", END_BOTH + 8, 1, "\3" .. GET .. "\0\0\0" } },
  { "a block in pieces (RFC 9113 6.10)", send({ "HEADERS", 1, 1, GET:sub(1, 3) }, { "CONTINUATION", 0, 1, "" },
    { "CONTINUATION", 4, 1, GET:sub(4) }) },
  { "DATA with padding alone (RFC 9113 6.1)", send(OPEN, { "DATA", 8, 1, "\3\0\0\0" }, { "DATA", 9, 1, "\0x" }) },
  { "cookies in pieces (RFC 9113 8.2.3)", send(get(1, { { "cookie", "a=1" }, { "cookie", "b=2" } })) },
  { "TE of trailers (RFC 9113 8.2.2)", field("te", "trailers") },
  { "a Host equal to :authority (RFC 9113 8.3.1)", field("host", "a") },
  { "a Host alone (RFC 9113 8.3.1)", head({ HEAD[1], HEAD[2], HEAD[3] }, { { "host", "a" } }) },
  { "OPTIONS * (RFC 9113 8.3.1)", head({ { ":method", "OPTIONS" }, HEAD[2], { ":path", "*" }, HEAD[4] }) },
  { "a table of 0 octets (RFC 7541 4.2)", send { "HEADERS", END_BOTH, 1, "\32" .. GET } },
}

local function open()
  local c = frames.connect { port = wire.proxy.port }
  c.wire.receive_timeout = 20
  return c
end

describe("A client of HTTP/2", function()
  lazy_setup(function()
    wire.start(function(origin)
      return { policy = policies.to(origin, { listen = "h2c = true, await_body = false", hooks = [[
        function policy.request_filter(session)
          if session:path() == "/hold" then perilune.sleep(60) end
        end]] }) }
    end)
  end)
  lazy_teardown(wire.stop)

  describe("has its connection ended by", function()
    for _, case in ipairs(connection_faults) do
      it(case[1], function()
        local c = open()
        case[3](c)
        local goaway = c:await "GOAWAY"
        assert.equal(case[2], goaway and goaway.code)
        assert.is_nil(c:await "PING")
      end)
    end
  end)

  describe("has its stream alone ended by", function()
    for _, case in ipairs(stream_faults) do
      it(case[1], function()
        local c = open()
        case[3](c)
        local frame = c:await("RST_STREAM", 1)
        assert.equal(case[2], frame and frame.code)
        c:send("HEADERS", END_BOTH, 1001, GET)
        assert.equal("ok", c:body(1001))
      end)
    end
  end)

  describe("goes on behind", function()
    for _, case in ipairs(ignored) do
      it(case[1], function()
        local c = open()
        case[2](c)
        c:send("HEADERS", END_BOTH, 1001, GET)
        assert.equal("ok", c:body(1001))
      end)
    end
  end)
end)
