-- SPDX-License-Identifier: Apache-2.0
-- console: a proxy whose request_filter runs the Lua text of a request, so that a spec can ask a real VM anything.
local client = require "client"
local perilune = require "perilune"

local M = {}

local POLICY = [[
local perilune = require "perilune"
$SETUP
local function show(...)
  local words = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    words[i] = type(value) == "string" and value or tostring(value)
  end
  return table.concat(words, " ")
end
local environment = setmetatable({ perilune = perilune }, { __index = _G })
perilune.listen("127.0.0.1:0", { request_filter = function(session, ctx)
  environment.session, environment.ctx = session, ctx
  local chunk = assert(loadstring(session:get_header "do", "=do"))
  return session:respond { status = 200, headers = { Worker = perilune.worker() },
    body = show(setfenv(chunk, environment)()) }
end })
]]

local Console = {}
Console.__index = Console

--- Starts it. options: workers (1), setup: Lua text that runs once.
function M.start(options)
  options = options or {}
  local policy = POLICY:gsub("%$SETUP", function() return options.setup or "" end)
  return setmetatable({ proxy = perilune.start { workers = options.workers or 1, policy = policy } }, Console)
end

--- What the Lua text returns, joined by spaces; and the worker that ran it. Text with line ends becomes one line.
function Console:run(text)
  local response = client.request { port = self.proxy.port, headers = { Do = text:gsub("%s*\n%s*", " ") } }
  if response.status ~= 200 then -- without the request, which the log names behind it
    local why = self.proxy:log():match "failed: ([^\n]*)"
    error(why and why:gsub(" %(GET / of client [^)]*%)$", "") or response.status, 2)
  end
  return response.body, response.headers.worker
end

return M
