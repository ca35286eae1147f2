-- SPDX-License-Identifier: Apache-2.0
-- machine: what this machine has for specs that run real servers: their programs, and addresses of their own.
local M = {}

--- Is there a program of that name, where a shell looks for it?
function M.has_program(name)
  for directory in os.getenv("PATH"):gmatch "[^:]+" do
    local file = io.open(directory .. "/" .. name)
    if file then return file:close() end
  end
  return false
end

--- A loopback address chosen at random, so that nobody else has its ports.
function M.random_host()
  local file = assert(io.open("/dev/urandom", "rb"))
  local a, b, c = file:read(3):byte(1, 3)
  file:close()
  return ("127.%d.%d.%d"):format(1 + a % 254, b, 1 + c % 254)
end

return M
