-- SPDX-License-Identifier: Apache-2.0
-- hpack: header blocks of HTTP/2 (RFC 7541), by libnghttp2, which the proxy has, too. One encoder and one decoder for
-- each connection: both have a table that grows with each block. Nothing is checked: what a spec gives goes out.
local ffi = require "ffi"

ffi.cdef [[
typedef struct { uint8_t *name; uint8_t *value; size_t name_length; size_t value_length; uint8_t flags; } hpack_field;
typedef struct nghttp2_hd_deflater hpack_encoder;
typedef struct nghttp2_hd_inflater hpack_decoder;
int nghttp2_hd_deflate_new(hpack_encoder **encoder, size_t table_bytes);
void nghttp2_hd_deflate_del(hpack_encoder *encoder);
int nghttp2_hd_deflate_change_table_size(hpack_encoder *encoder, size_t table_bytes);
size_t nghttp2_hd_deflate_bound(hpack_encoder *encoder, const hpack_field *fields, size_t count);
ptrdiff_t nghttp2_hd_deflate_hd(hpack_encoder *encoder, uint8_t *block, size_t room, const hpack_field *fields,
  size_t count);
int nghttp2_hd_inflate_new(hpack_decoder **decoder);
void nghttp2_hd_inflate_del(hpack_decoder *decoder);
ptrdiff_t nghttp2_hd_inflate_hd2(hpack_decoder *decoder, hpack_field *field, int *flags, const uint8_t *block,
  size_t length, int is_last);
int nghttp2_hd_inflate_end_headers(hpack_decoder *decoder);
]]

local M = {}
local TABLE_BYTES = 4096 -- until a peer's SETTINGS say otherwise
local FINAL, EMIT, SENSITIVE = 1, 2, 1

local library
local function nghttp2()
  if library then return library end
  local ok, loaded = pcall(ffi.load, "libnghttp2.so.14")
  if not ok then error("HTTP/2 in specs needs libnghttp2.so.14 (Debian: libnghttp2-14): " .. loaded, 0) end
  library = loaded
  return library
end

local Encoder, Decoder = {}, {}
Encoder.__index, Decoder.__index = Encoder, Decoder

function M.encoder()
  local handle = ffi.new "hpack_encoder *[1]"
  assert(nghttp2().nghttp2_hd_deflate_new(handle, TABLE_BYTES) == 0, "hpack: out of memory")
  return setmetatable({ handle = ffi.gc(handle[0], library.nghttp2_hd_deflate_del) }, Encoder)
end

--- The block of a list of { name, value } or { name =, value = }; sensitive = true: never to be indexed.
function Encoder:encode(fields)
  local list, kept = ffi.new("hpack_field[?]", #fields), {}
  for i, field in ipairs(fields) do
    local name, value = field.name or field[1], tostring(field.value or field[2])
    kept[#kept + 1], kept[#kept + 2] = name, value -- held while C looks at them
    local entry = list[i - 1]
    entry.name, entry.name_length = ffi.cast("uint8_t *", name), #name
    entry.value, entry.value_length = ffi.cast("uint8_t *", value), #value
    entry.flags = field.sensitive and SENSITIVE or 0
  end
  local room = tonumber(library.nghttp2_hd_deflate_bound(self.handle, list, #fields))
  local block = ffi.new("uint8_t[?]", room)
  local length = tonumber(library.nghttp2_hd_deflate_hd(self.handle, block, room, list, #fields))
  assert(length >= 0 and kept, "hpack: a head that cannot be encoded")
  return ffi.string(block, length)
end

--- As the peer's SETTINGS_HEADER_TABLE_SIZE says.
function Encoder:set_table_bytes(bytes) library.nghttp2_hd_deflate_change_table_size(self.handle, bytes) end

function M.decoder()
  local handle = ffi.new "hpack_decoder *[1]"
  assert(nghttp2().nghttp2_hd_inflate_new(handle) == 0, "hpack: out of memory")
  return setmetatable({ handle = ffi.gc(handle[0], library.nghttp2_hd_inflate_del) }, Decoder)
end

local field, flags = ffi.new "hpack_field", ffi.new "int[1]"

--- The fields of a whole block, { name, value, sensitive }; nil where it is none: the connection is of no use then.
function Decoder:decode(block)
  local fields, at, bytes = {}, 0, ffi.cast("const uint8_t *", block)
  repeat
    flags[0] = 0
    local count = tonumber(library.nghttp2_hd_inflate_hd2(self.handle, field, flags, bytes + at, #block - at, 1))
    if count < 0 then return nil end
    at = at + count
    local emits = math.floor(flags[0] / EMIT) % 2 == 1
    if emits then
      fields[#fields + 1] = { name = ffi.string(field.name, field.name_length),
        value = ffi.string(field.value, field.value_length), sensitive = field.flags % 2 == SENSITIVE or nil }
    end
  until flags[0] % 2 == FINAL or not emits and at >= #block
  library.nghttp2_hd_inflate_end_headers(self.handle)
  return fields
end

return M
