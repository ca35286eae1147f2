-- SPDX-License-Identifier: Apache-2.0
-- token_file: the token in a file, for perilune.http. Whoever issues it replaces it from time to time (Kubernetes does
-- so within the hour): the file is read again, at most once a second. If it cannot be read any more, the last token
-- stays, since it may still be good.

local core = require "perilune.core"

local token_file = {}

local FRESH = 1 -- seconds

local known = {} -- by path: { token, read_at }

local function read(path)
  local text, why = core.read_file(path)
  if not text then return nil, why end
  local token = text:match "^%s*(.-)%s*$"
  if token == "" then return nil, path .. ": it is empty" end
  if token:find "[^!-~]" then return nil, path .. ": a token is one line of visible characters" end
  return token
end

--- The token in the file, relative to the policy; or nil and why there is none.
function token_file.read(name)
  local path = core.path(name)
  local last, now = known[path], core.now()
  if last and now - last.read_at < FRESH then return last.token end
  local token, why = read(path)
  if not token and not last then return nil, why end
  known[path] = { token = token or last.token, read_at = now }
  return known[path].token
end

--- The token was refused: it is read again at the next call.
function token_file.forget(name)
  local last = known[core.path(name)]
  if last then last.read_at = -math.huge end
end

return token_file
