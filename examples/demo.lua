-- SPDX-License-Identifier: Apache-2.0
-- The load balancer of examples/load_balancer.lua on a machine without internet: two TLS origins answer from this same
-- policy, a third peer is dead. `make run` starts it. LISTEN, DEMO_ORIGINS (two addresses; without it, the origins get
-- free ports) and DEMO_DEAD replace the addresses.

local perilune     = require "perilune"
local round_robin  = require "perilune.round_robin"
local health_check = require "perilune.health_check"
local rate_limit   = require "perilune.rate_limit"

local NAME = "one.one.one.one"
local listen = os.getenv "LISTEN" or "127.0.0.1:6188"

-- Two ports that nobody uses, from 16443 on.
local function free_addresses()
  local used, found = {}, {}
  for _, name in ipairs { "tcp", "tcp6" } do
    local file = io.open("/proc/net/" .. name)
    for line in file and file:lines() or function() end do
      local port = line:match "^%s*%d+: %x+:(%x+)"
      if port then used[tonumber(port, 16)] = true end
    end
    if file then file:close() end
  end
  for port = 16443, 65535 do
    if not used[port] and #found < 2 then found[#found + 1] = "127.0.0.1:" .. port end
  end
  return table.concat(found, ",")
end

-- Every worker loads this script, and all must take the same two: those that the first has found, also after a reload.
local shared = perilune.dict "demo"
local origins = os.getenv "DEMO_ORIGINS" or shared:get "origins"
if not origins then
  shared:add("origins", free_addresses())
  origins = shared:get "origins"
end
local first, second = origins:match "^([^,]+),([^,]+)$"
if not second then error "DEMO_ORIGINS must be two addresses, with a comma between them" end
local dead = os.getenv "DEMO_DEAD" or "127.0.0.1:343"

-- The certificate lies in the build directory; where there is none, as after an installation, in the user's cache.
local here = debug.getinfo(1, "S").source:match "^@(.-)[^/]*$"
local makefile = io.open(here .. "../Makefile")
local cache = os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "/tmp") .. "/.cache"
local files = makefile and "../build/demo/" or cache .. "/perilune-demo/" -- relative to this script
local certificate, key = files .. "certificate.pem", files .. "key.pem"

-- Made on the first run. Every worker loads this script, hence the lock.
local function make_certificate(directory)
  local quoted = directory:gsub("'", "'\\''")
  local done = os.execute(([[
    set -e; mkdir -p '%s' 2>/dev/null; cd '%s'; exec 9>lock; flock 9; test -s certificate.pem && exit
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=%s \
      -addext subjectAltName=DNS:%s -keyout key.pem -out new.pem 2>openssl.txt && mv new.pem certificate.pem
  ]]):format(quoted, quoted, NAME, NAME))
  if done ~= 0 then error("no certificate could be made in " .. directory .. " (openssl.txt there may say why)") end
end
make_certificate(makefile and here .. files or files)

local upstreams = round_robin.new { first, second, dead }
health_check.tcp(upstreams, { interval = 1, tls = true, sni = NAME, ca = certificate })
local limit = rate_limit.new { header = "appid", max = 1, interval = 1 }

local lb = {}

function lb.request_filter(session)
  return limit(session)
end

function lb.upstream_peer()
  return { address = upstreams:select(), tls = true, sni = NAME, ca = certificate }
end

function lb.upstream_request_filter(_, request)
  request:set_header("Host", NAME)
end

function lb.logging(session)
  perilune.log.info(("%s %s -> %s, status %s, %.0f ms"):format(session:method(), session:path(),
    session:peer_address() or "no peer", session:response_status() or "-", session:duration() * 1000))
end

perilune.listen(listen, lb)

-- The two origins, which tell who they are.
for _, address in ipairs { first, second } do
  perilune.listen(address, {
    request_filter = function(session)
      local text = ("Hello from %s, you asked %s for %s\n"):format(address, session:host(), session:target())
      return session:respond { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = text }
    end,
  }, { certificate = certificate, key = key })
end

-- What is spawned here runs once, when everything listens.
perilune.spawn(function()
  local url = "http://" .. listen:gsub("^0%.0%.0%.0", "127.0.0.1")
  print(([[

Perilune listens on %s and balances over %s, %s and %s, which is dead.
Try, in another terminal:

  curl %s/                        several times: the two live origins answer in turn
  curl -i -H "appid: 1" %s/       twice within a second: 429 and X-Rate-Limit-* the second time
  curl -sv -o /dev/null %s/       the exchange in detail

The lines below say which peer each request went to. The dead one gets none: its health check fails every second.
]]):format(listen, first, second, dead, url, url, url))
  io.stdout:flush()
end)
