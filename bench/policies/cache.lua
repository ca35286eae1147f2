-- SPDX-License-Identifier: Apache-2.0
-- A proxy with a cache, with compression, or with both: CACHE is its size, COMPRESS the level of gzip.
local perilune = require "perilune"

local origins = {}
for address in os.getenv("ORIGINS"):gmatch "[^,]+" do origins[#origins + 1] = address end

local at = 0
local function upstream_peer()
  at = at % #origins + 1
  return origins[at]
end

local size, level = os.getenv "CACHE", tonumber(os.getenv "COMPRESS")
perilune.listen(os.getenv "LISTEN", { upstream_peer = upstream_peer }, {
  cache = size and perilune.cache("bench", { size = size }) or nil,
  compress = level and { gzip = level } or nil,
})
