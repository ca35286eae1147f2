-- The policy of this proxy: what it listens on, and what happens to each request. It is configuration and program
--
--   perilune check /etc/perilune/policy.lua      looks for mistakes
--   systemctl reload perilune                    puts it in force; if it is refused, the one before stays
--
-- Examples are in /usr/share/perilune/examples, guides in /usr/share/doc/perilune.

local perilune = require "perilune"

perilune.configure {
  access_log = "/var/log/perilune/access.log",
  admin = "unix:/run/perilune/admin.sock", -- status page, /metrics, /healthz and /readyz
}

local policy = {}

-- Instead of this answer, say where requests go:
--   function policy.upstream_peer() return "127.0.0.1:8000" end
function policy.request_filter(session)
  return session:respond {
    status = 200,
    headers = { ["Content-Type"] = "text/plain" },
    body = "Perilune works. Its policy is /etc/perilune/policy.lua\n",
  }
end

perilune.listen("127.0.0.1:8080", policy)
