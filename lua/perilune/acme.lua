-- SPDX-License-Identifier: Apache-2.0
-- perilune.acme: what a policy may ask of listeners with the option `acme`. See docs/https.md; what the option does is
-- in perilune.acme_listen.

local core = require "perilune.core"
local listen = require "perilune.acme_listen"

local methods = core.session_methods() -- which check that they are given a session

---@type perilune.acme
local acme = {}

--- Answers the request if it is an authority's question (http-01): true where it has.
function acme.answer(session)
  local proof = listen.proof((methods.path(session)))
  if not proof then return false end
  return session:respond { status = 200, headers = { ["Content-Type"] = "application/octet-stream" }, body = proof }
end

--- Sends the client to the same place by https.
function acme.redirect(session)
  local host = methods.host(session)
  if not host or host == "" then return session:respond { status = 400 } end
  local is_safe = session:method() == "GET" or session:method() == "HEAD"
  return session:respond { status = is_safe and 301 or 308,
    headers = { Location = "https://" .. host .. listen.https_port() .. session:target() } }
end

--- What the control worker knows of its certificates; in other workers an empty list.
acme.status = listen.status

return acme
