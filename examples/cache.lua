-- SPDX-License-Identifier: Apache-2.0
-- A shared cache in front of a site. Responses that say that they are for everybody are kept. A client with the right
-- token may forget one of them:
--
--   curl -X PURGE -H 'Authorization: Bearer secret' http://127.0.0.1:6188/page

local perilune = require "perilune"

local PURGE_TOKEN = os.getenv "PURGE_TOKEN" or "secret"

local pages = perilune.cache("pages", { size = "64M", status_header = true })

local site = {}

-- PURGE is no method of HTTP: the policy answers it, and no peer ever sees one.
function site.request_filter(session)
  if session:method() ~= "PURGE" then return false end
  if session:get_header "authorization" ~= "Bearer " .. PURGE_TOKEN then
    return session:respond { status = 403, body = "this needs the token\n" }
  end
  local url = session:scheme() .. "://" .. session:get_header "host" .. session:target()
  return session:respond { status = 200, body = pages:purge(url) and "forgotten\n" or "it was not there\n" }
end

function site.upstream_peer() return { address = os.getenv "PEER" or "127.0.0.1:9001" } end

perilune.listen(os.getenv "LISTEN" or "127.0.0.1:6188", site, { cache = pages })
