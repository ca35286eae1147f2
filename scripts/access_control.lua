-- SPDX-License-Identifier: Apache-2.0
-- access_control: lets clients in by their address, and answers others with 403.
--
--   local guard = access_control.new { allow = { "10.0.0.0/8", "::1" }, deny = { "10.6.6.0/24" } }
--   function policy.request_filter(session) return guard(session) end
--
-- `deny` has priority over `allow`; without `allow`, all other clients are allowed. An address that is not an IP
-- address is in no network, so it is refused: "unknown" (a client that a PROXY header does not name), or any text
-- that a client wrote into a field. Clients of the proxy's own unix sockets are on this machine, and are allowed,
-- unless a PROXY header names another client. Behind another proxy, the address is that proxy's: the option `address`
-- is a function that finds the client's address in something trustworthy.

local check = require "perilune.check"
local cidr = require "perilune.cidr"
local options = require "perilune.options"
local refusal = require "perilune.refusal"

---@type perilune.access_control
local access_control = {}

local valid = {
  allow = { "list" },        -- networks
  deny = { "list" },
  status = { "status", 403 },
  address = { "function" },  -- address(session): instead of the connection's
  answer = refusal.option,
}

local LOCAL = "unix:" -- what client_ip says of a client of a unix socket, and of nobody else
local any = cidr.new { "0.0.0.0/0", "::/0" }

local function network_set(name, list)
  if not list then return nil end
  local ok, set = pcall(cidr.new, list)
  if not ok then error(("access_control.new: %s: %s"):format(name, tostring(set):match "cidr.new: (.*)" or set), 3) end
  return set
end

--- A function for request_filter: true says that it has refused the request.
function access_control.new(given, ...)
  check.no_more("access_control.new", "its options are one table", ...)
  local wanted = options.read("access_control.new", given, valid)
  if not wanted.allow and not wanted.deny then error("access_control.new: give 'allow', 'deny' or both", 2) end
  local allow, deny = network_set("allow", wanted.allow), network_set("deny", wanted.deny)
  local function is_welcome(address)
    if type(address) ~= "string" or not any:contains(address) then return false end
    return not (deny and deny:contains(address)) and (not allow or allow:contains(address) == true)
  end
  local function is_let_in(session)
    if wanted.address then return is_welcome(wanted.address(session)) end
    local address = session:client_ip()
    return address == LOCAL or is_welcome(address)
  end
  local refuse = refusal.new("access_control.new", wanted.answer)
  return function(session)
    if is_let_in(session) then return false end
    return refuse(session, wanted.status, "this address may not come in")
  end
end

return access_control
