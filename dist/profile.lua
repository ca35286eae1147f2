-- SPDX-License-Identifier: Apache-2.0
-- What the release build is measured with before it is compiled for good (dist/profile.sh): an origin, and clients that
-- keep proxies busy. ROLE says which of them this process is.
local http = require "perilune.http"
local perilune = require "perilune"

local ROUNDS, CLIENTS = 150, 32
local ANSWERS = { ["/1k"] = ("x"):rep(1024), ["/100k"] = ("x"):rep(102400) }
local roles = {}

function roles.origin()
  perilune.listen("127.0.0.1:0", {
    request_filter = function(session)
      return session:respond {
        status = 200, headers = { Server = "origin", ["Content-Type"] = "text/plain" }, body = ANSWERS[session:path()],
      }
    end,
  })
end

local function ask(address, path, options)
  local response = assert(http.request {
    url = "http://proxy" .. path, address = address, method = options.method, body = options.body,
    headers = { appid = "1", ["User-Agent"] = "profile", Accept = "*/*" },
  })
  assert(response.status == 200, response.status)
end

-- Small answers in the main, as most are; some large ones and some requests with a body.
local function client(targets)
  for round = 1, ROUNDS do
    for address in targets:gmatch "%S+" do
      ask(address, "/1k", {})
      if round % 10 == 0 then ask(address, "/100k", {}) end
      if round % 10 == 5 then ask(address, "/1k", { method = "POST", body = ANSWERS["/1k"] }) end
    end
  end
end

function roles.clients()
  local running = CLIENTS
  for _ = 1, CLIENTS do
    perilune.spawn(function()
      client(os.getenv "TARGETS")
      running = running - 1
      if running == 0 then perilune.log.info "profile: done" end
    end)
  end
  perilune.listen("127.0.0.1:0", { upstream_peer = function() end })
end

roles[os.getenv "ROLE"]()
