-- SPDX-License-Identifier: Apache-2.0
-- Files of a folder, and an application behind them: what is not there as a file, the application answers. Pages may be
-- kept for a minute, files under /assets/ (whose names change with their content) for a year.
--
--   ROOT=/srv/www APP=127.0.0.1:8000 perilune run examples/files.lua

local perilune = require "perilune"

local root = os.getenv "ROOT" or "."
local pages = perilune.files { root = root, fallthrough = true, cache_control = "max-age=60" }
local assets = perilune.files { root = root, cache_control = "public, max-age=31536000, immutable" }

local policy = {}

function policy.request_filter(session)
  if session:path():find "^/assets/" then return assets(session) end
  return pages(session)
end

function policy.upstream_peer() return os.getenv "APP" or "127.0.0.1:8000" end

perilune.listen(os.getenv "LISTEN" or "0.0.0.0:6188", policy, { compress = true })
