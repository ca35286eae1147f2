-- SPDX-License-Identifier: Apache-2.0
-- What frames of a peer are at fault, and what the fault ends: the stream, or the connection (RFC 9113, 7541). The same
-- rules as for clients (http2_frames_spec), seen from the other side.
local cleanup = require "cleanup"
local client = require "client"
local format = require "perilune.test.http2_frames"
local frames = require "frames"
local origins = require "origins"
local scene = require "scene"
local scheduler = require "scheduler"

local u32 = format.u32
local END_HEADERS, END_STREAM = format.END_HEADERS, format.END_STREAM
local END_BOTH = END_HEADERS + END_STREAM
local OK = "\136" -- :status 200

local function u16(number) return u32(number):sub(3) end
local function setting(id, value) return u16(id) .. u32(value) end
local function literal(name, value)
  return "\0" .. string.char(#name) .. name .. string.char(#value) .. value
end

-- Frames to send for a request on `stream`, one after another: { type, flags, stream, payload }; "s" is the request's.
local function send(...)
  local list = { ... }
  return function(at, stream)
    local bytes = {}
    for i, frame in ipairs(list) do
      local id = frame[3] == "s" and stream or frame[3] == "s+2" and stream + 2 or frame[3]
      bytes[i] = format.write(frame[1], frame[2], id, frame[4] or "")
    end
    at:send(table.concat(bytes))
  end
end
local HEAD = { "HEADERS", END_HEADERS, "s", OK }
local function head(...) return send { "HEADERS", END_HEADERS, "s", table.concat { ... } } end
local function last(...) return send { "HEADERS", END_BOTH, "s", table.concat { ... } } end
local function field(name, value) return head(OK, literal(name, value or "1")) end

-- Ends the connection: { sentence, code, frames }.
local connection_faults = {
  { "DATA of no stream (RFC 9113 6.1)", "PROTOCOL_ERROR", send { "DATA", 0, 0, "x" } },
  { "DATA of a stream that is idle (RFC 9113 5.1)", "PROTOCOL_ERROR", send { "DATA", 0, "s+2", "x" } },
  { "DATA before the head (RFC 9113 8.1)", "PROTOCOL_ERROR", send { "DATA", 0, "s", "x" } },
  { "DATA of a stream of its own (RFC 9113 5.1)", "PROTOCOL_ERROR", send { "DATA", 0, 2, "x" } },
  { "DATA with more padding than payload (RFC 9113 6.1)", "PROTOCOL_ERROR", send(HEAD, { "DATA", 8, "s", "\4abc" }) },
  { "DATA with padding and no length of it (RFC 9113 6.1)", "FRAME_SIZE_ERROR", send(HEAD, { "DATA", 8, "s", "" }) },
  { "HEADERS of no stream (RFC 9113 6.2)", "PROTOCOL_ERROR", send { "HEADERS", END_BOTH, 0, OK } },
  { "HEADERS of a stream that is idle (RFC 9113 5.1)", "PROTOCOL_ERROR", send { "HEADERS", END_BOTH, "s+2", OK } },
  { "HEADERS of a stream of its own (RFC 9113 8.4)", "PROTOCOL_ERROR", send { "HEADERS", END_BOTH, 2, OK } },
  { "HEADERS with more padding than payload (RFC 9113 6.2)", "PROTOCOL_ERROR",
    send { "HEADERS", END_BOTH + 8, "s", "\255" .. OK } },
  { "HEADERS longer than a frame may be (RFC 9113 4.2)", "FRAME_SIZE_ERROR",
    send { "HEADERS", END_BOTH, "s", ("x"):rep(16385) } },
  { "DATA longer than a frame may be (RFC 9113 4.2)", "FRAME_SIZE_ERROR",
    send(HEAD, { "DATA", 0, "s", ("x"):rep(16385) }) },
  { "PRIORITY of 4 octets (RFC 9113 6.3)", "FRAME_SIZE_ERROR", send { "PRIORITY", 0, "s", u32(3) } },
  { "PRIORITY of no stream (RFC 9113 6.3)", "PROTOCOL_ERROR", send { "PRIORITY", 0, 0, u32(1) .. "\1" } },
  { "RST_STREAM of no stream (RFC 9113 6.4)", "PROTOCOL_ERROR", send { "RST_STREAM", 0, 0, u32(8) } },
  { "RST_STREAM of a stream that is idle (RFC 9113 6.4)", "PROTOCOL_ERROR", send { "RST_STREAM", 0, "s+2", u32(8) } },
  { "RST_STREAM of 3 octets (RFC 9113 6.4)", "FRAME_SIZE_ERROR", send { "RST_STREAM", 0, "s", "\0\0\0" } },
  { "SETTINGS of a stream (RFC 9113 6.5)", "PROTOCOL_ERROR", send { "SETTINGS", 0, "s", "" } },
  { "SETTINGS of 5 octets (RFC 9113 6.5)", "FRAME_SIZE_ERROR", send { "SETTINGS", 0, 0, "\0\0\0\0\0" } },
  { "an acknowledgement with a payload (RFC 9113 6.5)", "FRAME_SIZE_ERROR", send { "SETTINGS", 1, 0, setting(3, 1) } },
  { "ENABLE_PUSH of 1 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(2, 1) } },
  { "ENABLE_PUSH of 2 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(2, 2) } },
  { "INITIAL_WINDOW_SIZE of 2^31 (RFC 9113 6.5.2)", "FLOW_CONTROL_ERROR", send { "SETTINGS", 0, 0, "\0\4\128\0\0\0" } },
  { "MAX_FRAME_SIZE of 16383 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(5, 16383) } },
  { "MAX_FRAME_SIZE of 2^24 (RFC 9113 6.5.2)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(5, 16777216) } },
  { "ENABLE_CONNECT_PROTOCOL of 2 (RFC 8441 3)", "PROTOCOL_ERROR", send { "SETTINGS", 0, 0, setting(8, 2) } },
  { "ENABLE_CONNECT_PROTOCOL of 0 behind 1 (RFC 8441 3)", "PROTOCOL_ERROR",
    send({ "SETTINGS", 0, 0, setting(8, 1) }, { "SETTINGS", 0, 0, setting(8, 0) }) },
  { "INITIAL_WINDOW_SIZE that makes a window too large (RFC 9113 6.9.2)", "FLOW_CONTROL_ERROR",
    send({ "WINDOW_UPDATE", 0, "s", u32(0x7fffffff - 65535) }, { "SETTINGS", 0, 0, setting(4, 70000) }), "upload" },
  { "PUSH_PROMISE (RFC 9113 8.4)", "PROTOCOL_ERROR", send { "PUSH_PROMISE", 4, "s", u32(2) .. OK } },
  { "PING of a stream (RFC 9113 6.7)", "PROTOCOL_ERROR", send { "PING", 0, "s", ("x"):rep(8) } },
  { "PING of 7 octets (RFC 9113 6.7)", "FRAME_SIZE_ERROR", send { "PING", 0, 0, ("x"):rep(7) } },
  { "GOAWAY of a stream (RFC 9113 6.8)", "PROTOCOL_ERROR", send { "GOAWAY", 0, "s", u32(0) .. u32(0) } },
  { "GOAWAY of 7 octets (RFC 9113 6.8)", "FRAME_SIZE_ERROR", send { "GOAWAY", 0, 0, ("\0"):rep(7) } },
  { "GOAWAY with a higher last stream than before (RFC 9113 6.8)", "PROTOCOL_ERROR",
    send({ "GOAWAY", 0, 0, u32(1001) .. u32(0) }, { "GOAWAY", 0, 0, u32(1003) .. u32(0) }) },
  { "WINDOW_UPDATE of 0 for the connection (RFC 9113 6.9)", "PROTOCOL_ERROR", send { "WINDOW_UPDATE", 0, 0, u32(0) } },
  { "WINDOW_UPDATE of 3 octets (RFC 9113 6.9)", "FRAME_SIZE_ERROR", send { "WINDOW_UPDATE", 0, 0, "\0\0\1" } },
  { "WINDOW_UPDATE of a stream that is idle (RFC 9113 5.1)", "PROTOCOL_ERROR",
    send { "WINDOW_UPDATE", 0, "s+2", u32(1) } },
  { "WINDOW_UPDATE of 0 of a stream that is idle (RFC 9113 5.1)", "PROTOCOL_ERROR",
    send { "WINDOW_UPDATE", 0, "s+2", u32(0) } },
  { "a window of the connection above 2^31-1 (RFC 9113 6.9.1)", "FLOW_CONTROL_ERROR",
    send { "WINDOW_UPDATE", 0, 0, u32(0x7fffffff) } },
  { "CONTINUATION without HEADERS (RFC 9113 6.10)", "PROTOCOL_ERROR", send { "CONTINUATION", 4, "s", OK } },
  { "CONTINUATION behind END_HEADERS (RFC 9113 6.10)", "PROTOCOL_ERROR", send(HEAD, { "CONTINUATION", 4, "s", OK }) },
  { "CONTINUATION of another stream (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 0, "s", OK }, { "CONTINUATION", 4, "s+2", OK }) },
  { "DATA within a header block (RFC 9113 6.10)", "PROTOCOL_ERROR",
    send({ "HEADERS", 0, "s", OK }, { "DATA", 0, "s", "x" }) },
  { "an unknown frame within a header block (RFC 9113 5.5)", "PROTOCOL_ERROR",
    send({ "HEADERS", 0, "s", OK }, { 0x42, 0, "s", "x" }) },
  { "a header block without end (CVE-2024-27316)", "ENHANCE_YOUR_CALM", function(at, stream)
    at:send(format.write("HEADERS", 0, stream, OK))
    for _ = 1, 20 do at:send(format.write("CONTINUATION", 0, stream, literal("x", ("y"):rep(100)))) end
  end },
  { "an index of 0 (RFC 7541 6.1)", "COMPRESSION_ERROR", head "\128" },
  { "an index behind the table (RFC 7541 2.3.3)", "COMPRESSION_ERROR", head "\254" },
  { "a literal that is cut (RFC 7541 6.2)", "COMPRESSION_ERROR", head(OK, "\0\4ab") },
  { "a table larger than announced (RFC 7541 6.3)", "COMPRESSION_ERROR", head("\63\226\31", OK) },
  { "a broken block of trailers (RFC 9113 4.3)", "COMPRESSION_ERROR",
    send(HEAD, { "HEADERS", END_BOTH, "s", "\128" }) },
  { "PING without end (CVE-2019-9512)", "ENHANCE_YOUR_CALM", function(at)
    at:send(format.write("PING", 0, 0, "12345678"):rep(3000))
  end },
  { "SETTINGS without end (CVE-2019-9515)", "ENHANCE_YOUR_CALM", function(at)
    at:send(format.write("SETTINGS", 0, 0, ""):rep(3000))
  end },
  { "empty DATA without end (CVE-2019-9518)", "ENHANCE_YOUR_CALM", function(at, stream)
    at:send(format.write("HEADERS", END_HEADERS, stream, OK) .. format.write("DATA", 0, stream, ""):rep(3000))
  end },
}

-- Resets the stream, and the connection goes on: { sentence, code, frames }. A stream that both sides have ended is
-- over: there, code is nil.
local stream_faults = {
  { "WINDOW_UPDATE of 0 (RFC 9113 6.9)", "PROTOCOL_ERROR", send { "WINDOW_UPDATE", 0, "s", u32(0) } },
  { "a window above 2^31-1 (RFC 9113 6.9.1)", "FLOW_CONTROL_ERROR",
    send { "WINDOW_UPDATE", 0, "s", u32(0x7fffffff) } },
  { "no :status (RFC 9113 8.3.2)", "PROTOCOL_ERROR", head(literal("x", "1")) },
  { "an empty block (RFC 9113 8.3.2)", "PROTOCOL_ERROR", head "" },
  { "two :status (RFC 9113 8.3)", "PROTOCOL_ERROR", head(OK, OK) },
  { ":status behind a field (RFC 9113 8.3)", "PROTOCOL_ERROR", head(literal("x", "1"), OK) },
  { ":status of two digits (RFC 9113 8.3.2)", "PROTOCOL_ERROR", head(literal(":status", "20")) },
  { ":status of four digits (RFC 9113 8.3.2)", "PROTOCOL_ERROR", head(literal(":status", "2000")) },
  { ":status with a reason (RFC 9113 8.3.2)", "PROTOCOL_ERROR", head(literal(":status", "200 OK")) },
  { ":status of 099 (RFC 9110 15)", "PROTOCOL_ERROR", head(literal(":status", "099")) },
  { ":status with a sign (RFC 9110 15)", "PROTOCOL_ERROR", head(literal(":status", "+20")) },
  { ":status of 101 (RFC 9113 8.6)", "PROTOCOL_ERROR",
    send { "HEADERS", END_HEADERS, "s", literal(":status", "101") } },
  { "an interim response that ends (RFC 9113 8.1)", nil, last(literal(":status", "103")) },
  { "a malformed head that ends the stream (RFC 9113 8.2.1)", nil, last(OK, literal("X", "1")) },
  { ":path in a response (RFC 9113 8.3)", "PROTOCOL_ERROR", head(OK, literal(":path", "/")) },
  { "an unknown pseudo-field (RFC 9113 8.3)", "PROTOCOL_ERROR", head(OK, literal(":x", "1")) },
  { "TE (RFC 9113 8.2.2)", "PROTOCOL_ERROR", field("te", "trailers") },
  { "two Content-Lengths that differ (RFC 9110 8.6)", "PROTOCOL_ERROR",
    head(OK, literal("content-length", "0"), literal("content-length", "1")) },
  { "a Content-Length that is none (RFC 9110 8.6)", "PROTOCOL_ERROR", field("content-length", "-0") },
  { "Content-Length and no body (RFC 9113 8.1.1)", nil, last(OK, literal("content-length", "1")) },
  { "less body than Content-Length (RFC 9113 8.1.1)", nil,
    send({ "HEADERS", END_HEADERS, "s", OK .. literal("content-length", "5") }, { "DATA", 1, "s", "1234" }) },
  { "more body than Content-Length (RFC 9113 8.1.1)", "PROTOCOL_ERROR",
    send({ "HEADERS", END_HEADERS, "s", OK .. literal("content-length", "3") }, { "DATA", 0, "s", "1234" }) },
  { "less body than Content-Length, and trailers (RFC 9113 8.1.1)", nil,
    send({ "HEADERS", END_HEADERS, "s", OK .. literal("content-length", "5") }, { "DATA", 0, "s", "1234" },
      { "HEADERS", END_BOTH, "s", literal("x", "1") }) },
  { "a body in 204 (RFC 9110 15.3.5)", "PROTOCOL_ERROR",
    send({ "HEADERS", END_HEADERS, "s", literal(":status", "204") }, { "DATA", 0, "s", "x" }) },
  { "a body in 304 (RFC 9110 15.4.5)", "PROTOCOL_ERROR",
    send({ "HEADERS", END_HEADERS, "s", literal(":status", "304") .. literal("content-length", "1") },
      { "DATA", 0, "s", "x" }) },
  { "trailers that do not end the stream (RFC 9113 8.1)", "PROTOCOL_ERROR",
    send(HEAD, { "DATA", 0, "s", "x" }, { "HEADERS", END_HEADERS, "s", literal("x", "1") }) },
  { "a second final head (RFC 9113 8.1)", "PROTOCOL_ERROR", send(HEAD, { "HEADERS", END_HEADERS, "s", OK }) },
  { ":status in trailers (RFC 9113 8.1)", nil,
    send(HEAD, { "DATA", 0, "s", "x" }, { "HEADERS", END_BOTH, "s", OK }) },
  { "an interim response behind the final one (RFC 9113 8.1)", "PROTOCOL_ERROR",
    send(HEAD, { "HEADERS", END_HEADERS, "s", literal(":status", "103") }) },
  { "an upper case name in trailers (RFC 9113 8.2.1)", nil,
    send(HEAD, { "HEADERS", END_BOTH, "s", literal("X", "1") }) },
  { "a field of a connection in trailers (RFC 9113 8.2.2)", nil,
    send(HEAD, { "HEADERS", END_BOTH, "s", literal("connection", "x") }) },
}
frames.add_malformed(stream_faults, field)

-- Is no fault: the response comes through, and the connection goes on, unless it is said to end: { sentence, frames,
-- "ends" }.
local ANSWER = { "HEADERS", END_BOTH, "s", OK }
local ignored = {
  { "an unknown frame of the connection (RFC 9113 5.5)", send({ 0x42, 255, 0, "abc" }, ANSWER) },
  { "an unknown frame of a stream that is idle (RFC 9113 5.1)", send({ 0x42, 0, 77, "abc" }, ANSWER) },
  { "unknown flags (RFC 9113 4.1)", send({ "PING", 0xfe, 0, ("x"):rep(8) }, { "SETTINGS", 0xfe, 0, "" }, ANSWER) },
  { "unknown settings (RFC 9113 6.5.2)", send({ "SETTINGS", 0, 0, setting(0x4242, 7) .. setting(0, 1) }, ANSWER) },
  { "ENABLE_PUSH of 0 (RFC 9113 6.5.2)", send({ "SETTINGS", 0, 0, setting(2, 0) }, ANSWER) },
  { "an answer to no PING (RFC 9113 6.7)", send({ "PING", 1, 0, ("x"):rep(8) }, ANSWER) },
  { "PRIORITY of a stream that is idle (RFC 9113 5.1)", send({ "PRIORITY", 0, 99, u32(3) .. "\1" }, ANSWER) },
  { "WINDOW_UPDATE of a stream that is over (RFC 9113 5.1)", send(ANSWER, { "WINDOW_UPDATE", 0, "s", u32(3) }) },
  { "RST_STREAM with NO_ERROR behind the answer (RFC 9113 8.1)", send(ANSWER, { "RST_STREAM", 0, "s", u32(0) }) },
  { "HEADERS with a priority (RFC 9113 6.2)", send { "HEADERS", END_BOTH + 32, "s", u32(0) .. "\1" .. OK } },
  { "HEADERS with padding (RFC 9113 6.2)", send { "HEADERS", END_BOTH + 8, "s", "\3" .. OK .. "\0\0\0" } },
  { "a block in pieces (RFC 9113 6.10)", send({ "HEADERS", 1, "s", "" }, { "CONTINUATION", 0, "s", "" },
    { "CONTINUATION", 4, "s", OK }) },
  { "DATA with padding alone (RFC 9113 6.1)", send(HEAD, { "DATA", 9, "s", "\3\0\0\0" }) },
  { "interim responses (RFC 9113 8.1)", send({ "HEADERS", END_HEADERS, "s", literal(":status", "103") }, ANSWER) },
  { "a table of 0 octets (RFC 7541 4.2)", last("\32", OK) },
  { "a Content-Length in 304 (RFC 9110 8.6)", last(literal(":status", "304"), literal("content-length", "5")) },
  { "trailers and no body (RFC 9113 8.1)", send(HEAD, { "HEADERS", END_BOTH, "s", literal("x", "1") }) },
  { "a smaller table, and windows, for us (RFC 9113 6.5.2)",
    send({ "SETTINGS", 0, 0, setting(1, 0) .. setting(4, 1) }, ANSWER) },
  { "an end of the connection that lets the request end (RFC 9113 6.8)",
    send({ "GOAWAY", 0, 0, u32(0x7fffffff) .. u32(0) }, ANSWER), "ends" },
}

local origin, proxy, case, seen

-- Plays the case for its first request, and answers all others.
local function serve(at)
  if at:read(#format.PREFACE) ~= format.PREFACE then return end
  at:send(format.write("SETTINGS", 0, 0, ""))
  while true do
    local frame = format.read(at, 60)
    if not frame then return end
    if frame.type == "GOAWAY" then seen.goaway = seen.goaway or frame.code end
    if frame.type == "RST_STREAM" then seen.resets[frame.stream] = frame.code end
    if frame.type == "HEADERS" and case then
      local play = case
      case, seen.stream = nil, frame.stream
      play(at, frame.stream)
    elseif frame.type == "HEADERS" then
      at:send(format.write("HEADERS", END_HEADERS, frame.stream, OK)
        .. format.write("DATA", END_STREAM, frame.stream, "next"))
    end
  end
end

-- The response, or nil where it was cut.
local function ask(play, is_upload)
  case, seen = play, { resets = {} }
  local connection = client.connect(proxy.port)
  if is_upload then
    connection:send "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1"
  else
    connection:send_request {}
  end
  local response = connection:read_final_response "GET"
  connection:close()
  return response and not response.failure and response or nil
end

describe("A peer of HTTP/2", function()
  lazy_setup(function()
    origin = origins.start(serve)
    proxy = scene.start(origin, { peer = ", http2 = true", listen = "max_retries = 0" })
  end)
  lazy_teardown(cleanup.run)

  local function goes_on()
    local accepted = origin.accepted
    assert.equal("next", client.request(proxy.port).body)
    return origin.accepted == accepted
  end

  describe("has its connection ended by", function()
    for _, fault in ipairs(connection_faults) do
      it(fault[1], function()
        local response = ask(fault[3], fault[4])
        assert.equal(fault[2], scheduler.eventually(function() return seen.goaway end, 20))
        assert.is_true(not response or response.status == 502)
        assert.is_false(goes_on())
      end)
    end
  end)

  describe("has its stream alone ended by", function()
    for _, fault in ipairs(stream_faults) do
      it(fault[1], function()
        local response = ask(fault[3])
        assert.equal(fault[2], fault[2] and scheduler.eventually(function() return seen.resets[seen.stream] end, 20))
        assert.is_true(not response or response.status == 502 or response.status == 204 or response.status == 304)
        assert.is_nil(seen.goaway)
        assert.is_true(goes_on())
      end)
    end
  end)

  it("may answer without a body and without a length, which a client of HTTP/1.1 is told (RFC 9112 6.3)", function()
    local connection = client.connect(proxy.port)
    for i = 1, 2 do
      case, seen = last(OK), { resets = {} }
      connection:send_request { target = "/" .. i }
      local response = assert(connection:read_response "GET")
      assert.equal("0", response.headers["content-length"])
    end
    connection:close()
    local old = client.connect(proxy.port)
    case = last(OK)
    old:send "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    assert.equal("0", old:read_response("GET").headers["content-length"])
    case = last(OK)
    assert.is_nil(client.request({ port = proxy.port, method = "HEAD" }).headers["content-length"])
  end)

  describe("is passed on with", function()
    for _, fine in ipairs(ignored) do
      it(fine[1], function()
        local response = ask(fine[2])
        assert.is_true(response and (response.status == 200 or response.status == 304), response and response.status)
        assert.is_true(not seen.goaway or seen.goaway == "NO_ERROR", seen.goaway)
        assert.equal(fine[3] ~= "ends", goes_on())
      end)
    end
  end)
end)
