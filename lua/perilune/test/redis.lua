-- SPDX-License-Identifier: Apache-2.0
-- redis: the replies for perilune.redis in hooks with test.policy, where no socket is opened: a test sets them by
-- command. A command without a reply takes its whole timeout, and the log says so.
--
--   local calls = test.redis { ["GET user:7"] = "Ann", ["INCR *"] = 1, ["*"] = { failure = "down" } }

local core = require "perilune.core"

local M = {}

local scripts = {} -- of this test, the latest first
local FAILURES = { timeout = "no reply in time", down = "is down", busy = "too many commands wait",
  closed = "the connection was lost", ["too long"] = "the reply is too long" }

-- How well a key fits a command: its length where it does, else nil. "*" at its end stands for anything.
local function fits(key, text)
  if key == text then return math.huge end
  local start = key:match "^(.*)%*$"
  return start and text:sub(1, #start) == start and #start or nil
end

local function choose(given, command, text)
  if type(given) == "function" then return true, given(command) end
  local best, best_fit
  for key, answer in pairs(given) do
    local fit = fits(key, text)
    if fit and (not best_fit or fit > best_fit) then best, best_fit = answer, fit end
  end
  if best_fit and type(best) == "function" then best = best(command) end
  return best_fit ~= nil, best
end

local function record(command)
  local copy = {}
  for i = 1, #command do copy[i] = core.text(command[i]) end
  return copy
end

-- The answer to a command; or nil and what kind of failure it is.
local function answer_of(command, timeout)
  local copy = record(command)
  local text = table.concat(copy, " ")
  for _, script in ipairs(scripts) do
    local found, answer = choose(script.answers, copy, text)
    if found then
      script.commands[#script.commands + 1] = copy
      local failure = type(answer) == "table" and answer.failure
      if failure == "timeout" then core.sleep(timeout) end
      if failure then return nil, failure end
      if answer == nil then return core.json_null end
      if type(answer) == "table" and answer.error then
        return setmetatable({ error = answer.error, code = answer.error:match "^%S*" }, core.redis_error)
      end
      return answer
    end
  end
  core.log.warn(("the test has no answer for %s (see test.redis): it times out"):format(text:gsub("%c", "?")))
  core.sleep(timeout)
  return nil, "timeout"
end

-- What perilune.redis asks instead of a server.
local function ask(address, commands, timeout)
  core.redis_encode(commands) -- raises for what is no command, as with a server
  local replies = {}
  for i = 1, #commands do
    local reply, failure = answer_of(commands[i], timeout)
    if failure then return nil, ("redis %s: %s"):format(address, FAILURES[failure]), failure end
    replies[i] = reply
  end
  return replies
end

local function check(answers)
  for key, answer in pairs(answers) do
    if type(key) ~= "string" then
      core.raise(("test.redis: a key is a command, such as 'GET user:7', with * at its end for all that begin so; got "
        .. "a %s value"):format(type(key)))
    end
    local failure = type(answer) == "table" and answer.failure
    if failure and not FAILURES[failure] then
      core.raise(("test.redis: the answer to %s: failure is one of timeout, down, busy, closed, too long; got '%s'")
        :format(key, tostring(failure)))
    end
  end
end

--- Scripts replies for the rest of the test: by command, its words with a space between, or by the beginning of one
--- with "*" at the end; or one function of the command's words. Later calls go before earlier ones.
---@return table calls `commands`: the words of each, in order
function M.script(answers)
  if type(answers) == "table" then check(answers)
  elseif type(answers) ~= "function" then
    core.raise "test.redis: expected a table of answers by command, or a function"
  end
  local script = { answers = answers, commands = {} }
  table.insert(scripts, 1, script)
  return script
end

--- Forgets them.
function M.reset() scripts = {} end

core.test_redis = ask

return M
