-- SPDX-License-Identifier: Apache-2.0
-- perilune.network: addresses as texts: one with its port, and the part of one that identifies a user. An IPv6 user has
-- a network of 2^64 addresses.

local network = {}

local function groups_of(text)
  local groups = {}
  for group in text:gmatch "%x+" do groups[#groups + 1] = tonumber(group, 16) end
  return groups
end

--- The first `bits` (a multiple of 16) of an IPv6 address, as "2001:db8:0:0"; any other address as it is.
function network.prefix(address, bits)
  if not address:find(":", 1, true) or address:find "[^%x:%%]" and not address:find "%%" then return address end
  address = address:gsub("%%.*", "")
  local head, tail = address:match "^(.-)::(.*)$"
  local groups, rest = groups_of(head or address), groups_of(tail or "")
  while #groups + #rest < 8 do groups[#groups + 1] = 0 end
  for _, group in ipairs(rest) do groups[#groups + 1] = group end
  local prefix = {}
  for i = 1, bits / 16 do prefix[i] = ("%x"):format(groups[i]) end
  return table.concat(prefix, ":")
end

--- "host:port". An IPv6 address gets brackets, if it has none.
function network.join(host, port)
  local is_bare = host:find(":", 1, true) and not host:find("[", 1, true)
  return (is_bare and "[%s]:%s" or "%s:%s"):format(host, port)
end

return network
