-- SPDX-License-Identifier: Apache-2.0
-- Serves a site by HTTPS, with certificates that the proxy gets and renews itself; port 80 leads there.
--
--   DOMAIN=example.org perilune run examples/https.lua
--
-- To try it where it costs nothing: STAGING=1. See docs/https.md.

local perilune = require "perilune"

local policy = {}

function policy.upstream_peer()
  return os.getenv "ORIGIN" or "127.0.0.1:8000"
end

function policy.answer_filter(_, response)
  response:set_header("Strict-Transport-Security", "max-age=31536000")
end

perilune.listen(os.getenv "LISTEN" or ":443", policy, {
  acme = {
    domains = { os.getenv "DOMAIN" or "example.org" },
    email = os.getenv "EMAIL",
    staging = os.getenv "STAGING" ~= nil,
    http = os.getenv "HTTP" or ":80",
  },
})
