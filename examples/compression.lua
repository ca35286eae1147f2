-- SPDX-License-Identifier: Apache-2.0
-- Compresses what the origin sends, for clients that accept it. Pages with tokens stay uncompressed,
-- spreadsheets are compressed although the list does not name them, and pages get a line at their end, even if the
-- origin has compressed them.
--
--   ORIGIN=127.0.0.1:8000 perilune run examples/compression.lua
--   curl --compressed -v http://127.0.0.1:6188/

local perilune = require "perilune"

local policy = {}

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.response_filter(session, response, ctx)
  local kind = response:get_header "Content-Type" or ""
  if session:path():find("^/account") then response:set_compression(false) end
  if kind == "application/vnd.ms-excel" then response:set_compression "gzip" end
  ctx.is_page = kind:find("^text/html") and response:set_decoded()
end

function policy.response_body_filter(_, chunk, is_last, ctx)
  if ctx.is_page and is_last then return { chunk, "<!-- by way of perilune -->\n" } end
  return chunk
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy, {
  compress = { zstd = 3, br = 4, gzip = 5, min = 1024, types = { "text/", "application/json", "image/svg+xml" } },
})
