-- SPDX-License-Identifier: Apache-2.0
-- Replaces the inner address in pages by the outer one, while they stream by.
--
--   perilune run examples/body_replace.lua

local perilune = require "perilune"

local policy = {}

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

require("perilune.body_replace").new({
  texts = { ["http://inside.example"] = "https://www.example", ["http://inside.example:8000"] = "https://www.example" },
}).install(policy)

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", policy)
