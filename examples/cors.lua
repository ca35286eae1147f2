-- SPDX-License-Identifier: Apache-2.0
-- Lets the pages of one other origin use this API, with their cookies.
--
--   perilune run examples/cors.lua
--   curl -i -H "Origin: https://app.example" 127.0.0.1:6188

local perilune = require "perilune"

local cors = require("perilune.cors").new {
  origins = { "https://app.example" },
  methods = { "GET", "POST" },
  headers = { "Content-Type", "X-Token" },
  credentials = true,
}
local policy = {}

function policy.request_filter(session)
  return cors.preflight(session)
end

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.answer_filter(session, response)
  cors.mark(session, response)
end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
