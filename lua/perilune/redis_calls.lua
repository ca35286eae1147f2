-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis_calls: what the calls of all clients of perilune.redis have in common, those of one server and those
-- of several: scripts, transactions, and replies as results.

local check = require "perilune.check"
local core = require "perilune.core"
local rules = require "perilune.redis_rules"

local calls = {}

--- Is it an error of the server within a list of replies? Its text is in `error`, its first word in `code`.
function calls.is_error(value) return type(value) == "table" and getmetatable(value) == core.redis_error end

--- A reply out of a list as a result: nil for null; nil, text and code of an error.
function calls.single(reply)
  if reply == core.json_null then return nil end
  if calls.is_error(reply) then return nil, reply.error, reply.code end
  return reply
end

--- One of a list of commands, number `i`, must be one that may be sent on the connection that all share.
function calls.check_command(call, i, command)
  local why = rules.refusal(command[1], unpack(command, 2, math.min(#command, 20)))
  if why then check.raise(("%s: command %d: %s"):format(call, i, why)) end
end

--- --- scripts -----------------------------------------------------------------------------------------------------

local digests, digest_count = {}, 0

local function digest_of(script)
  local digest = digests[script]
  if digest then return digest end
  if digest_count == 1000 then digests, digest_count = {}, 0 end -- scripts made of data: they belong in arguments
  digest = core.encode_hex(core.digest("sha1", script))
  digests[script], digest_count = digest, digest_count + 1
  return digest
end

--- The result of a script that the server runs, by its digest (EVALSHA); a server that does not know it is sent the
--- text (EVAL), within the same time. `ask(client, command, begun)` gives the reply to one command; nil, a sentence and
--- a kind.
function calls.eval(ask, client, script, keys, arguments)
  check.string("redis:eval", 1, script)
  check.table("redis:eval", 2, keys)
  local begun = core.now()
  local is_test = core.test_redis ~= nil -- there the text tells what is asked
  local command = { is_test and "EVAL" or "EVALSHA", is_test and script or digest_of(script), #keys, unpack(keys) }
  for _, argument in ipairs(check.table("redis:eval", 3, arguments, {})) do command[#command + 1] = argument end
  local reply, why, kind = ask(client, command, begun)
  if calls.is_error(reply) and reply.code == "NOSCRIPT" then
    command[1], command[2] = "EVAL", script
    reply, why, kind = ask(client, command, begun)
  end
  if why then return nil, why, kind end
  return calls.single(reply)
end

--- --- transactions ------------------------------------------------------------------------------------------------

--- What is sent for commands that are done together or not at all.
function calls.unit(commands)
  local unit = { { "MULTI" } }
  for i = 1, #commands do unit[i + 1] = commands[i] end
  unit[#unit + 1] = { "EXEC" }
  return unit
end

--- The replies to the commands, out of those to the unit; nil, text and code where none was done.
function calls.outcome(replies)
  local done = replies[#replies]
  if type(done) == "table" and not calls.is_error(done) then return done end
  for i = 1, #replies do -- the first error, also of what was queued, says more than EXEC's
    if calls.is_error(replies[i]) then return nil, replies[i].error, replies[i].code end
  end
  return nil, "the transaction was not done", "aborted"
end

--- --- methods -----------------------------------------------------------------------------------------------------

--- The argument of with_timeout.
function calls.check_timeout(seconds)
  if check.number("redis:with_timeout", 1, seconds) < 0.001 then
    check.raise "redis:with_timeout: expected a number of seconds of at least 0.001"
  end
end

local function hint(name, meant)
  if meant:find "did you mean" or not name:find "^%a+$" then return "" end
  return ('; a command of Redis is written client:call("%s", ...)'):format(name:upper())
end

--- The methods of a kind of client.
function calls.class(methods) return check.class(methods, "perilune.redis.client", hint) end

return calls
