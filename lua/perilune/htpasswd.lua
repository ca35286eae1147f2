-- SPDX-License-Identifier: Apache-2.0
-- perilune.htpasswd: a file with a line "name:hash" for each user, as htpasswd writes it.

local core = require "perilune.core"
local password = require "perilune.password"

local htpasswd = {}

-- Adds the user of a line; what is wrong with it, or nil.
local function add(users, line, number)
  if line:find "^%s*$" or line:find "^%s*#" then return nil end
  local name, text = line:match "^([^:]+):(.*)$"
  if not name then return "a line is name:hash" end
  if users[name] then return ("'%s' is there twice: first in line %d"):format(name, users[name].line) end
  local hash, fault = password.read((text:match "^(.-)%s*$"))
  if not hash then return ("'%s': %s"):format(name, fault) end
  hash.line = number
  users[name] = hash
end

--- The hashes of a file by the names of users; nil and "<path>:<line>: <why>".
function htpasswd.read(path)
  local text, why = core.read_file(path)
  if not text then return nil, why end
  local users, number = {}, 0
  for line in text:gmatch "([^\n]*)\n?" do
    number = number + 1
    local fault = add(users, line, number)
    if fault then return nil, ("%s:%d: %s"):format(path, number, fault) end
  end
  if next(users) == nil then return nil, path .. ": there is no user in it; `htpasswd -B FILE NAME` adds one" end
  return users
end

return htpasswd
