-- SPDX-License-Identifier: Apache-2.0
-- perilune.redis as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.redis": a client for Redis and Valkey, for hooks and background work
---
--- ```lua
--- local perilune, redis = require "perilune", require "perilune.redis"
--- local store = redis.new "127.0.0.1:6379"
--- local policy = {}
--- function policy.request_filter(session, ctx)
---   local user, why, kind = store:call("HGET", "sessions", session:cookies().id or "")
---   if user then ctx.user = user return end                       -- else nil: there is none, or it could not be asked
---   if why then perilune.log.warn("sessions: " .. why) end        -- kind is "timeout", "down", ...
---   return session:respond { status = why and 503 or 401 }
--- end
--- ```
---
--- A worker has one connection to a server, which all its hooks and jobs use at the same time: commands are sent as they
--- come, and each task gets the reply to its own. docs/redis.md tells what happens when the server is slow or away.

---@class perilune.redis
---@field null lightuserdata null within a list or a map; the same as json.null
local redis = {}

---@class perilune.redis_options
---@field timeout? number seconds of a call, with connecting where that is needed; 0.05
---@field connect_timeout? number seconds of each of TCP, TLS and the greeting; 0.2
---@field user? string of AUTH, with password
---@field password? string
---@field database? integer of SELECT; 0
---@field protocol? 2|3 RESP2 or RESP3 (HELLO 3: maps, doubles and booleans); 2
---@field failures? integer calls in a row without a reply in time, until the server is taken for down; 5
---@field retry? number seconds between the first and the second try to reach a server that is down; doubled each time; 0.25
---@field retry_most? number at most; 1.5
---@field queue? integer commands that may wait for their replies in each worker; 1024
---@field queue_bytes? integer of them that may wait to be sent; 4194304
---@field reply_bytes? integer of one reply, of all of a pipeline together; 8388608
---@field tls? boolean
---@field sni? string without: the address's host, where that is a name
---@field verify? boolean false: any certificate will do
---@field verify_name? string
---@field ca? string PEM file, relative to the script; without: the system's
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a name's addresses; "any"

--- A client of the server at "1.2.3.4:6379", "name:6379" or "unix:/path". It connects when it is first used. Clients of
--- one address with equal options share the worker's connection.
---@param address string
---@param options? perilune.redis_options
---@return perilune.redis.client
function redis.new(address, options) end

--- Is it an error of the server, within a list of replies? Its text is in value.error, its first word in value.code.
---@param value any
---@return boolean
function redis.is_error(value) end

--- What calls give: a text for a text and a status, a number for an integer and a double, a list for a list and a set, a
--- table for a map, true and false. Integers beyond 2^53, which a number would round, are texts. Null is nil; within a
--- list or a map it is redis.null. Texts are bytes, and come as they are.
---
--- What fails gives nil, a sentence and a word. In capitals it is the server's: "WRONGTYPE", "OOM", "NOSCRIPT", "ERR".
--- Else no reply came:
---
--- | word | what it means | was it done? |
--- |---|---|---|
--- | `timeout` | no reply within the time | maybe |
--- | `closed` | the connection was lost on the way | maybe |
--- | `too long` | the reply has more than `reply_bytes` | yes |
--- | `down` | the server cannot be reached, or did not answer lately | no |
--- | `busy` | `queue` or `queue_bytes` is used up | no |
---
--- No command is sent a second time.
---@class perilune.redis.client
local client = {}

--- One command with its arguments, strings or numbers. Commands that block, subscribe or change the connection raise:
--- they have methods of their own.
---@param command string
---@param ... string|number
---@return any reply, string? message, string? kind
function client:call(command, ...) end

--- Several commands, sent at once, within the time of one. Each is a list: { "GET", key }. Their replies are a list in
--- the same order; errors of single commands are in it, see redis.is_error. Commands of other tasks may come between
--- them.
---
--- ```lua
--- local store = require("perilune.redis").new "127.0.0.1:6379"
--- function policy.request_filter(_, ctx)
---   local replies = store:pipeline { { "GET", "greeting" }, { "INCR", "reads" } }
---   ctx.greeting, ctx.reads = unpack(replies or {})
--- end
--- ```
---@param commands (string|number)[][]
---@return any[]? replies, string? message, string? kind
function client:pipeline(commands) end

