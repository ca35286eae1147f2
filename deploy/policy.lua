-- SPDX-License-Identifier: Apache-2.0
-- The policy of the image, until there is another one: mount yours over /etc/perilune/policy.lua.

local perilune = require "perilune"

perilune.configure { access_log = "stdout:json" }

local policy = {}

function policy.request_filter(session)
  return session:respond {
    status = 200,
    headers = { ["Content-Type"] = "text/plain" },
    body = "Perilune works. Mount a policy over /etc/perilune/policy.lua\n",
  }
end

perilune.listen(":8080", policy)
