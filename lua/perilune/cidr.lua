-- SPDX-License-Identifier: Apache-2.0
-- perilune.cidr: sets of IP networks.
--
--   local office = cidr.new { "10.0.0.0/8", "2001:db8::/32", "192.0.2.7" }
--   office:contains(session:client_address())

local core = require "perilune.core"

---@type perilune.cidr
local cidr = {}

--- A set of networks. set:contains(address) takes addresses with a port too, and gives true or false; nil and a
--- message where it is no address. Long lists cost little.
function cidr.new(networks)
  if type(networks) == "string" then networks = { networks } end
  if type(networks) ~= "table" then error("cidr.new: expected a list of networks like '10.0.0.0/8'", 2) end
  local set, why = core.cidr(networks)
  if not set then error("cidr.new: " .. why, 2) end
  return set
end

return cidr
