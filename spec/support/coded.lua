-- SPDX-License-Identifier: Apache-2.0
-- coded: content codings by the libraries themselves, so that no spec believes the proxy about its own bytes.
local ffi = require "ffi"

ffi.cdef [[
  typedef struct { const char *next_in; unsigned avail_in; unsigned long total_in; char *next_out; unsigned avail_out;
    unsigned long total_out; const char *msg; void *state, *zalloc, *zfree, *opaque; int data_type;
    unsigned long adler, reserved; } coded_z;
  const char *zlibVersion(void);
  int deflateInit2_(coded_z *, int, int, int, int, int, const char *, int);
  int deflate(coded_z *, int);
  int deflateEnd(coded_z *);
  int inflateInit2_(coded_z *, int, const char *, int);
  int inflate(coded_z *, int);
  int inflateEnd(coded_z *);
  int BrotliEncoderCompress(int, int, int, size_t, const char *, size_t *, char *);
  void *BrotliDecoderCreateInstance(void *, void *, void *);
  int BrotliDecoderDecompressStream(void *, size_t *, const char **, size_t *, char **, size_t *);
  void BrotliDecoderDestroyInstance(void *);
  typedef struct { const char *src; size_t size, pos; } coded_in;
  typedef struct { char *dst; size_t size, pos; } coded_out;
  size_t ZSTD_compress(char *, size_t, const char *, size_t, int);
  unsigned ZSTD_isError(size_t);
  void *ZSTD_createDStream(void);
  size_t ZSTD_decompressStream(void *, coded_out *, coded_in *);
  size_t ZSTD_freeDStream(void *);
]]
local z, brotli_encoder, brotli = ffi.load "z.so.1", ffi.load "brotlienc.so.1", ffi.load "brotlidec.so.1"
local zstd = ffi.load "zstd.so.1"

local M = { NAMES = { "zstd", "br", "gzip" } }
local FINISH, SYNC, STREAM_END = 4, 2, 1

local function deflate(text, bits)
  local stream, out = ffi.new "coded_z", ffi.new("char[?]", #text + 1000)
  assert(z.deflateInit2_(stream, 6, 8, bits, 8, 0, z.zlibVersion(), ffi.sizeof "coded_z") == 0)
  stream.next_in, stream.avail_in, stream.next_out, stream.avail_out = text, #text, out, #text + 1000
  assert(z.deflate(stream, FINISH) == STREAM_END)
  z.deflateEnd(stream)
  return ffi.string(out, stream.total_out)
end

local encoders = {
  gzip = function(text) return deflate(text, 15 + 16) end,
  deflate = function(text) return deflate(text, 15) end,
  br = function(text)
    local size, out = ffi.new("size_t[1]", #text + 1000), ffi.new("char[?]", #text + 1000)
    assert(brotli_encoder.BrotliEncoderCompress(5, 18, 0, #text, text, size, out) == 1)
    return ffi.string(out, size[0])
  end,
  zstd = function(text)
    local out = ffi.new("char[?]", #text + 1000)
    local size = zstd.ZSTD_compress(out, #text + 1000, text, #text, 3)
    assert(zstd.ZSTD_isError(size) == 0)
    return ffi.string(out, size)
  end,
}

-- Each: what comes out of the bytes, and whether they are the whole of a stream.
local decoders = {
  gzip = function(bytes, out, room)
    local stream = ffi.new "coded_z"
    assert(z.inflateInit2_(stream, 15 + 16, z.zlibVersion(), ffi.sizeof "coded_z") == 0)
    stream.next_in, stream.avail_in, stream.next_out, stream.avail_out = bytes, #bytes, out, room
    local result = z.inflate(stream, SYNC)
    z.inflateEnd(stream)
    assert(result == 0 or result == STREAM_END or result == -5, "gzip is malformed")
    return stream.total_out, result == STREAM_END and stream.avail_in == 0
  end,
  br = function(bytes, out, room)
    local state = brotli.BrotliDecoderCreateInstance(nil, nil, nil)
    local left, at = ffi.new("size_t[1]", #bytes), ffi.new "const char *[1]"
    at[0] = bytes
    local space, to = ffi.new("size_t[1]", room), ffi.new "char *[1]"
    to[0] = out
    local result = brotli.BrotliDecoderDecompressStream(state, left, at, space, to, nil)
    brotli.BrotliDecoderDestroyInstance(state)
    assert(result ~= 0, "brotli is malformed")
    return room - tonumber(space[0]), result == 1 and left[0] == 0
  end,
  zstd = function(bytes, out, room)
    local state = zstd.ZSTD_createDStream()
    local from, to = ffi.new("coded_in", { bytes, #bytes, 0 }), ffi.new("coded_out", { out, room, 0 })
    local result = 1
    while from.pos < from.size and result ~= 0 do
      result = zstd.ZSTD_decompressStream(state, to, from)
      assert(zstd.ZSTD_isError(result) == 0, "zstd is malformed")
    end
    zstd.ZSTD_freeDStream(state)
    return tonumber(to.pos), result == 0 and from.pos == from.size
  end,
}

function M.encode(coding, text) return encoders[coding](text) end

--- The text so far, and whether the stream is whole.
function M.decode_some(coding, bytes, room)
  room = room or 1048576
  local out = ffi.new("char[?]", room)
  local count, is_whole = decoders[coding](bytes, out, room)
  return ffi.string(out, count), is_whole
end

--- The text of a whole stream.
function M.decode(coding, bytes, room)
  local text, is_whole = M.decode_some(coding, bytes, room)
  assert(is_whole, coding .. " is not whole")
  return text
end

--- The text of a response, whatever its coding.
function M.text(response, room)
  local coding = response.headers["content-encoding"]
  return coding and M.decode(coding, response.body, room) or response.body
end

--- Text that gets smaller, as JSON does, but not to nothing.
function M.json(bytes)
  local parts, length, state = {}, 0, 7
  while length < bytes do
    state = (state * 1103515245 + 12345) % 2147483648
    local line = '{"id":%d,"name":"user %d","active":%s},\n'
    parts[#parts + 1] = line:format(state, state % 1000, tostring(state % 2 == 0))
    length = length + #parts[#parts]
  end
  return table.concat(parts):sub(1, bytes)
end

return M
