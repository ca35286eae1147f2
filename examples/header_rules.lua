-- SPDX-License-Identifier: Apache-2.0
-- Sets and removes fields by a table: nothing about the inside gets out, browsers are told to be careful.
--
--   perilune run examples/header_rules.lua

local perilune = require "perilune"
local rules    = require("perilune.header_rules").new {
  request = {
    remove = { "X-Debug" },
    set = { ["X-Real-IP"] = function(session) return session:client_ip() end },
  },
  response = {
    remove = { "Server", "X-Powered-By" },
    set = { ["X-Content-Type-Options"] = "nosniff", ["X-Frame-Options"] = "DENY" },
    default = { ["Cache-Control"] = "no-store" },
  },
}

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", {
  upstream_peer = function() return os.getenv "ORIGIN" or "127.0.0.1:8000" end,
  upstream_request_filter = rules.request,
  response_filter = rules.response,
})
