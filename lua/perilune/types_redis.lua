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
---   if user then ctx.user = user return end                       -- nil: there is none, or the server did not reply
---   if why then perilune.log.warn("sessions: " .. why) end        -- kind is "timeout", "down", ...
---   return session:respond { status = why and 503 or 401 }
--- end
--- ```
---
--- A worker has one connection to a server, and all its hooks and jobs use it at the same time: each command is sent at
--- once, and each task gets the reply to its own command. docs/redis.md describes what happens if the server is slow or
--- cannot be reached.

---@class perilune.redis
---@field null lightuserdata null within a list or a map; the same as json.null
local redis = {}

---@class perilune.redis_options
---@field timeout? perilune.duration seconds that a call may take, connecting included; 0.05
---@field connect_timeout? perilune.duration seconds for TCP, for TLS and for the greeting, each; 0.2
---@field user? string for AUTH; needs `password`
---@field password? string for AUTH
---@field database? integer for SELECT; 0
---@field protocol? 2|3 RESP2 or RESP3 (HELLO 3: maps, doubles and booleans); 2
---@field failures? integer after this many calls in a row without a reply in time, the server counts as down; 5
---@field retry? perilune.duration seconds between the first two attempts to connect to a server that is down; each further pause is twice as long; 0.25
---@field retry_most? perilune.duration seconds of the longest pause; 1.5
---@field queue? integer most commands of a worker that may wait for their replies; 1024
---@field queue_bytes? integer|string most bytes of commands that may wait to be sent; 4194304
---@field reply_bytes? integer|string most bytes of a reply, or of all replies of a pipeline together; 8388608
---@field tls? boolean
---@field sni? string the server name that TLS asks for; by default the host of the address, if it is a name
---@field verify? boolean false: accept any certificate; true
---@field verify_name? string the name that the certificate must have; by default `sni`, else the host of the address
---@field ca? string PEM file of the authorities to trust, relative to the script; by default the system's
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a name's addresses; "any"

--- A client of the server at "1.2.3.4:6379", "name:6379" or "unix:/path". It connects when it is first used. Clients
--- with the same address and equal options share the worker's connection.
---@param address string
---@param options? perilune.redis_options
---@return perilune.redis.client
function redis.new(address, options) end

---@class perilune.redis_sentinel_options: perilune.redis_options
---@field master string what the sentinels call it
---@field sentinels string[] their addresses
---@field sentinel_user? string for AUTH at the sentinels
---@field sentinel_password? string

--- A client of the primary that Redis Sentinel knows by a name. After a failover it uses the new one; docs/redis.md says
--- when that is noticed. Its status() also has the primary's `address`.
---
--- ```lua
--- local store = require("perilune.redis").sentinel { master = "main", sentinels = { "10.0.0.1:26379", "10.0.0.2:26379" } }
--- ```
---@param options perilune.redis_sentinel_options
---@return perilune.redis.client
function redis.sentinel(options) end

---@class perilune.redis_cluster_options: perilune.redis_options
---@field nodes string[] addresses of some of its servers; the others are found. No `database`

--- A client of a Redis Cluster. Each command goes to the server that has the slot of its first key; all keys of a command,
--- a script or a transaction must be of one slot: give them the same part in braces, as in "{user:7}:cart". A pipeline
--- may have any keys; servers do their parts at the same time, and a server that does not answer leaves errors with the
--- code "timeout", "down" or the like at its places. connect has an option `key`: whose server it is. status() has
--- `servers`, by address.
---
--- ```lua
--- local store = require("perilune.redis").cluster { nodes = { "10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379" } }
--- ```
---@param options perilune.redis_cluster_options
---@return perilune.redis.client
function redis.cluster(options) end

--- Is this value, out of a list of replies, an error of the server? Its text is in value.error, its first word in
--- value.code.
---@param value any
---@return boolean
function redis.is_error(value) end

--- Replies become Lua values: a string or a status becomes a string; an integer or a double becomes a number; a list or
--- a set becomes a list; a map becomes a table; a boolean stays one. Integers beyond 2^53 are strings, because a number
--- would be rounded. Null is nil; within a list or a map it is redis.null. Strings may contain any bytes.
---
--- A call that fails returns nil, a sentence and a word. A word in capitals comes from the server: "WRONGTYPE", "OOM",
--- "NOSCRIPT", "ERR". Any other word means that no reply came:
---
--- | word | what it means | was it done? |
--- |---|---|---|
--- | `timeout` | no reply within the time | maybe |
--- | `closed` | the connection was lost before the reply | maybe |
--- | `too long` | the reply is longer than `reply_bytes` | yes |
--- | `down` | the server cannot be reached, or has not answered recently | no |
--- | `busy` | `queue` or `queue_bytes` is used up | no |
---
--- No command is sent a second time.
---@class perilune.redis.client
local client = {}

--- Sends one command with its arguments, strings or numbers. Commands that block, subscribe or change the connection
--- raise an error: other methods are for them.
---@param command string
---@param ... string|number
---@return any reply, string? message, string? kind
function client:call(command, ...) end

--- Sends several commands together; the timeout is for all of them. Each command is a list: { "GET", key }. Returns the
--- replies as a list in the same order; if a command fails, its error is at its place in the list (see redis.is_error).
--- Commands of other tasks may run between them.
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

--- Sends several commands as one transaction (MULTI, EXEC): either all of them run, with nothing between them, or none
--- does.
---@param commands (string|number)[][]
---@return any[]? replies, string? message, string? kind why none was done
function client:transaction(commands) end

--- Runs a Lua script in the server. Only its digest is sent; its text follows if the server does not know it yet. Keep
--- the script constant: pass values that differ from call to call as keys and arguments.
---@param script string
---@param keys string[]
---@param arguments? (string|number)[]
---@return any reply, string? message, string? kind
function client:eval(script, keys, arguments) end

--- The same client, on the same connection, with another timeout for each call.
---@param seconds number
---@return perilune.redis.client
function client:with_timeout(seconds) end

--- The state of this worker's connection. state: "idle" (the next call connects), "connecting", "connected", "paused"
--- (until the next try). waiting: commands without a reply so far. down: calls fail at once. why: the last failure.
---@return { state: string, waiting: integer, down: boolean, why: string? }
function client:status() end

--- Opens a connection that no other task uses: for WATCH and for commands that block.
---@param options? { timeout: number? } timeout: seconds that each call may take; 5
---@return perilune.redis.connection? connection, string? message, string? kind
function client:connect(options) end

--- Subscribes to these channels and patterns; for background work. It uses a separate connection, which is opened at the
--- first receive.
---
--- ```lua
--- local store, flags = require("perilune.redis").new "127.0.0.1:6379", perilune.dict "flags"
--- perilune.after(0, function()                                     -- in the control worker; all workers share the dictionary
---   local changes = store:subscribe { "flags" }
---   while true do
---     local message, _, kind = changes:receive()
---     if kind == "retired" then return end
---     if message then flags:set(message.payload, true) else flags:flush() end -- messages may be lost
---   end
--- end)
--- ```
---@param names string[]|{ channels: string[]?, patterns: string[]? }
---@return perilune.redis.subscription
function client:subscribe(names) end

--- Reads the entries of a stream, on a connection of its own; for background work.
---@param key string
---@param options? { from: string?, count: integer? } from: read what comes after this id; "0": all entries; "$" (the default): what is added from the first read on. count: most entries of one read; 100
---@return perilune.redis.stream
function client:stream(key, options) end

---@class perilune.redis.connection
local connection = {}
--- Like client:call, but with any command. If no reply comes in time, the connection is closed.
---@param command string
---@param ... string|number
---@return any reply, string? message, string? kind
function connection:call(command, ...) end
--- Sends a command; connection:receive gives its reply, or replies.
---@param command string
---@param ... string|number
---@return true?, string? message, string? kind
function connection:send(command, ...) end
--- Waits for the next reply or message. After "timeout" it can be called again.
---@param seconds? number by default the connection's timeout
---@return any reply, string? message, string? kind
function connection:receive(seconds) end
function connection:close() end

---@class perilune.redis.message
---@field channel string
---@field payload string
---@field pattern? string the pattern by which it was received

---@class perilune.redis.subscription
local subscription = {}
--- Waits for the next message. Without one it returns nil, a sentence and a word. "timeout": none came in that time.
--- "retired": no time was given, and the policy is no longer in force. Any other word: the connection was lost, and
--- messages may be lost, too; the next call connects again, after a pause that grows from 0.1 to 5 seconds.
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
--- Waits for the next entries and returns them in order, each once. Without any it returns nil, a sentence and a word,
--- like subscription:receive. After a lost connection, the next call continues after the last entry that was read;
--- entries that the server has trimmed by then are missing.
---@param seconds? number without: as long as the policy is in force
---@return perilune.redis.entry[]?, string? message, string? kind
function stream:read(seconds) end
function stream:close() end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.cluster_purge": what is purged from a cache on one proxy is purged on all; see docs/fleet.md.
---
--- ```lua
--- local pages = perilune.cache("pages", { size = "256M" })
--- require("perilune.cluster_purge").start(pages, { store = require("perilune.redis").new "10.0.0.5:6379" })
--- ```

---@class perilune.cluster_purge
local cluster_purge = {}

---@class perilune.cluster_purge_options
---@field store perilune.redis.client
---@field stream? string the key of the stream, the same on all proxies; "perilune:purges:" and the cache's name
---@field keep? integer purges that the stream keeps for proxies that are away, about; 100000
---@field position? string a file for how far the stream was followed, relative to the script; beside the cache's file, where it has one

--- From now on purges of this cache, by cache:purge and its like and by `perilune purge`, are done on all proxies that say
--- the same. A purge that is on its way waits while Redis is away.
---@param cache perilune.cache
---@param options perilune.cluster_purge_options
function cluster_purge.start(cache, options) end
