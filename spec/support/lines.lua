-- SPDX-License-Identifier: Apache-2.0
-- lines: a policy that speaks a line protocol by perilune.tcp, and the server of that.
local client = require "client"
local perilune = require "perilune"
local policies = require "policies"

local M = {}

--- Runs `code` in request_filter, with `tcp` and `address`, and gives the strings that it returns.
function M.run(address, code)
  local policy = policies.answering(('local tcp, address = require "perilune.tcp", %q'):format(address), code)
  local proxy = perilune.start { workers = 1, policy = policy }
  return function(path) return client.request({ port = proxy.port, path = path }).body end, proxy
end

--- A line protocol like that of Redis: "ECHO n" gives "$n" and n bytes, "SLOW" is late, "QUIT" closes, else "+PONG".
function M.serve(connection)
  while true do
    local line = connection:read_until "\r\n"
    if not line then return end
    local count = line:match "^ECHO (%d+)"
    if line == "QUIT\r\n" then return end
    if line == "HALF\r\n" then return connection:send "+PO" end
    if line == "SLOW\r\n" then connection:sleep(60) end
    if line == "LATER\r\n" then connection:sleep(0.2) end
    if line == "BYE\r\n" then return connection:send "+BYE\r\n" end
    if line == "WHO\r\n" then
      connection:send("+" .. connection.number .. "\r\n")
    elseif count then
      connection:send("$" .. count .. "\r\n" .. ("x"):rep(tonumber(count)) .. "\r\n")
    else
      connection:send "+PONG\r\n"
    end
  end
end

return M
