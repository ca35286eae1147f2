-- SPDX-License-Identifier: Apache-2.0
-- What specs of policies use, as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.test", in specs that `perilune test` runs. Each test begins with what it opens, and what it opens
--- ends with it; what is opened in lazy_setup serves all tests of the file

---@class perilune.test
---@field clock perilune.test.clock
---@field log perilune.test.log
local test = {}

--- Loads a policy: the path of a script, or a table of hooks with options of perilune.listen. It takes the place of the
--- one loaded before: background work ends, shared state begins anew.
---@param source string|perilune.hooks
---@param options? perilune.listen_options
---@return perilune.test.policy
function test.policy(source, options) end

--- Starts the proxy with a policy, in a process of its own, between origins.
---@param options perilune.test.harness_options
---@return perilune.test.harness
function test.harness(options) end

--- A certificate for these DNS names and IP addresses, made once for a spec file: paths of PEM files.
---@param ... string
---@return { certificate: string, key: string, ca: string }
function test.certificate(...) end

---@return string address on which nobody listens
function test.dead_address() end

--- The time of hooks, timers, rates and dictionaries. It stands still until a test advances it.
---@class perilune.test.clock
local clock = {}
--- Sleeps end, timers fire, windows turn, each at its own time.
---@param seconds number
function clock:advance(seconds) end
--- Runs what is due now.
function clock:settle() end
---@return number
function clock:now() end
---@return number
function clock:time() end
--- What perilune.time() says from now on.
---@param seconds number since 1970
function clock:set_time(seconds) end

--- What was logged since the test began: entries { level, text }.
---@class perilune.test.log
local log = {}
---@param level? string
---@return { level: string, text: string }[]
function log.entries(level) end
---@param level string
---@return { level: string, text: string }?
function log.last(level) end
---@param pattern string a Lua pattern
---@return string? text
function log.find(pattern) end
function log.clear() end

--- ---------------------------------------------------------------------------------------------------------------
--- Hooks on requests that are tables: no sockets, no waiting

---@class perilune.test.policy
local policy = {}
---@class perilune.test.request
---@field method? string "GET"
---@field target? string "/"
---@field headers? table { Name = value or array }, or a list of { name, value }
---@field host? string|false "test.example"
---@field body? string it has arrived whole
---@field client? string "127.0.0.1:50000"
---@field scheme? "http"|"https" "http"
---@field version? string "1.1"

---@param request? perilune.test.request
---@param listener? integer 1
---@return perilune.test.exchange
function policy:exchange(request, listener) end
--- An exchange of its own, walked whole.
---@param request? perilune.test.request
---@param origin? any as of exchange:walk
---@param listener? integer 1
---@return perilune.test.response
function policy:request(request, origin, listener) end