--- The same as a transaction: all are done, or none, and nothing comes between them.
---@param commands (string|number)[][]
---@return any[]? replies, string? message, string? kind why none was done
function client:transaction(commands) end

--- Runs a Lua script in the server: by its digest, and by its text where the server does not know it yet. A script is a
--- constant; what differs from call to call belongs into keys and arguments.
---@param script string
---@param keys string[]
---@param arguments? (string|number)[]
---@return any reply, string? message, string? kind
function client:eval(script, keys, arguments) end

--- The same client, on the same connection, with another time for each call.
---@param seconds number
---@return perilune.redis.client
function client:with_timeout(seconds) end

--- How this worker's connection is. state: "idle" (the next call connects), "connecting", "connected", "paused" (until
--- the next try). waiting: commands. down: calls fail at once. why: the last failure.
---@return { state: string, waiting: integer, down: boolean, why: string? }
function client:status() end

--- A connection that nobody else uses: for WATCH, for commands that block.
---@param options? { timeout: number? } seconds of each call; 5
---@return perilune.redis.connection? connection, string? message, string? kind
function client:connect(options) end

--- What is published on these channels and patterns, for background work. It has a connection of its own, which is made
--- when it is first asked.
---
--- ```lua
--- local store, flags = require("perilune.redis").new "127.0.0.1:6379", perilune.dict "flags"
--- perilune.after(0, function()                                     -- in the control worker: the dictionary is everybody's
---   local changes = store:subscribe { "flags" }
---   while true do
---     local message, _, kind = changes:receive()
---     if kind == "retired" then return end
---     if message then flags:set(message.payload, true) else flags:flush() end -- lost: what was published is unknown
---   end
--- end)
--- ```
---@param names string[]|{ channels: string[]?, patterns: string[]? }
---@return perilune.redis.subscription
function client:subscribe(names) end

--- The entries of a stream, for background work, on a connection of its own.
---@param key string
---@param options? { from: string?, count: integer? } from: an id, behind which it begins; "0" is all; "$", what is added from the first read on, is the default. count: entries of one read; 100
---@return perilune.redis.stream
function client:stream(key, options) end

---@class perilune.redis.connection
local connection = {}
--- As client:call, of any command. Where no reply comes in time, the connection is closed.
---@param command string
---@param ... string|number
---@return any reply, string? message, string? kind
function connection:call(command, ...) end
--- A command whose reply, or replies, connection:receive gives.
---@param command string
---@param ... string|number
---@return true?, string? message, string? kind
function connection:send(command, ...) end
--- The next reply or message. After "timeout" it may be asked again.
---@param seconds? number the connection's timeout
---@return any reply, string? message, string? kind
function connection:receive(seconds) end
function connection:close() end

---@class perilune.redis.message
---@field channel string
---@field payload string
---@field pattern? string that it was subscribed by

---@class perilune.redis.subscription
local subscription = {}
--- The next message. Else nil, a sentence and a word: "timeout"; "retired", where no time is given and the policy is no
--- longer in force; any other: the connection was lost, and messages may have been. The next call connects again, after
--- a pause that grows from 0.1 to 5 seconds.
---@param seconds? number without: as long as the policy is in force
---@return perilune.redis.message?, string? message, string? kind
function subscription:receive(seconds) end
function subscription:close() end

---@class perilune.redis.entry
---@field id string
---@field fields table<string, string>

---@class perilune.redis.stream
---@field last string id of the last entry that was read
local stream = {}
--- The next entries, as soon as there are some, in order, none twice. Else as subscription:receive; after a lost
--- connection the next call goes on behind the last entry, unless the server has trimmed it away.
---@param seconds? number without: as long as the policy is in force
---@return perilune.redis.entry[]?, string? message, string? kind
function stream:read(seconds) end
function stream:close() end
