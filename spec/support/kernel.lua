-- SPDX-License-Identifier: Apache-2.0
-- What this system's kernel may hold of a connection: bounds that specs compute instead of guessing.
local process = require "process"

local M = {}

-- The third number of tcp_rmem or tcp_wmem, in bytes: the most that a buffer which the kernel tunes itself may become.
local function most(name)
  local text = assert(process.read_file("/proc/sys/net/ipv4/" .. name))
  return tonumber(text:match "%d+%s+%d+%s+(%d+)")
end

-- Bytes that one direction of a TCP connection may hold: the sender's buffer and the receiver's.
function M.connection_bytes() return most "tcp_wmem" + most "tcp_rmem" end

return M