--- x:request_filter(), x:response_filter { status = 404 } (the peer's response), x:fail_to_connect "connect_timeout"
--- (the error), x:response_body_filter { "one", "two" } (the pieces): each hook is a method.
---@class perilune.test.exchange
local exchange = {}
--- From the first hook to logging; hooks that wait have the time they want. Gives what the client gets.
---@param origin? table|string|function a response { status, headers, body or pieces }; an error ("connect_refused"); or a
---function(peer, try) that gives one of these
---@return perilune.test.response
function exchange:walk(origin) end
--- The client's request as the policy has changed it; and that of the last attempt.
---@return perilune.test.response
function exchange:request() end
---@return perilune.test.response
function exchange:upstream_request() end
---@return perilune.test.response
function exchange:response() end
---@return perilune.peer?
function exchange:peer() end
---@return perilune.session?
function exchange:session() end
---@return table? ctx
function exchange:ctx() end
--- What session:set_log_field has added so far, by name.
---@return table<string, string|number|boolean>
function exchange:log_fields() end
--- Ends it.
function exchange:finish() end

--- What a hook has decided.
---@class perilune.test.result
---@field waits boolean it has not ended: see clock:advance
---@field answered boolean
---@field answer? perilune.test.response
---@field peer? perilune.peer of upstream_peer
---@field refused boolean of proxy_upstream_filter
---@field retry? boolean of fail_to_connect and error_while_proxy
---@field status? integer of fail_to_proxy
---@field body? string of body hooks: all that goes on; also `pieces`
---@field failure? { kind: string, status: integer, message: string } where it raised

---@class perilune.test.response
---@field status integer
---@field reason string
---@field headers table headers.content_type: the first value; headers[1].name in order; headers:all "set-cookie"
---@field body string
---@field tries? integer of walk: calls of upstream_peer
---@field failure? string of walk: the kind of what failed

--- ---------------------------------------------------------------------------------------------------------------
--- The harness: the proxy itself, origins and clients. Every address the policy listens on gets a free port. It finds
--- the origin `api` by os.getenv "ORIGIN_API", the only one by "ORIGIN", and who has signed certificates by "ORIGIN_CA"

---@class perilune.test.harness_options
---@field policy string path of a script, or its text
---@field origins? table<string, any> a body, a response, a function(request), or { answer, serve = function(connection),
---tls = { names } }
---@field dns? table<string, string|table> names and their addresses, or { A = { ... }, SRV = { ... }, ttl }; no others exist
---@field env? table<string, string>
---@field workers? integer 1
---@field timeout? number until it is ready

---@class perilune.test.harness
---@field origins table<string, perilune.test.origin>
---@field port integer of the first listener
---@field ports integer[]
local harness = {}
--- { method, path, headers, body, chunked, host, listener, tls = { name, ca }, timeout }
---@param options? table
---@return perilune.test.response
function harness:request(options) end
--- A connection, to speak on as you like.
---@param options? table listener, tls, receive_buffer, timeout
---@return perilune.test.connection
function harness:connect(options) end
---@param bodies function[]
---@return any[] results
function harness:together(bodies) end
---@param condition fun(): any
---@param timeout? number
function harness:eventually(condition, timeout) end
---@param seconds number
function harness:sleep(seconds) end
---@return string
function harness:log() end
---@param pattern string a Lua pattern
---@return string ... captures
function harness:wait_log(pattern) end
--- The sum of a metric over all series, or those with this text in their labels. What happened shows within a second.
---@param name string
---@param labels? string
---@return number
function harness:metric(name, labels) end
--- Writes another text of the policy, if one is given, and reloads.
---@param text? string
---@return true?, string? message why the old one stays in force
function harness:reload(text) end
--- Forgets what the origins have received so far.
function harness:clear() end
--- Ends the proxy gracefully; it must end without an error.
function harness:stop() end

---@class perilune.test.origin
---@field address string
---@field requests table[] method, target, headers, body, connection (its number), sni
---@field accepted integer connections

--- Functions return nil and "timeout", "closed" or "reset" where they could not do it.
---@class perilune.test.connection
local connection = {}
---@param bytes string
function connection:send(bytes) end
--- Sends a request, and reads the final response.
---@param options? table
---@return perilune.test.response?, string? message
function connection:request(options) end
---@param options table
function connection:send_request(options) end
---@return perilune.test.response?, string? message
function connection:read_response() end
--- Of an origin.
---@return table? request, string? message
function connection:read_request() end
--- Of an origin: status, reason, headers, body, chunked, no_length.
---@param response table
function connection:respond(response) end
---@param count integer
---@return string?, string? message, string? partial
function connection:read(count) end
---@param text string
---@return string?, string? message, string? partial
function connection:read_until(text) end
---@return string bytes, string ending
function connection:receive_all() end
---@return boolean
function connection:is_closed() end
---@param seconds number
function connection:sleep(seconds) end
function connection:half_close() end
function connection:reset() end
function connection:close() end

--- ---------------------------------------------------------------------------------------------------------------
--- Assertions, beside those of luassert; assert.is_not.status and the like turn them round

---@class perilune.test.assertions
local assert = {}
---@param status integer
---@param response perilune.test.response
function assert.status(status, response) end
---@param name string
---@param value string? nil: there is none
---@param response perilune.test.response
function assert.field(name, value, response) end
---@param body string
---@param response perilune.test.response
function assert.body(body, response) end
--- One of its requests has all of this.
---@param wanted table method, target, body, headers, ...
---@param origin perilune.test.origin
function assert.received(wanted, origin) end
---@param count integer
---@param origin perilune.test.origin
function assert.requests(count, origin) end
---@param pattern string a Lua pattern
---@param source perilune.test.harness|perilune.test.log
function assert.logged(pattern, source) end
--- It has this value, or comes to it within two seconds.
---@param value number
---@param name string
---@param harness perilune.test.harness
function assert.metric(value, name, harness) end
