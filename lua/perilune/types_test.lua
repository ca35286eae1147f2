-- SPDX-License-Identifier: Apache-2.0
-- What specs of policies use, as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.test", in specs that `perilune test` runs. What a test opens
--- is closed when the test ends; what lazy_setup opens stays for all tests of the file. `perilune test --watch SPEC`
--- runs again whenever the spec, a policy or a module is saved, until Ctrl-C. A test that fails and saw an answer of 500 or more
--- shows the lines of the proxy's log that say why

--- Two ways to test. test.policy calls hooks in the process of the test: fast, on a clock of its own, without sockets.
--- test.harness starts the proxy itself between origins and clients: real connections, real time.
---
--- What test.policy simulates: all hooks in their order; the request's head and body, parsed as the proxy parses them;
--- shared state; timers and background work, also of the main chunk, which runs as a test advances the clock and ends
--- with the test; passive checks and limits of backend sets; retries with their budget;
--- first_byte_timeout; answers to perilune.http and perilune.redis (see test.http and test.redis).
---
--- What it does not simulate (use test.harness): connections, with keep-alive, backpressure and all timeouts but
--- first_byte_timeout; TLS and client certificates (session:tls() is nil); the hooks `certificate` and
--- response_trailer_filter; hedging; interim (1xx) responses and upgrades; perilune.tcp, which
--- raises, and so health_check.tcp, which logs it and changes nothing; perilune.dns, which gives nil and a sentence, and
--- the names of peers, which nothing looks up; several workers; reloads; the proxy's own access log.
---@class perilune.test
---@field clock perilune.test.clock
---@field log perilune.test.log
local test = {}

--- Loads a policy: the path of a script, or a table of hooks with options of perilune.listen. It takes the place of the
--- one loaded before: background work ends, shared state begins anew. A relative path is looked for beside the spec
--- first, then in the working directory; so are the modules that the spec requires. The policy's modules lie beside the
--- policy.
---
--- ```lua
--- local test = require "perilune.test"
--- local policy = test.policy "policy.lua"
--- local response = policy:request({ target = "/a", headers = { Cookie = "id=7" } }, { status = 404, body = "gone" })
--- assert.status(404, response)
--- ```
---@param source string|perilune.hooks
---@param options? perilune.listen_options
---@return perilune.test.policy
function test.policy(source, options) end

--- Says what perilune.http gets in hooks on the bench (test.policy), for the rest of the test: answers by URL. A key is
--- a URL, with its query or without (then any query fits), or the start of one with "*" at its end; "*" alone is all.
--- The key that fits best counts; of several calls the last one goes first. A function(request) instead of the table
--- answers all.
--- A request without an answer times out, and the log names it. health_check.http, and all else that asks by
--- perilune.http, is answered too.
---
--- ```lua
--- local calls = test.http { ["http://127.0.0.1:8001/may"] = { status = 403 }, ["https://idp.example/*"] = "{}" }
--- policy:request()
--- assert.received({ method = "GET", target = "/may" }, calls)
--- ```
---@param answers table<string, perilune.test.answer>|fun(request: table): perilune.test.answer
---@return { requests: table[] } calls method, url, target, host, headers, body of each request
function test.http(answers) end

--- Says what perilune.redis gets on the bench, for the rest of the test: replies by command. A key is the command's
--- words with a space between, or the start of them with "*" at its end; "*" alone is all. The key that fits best counts; of
--- several calls the last one goes first. A reply is a string, a number, a boolean, a list or redis.null;
--- { error = "WRONGTYPE ..." } is an error of the server, { failure = "timeout" } (or "down", "busy", "closed", "too
--- long") no reply; a function gets the words and gives one of these. Scripts come as EVAL with their text; the commands
--- of a pipeline and a transaction are answered one by one. A command without an answer times out, and the log names it.
---
--- ```lua
--- local calls = test.redis { ["GET user:7"] = "Ann", ["INCR *"] = 1 }
--- policy:request()
--- assert.same({ { "GET", "user:7" } }, calls.commands)
--- ```
---@param answers table<string, any>|fun(command: string[]): any
---@return { commands: string[][] } calls the words of each, in order
function test.redis(answers) end

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

--- The time of hooks on the bench: perilune.now and perilune.time, timers, sleeps, rates, dictionaries, passive checks,
--- and what expires by the time of day, such as tokens of token_auth. It stands still until a test advances it;
--- x:walk() and policy:request() advance it by as much as hooks wait and `delay` says. It begins with the machine's
--- time of day and runs on from test to test; set_time gives it a known value. A harness runs on real time: make tokens
--- for it with os.time().
---
--- ```lua
--- test.clock:set_time(1700000000)
--- local token = token_auth.sign({ exp = 1700000060 }, "secret")
--- test.clock:advance(61)                -- the token has expired
--- ```
---@class perilune.test.clock
local clock = {}
--- Sleeps end, timers fire, windows of rates turn, each at its own time. HTTP health checks run, too: give test.http an
--- answer for them first, since a check without an answer makes its backend unhealthy
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
---@field target? string "/"; `path` is another word for it
---@field headers? table { Name = value or array }, or a list of { name, value }
---@field host? string|false "test.example"
---@field body? string the whole body
---@field client? string "127.0.0.1:50000"
---@field scheme? "http"|"https" "http"
---@field version? string "1.1"

---@param request? perilune.test.request
---@param listener? integer 1
---@return perilune.test.exchange
function policy:exchange(request, listener) end
--- An exchange of its own, walked whole.
---@param request? perilune.test.request
---@param origin? perilune.test.answer|fun(peer: perilune.peer, try: integer): perilune.test.answer as of exchange:walk
---@param listener? integer 1
---@return perilune.test.response
function policy:request(request, origin, listener) end

--- What a peer, an origin or a server of perilune.http answers. A text is a body with status 200; a text that is the
--- name of an error ("connect_refused") is { error = "connect_refused" }. `reset` and `error` say that there is no
--- answer, so they are alone, or beside `delay`.
---@class perilune.test.answer
---@field status? integer 200
---@field reason? string
---@field headers? table { Name = value or array }, or a list of { name, value }
---@field body? string|string[] a text, or a list of pieces
---@field pieces? string[] the body in pieces: body filters see one after another, an origin sends it chunked
---@field delay? number seconds until it answers: on the clock of the test; of an origin, real ones
---@field trailers? table of an origin: fields behind the body, as headers are given
---@field reset? boolean|string the connection is reset instead of an answer; of an origin that speaks HTTP/2 the stream
---is, by the code that this names: "refused_stream", "cancel"; true is "internal_error"
---@field error? string not of an origin: what goes wrong, as error:kind() says it: "connect_refused",
---"connect_timeout", "tls_failed", "first_byte_timeout", "upstream_closed", "read_timeout", "bad_response"...; a wrong
---one lists all
---@field chunked? boolean the body is sent chunked; a list of pieces always is, unless Content-Length is given
---@field no_length? boolean the body ends with the connection
---@field version? string "1.1"

--- x:request_filter(), x:response_filter { status = 404 } (the peer's response), x:fail_to_connect "connect_timeout"
--- (the error), x:response_body_filter { "one", "two" } (the pieces): each hook is a method.
---@class perilune.test.exchange
local exchange = {}
--- Runs the hooks from the first one to logging, and lets time pass where they wait. Gives the response that the client
--- gets. `origin` is the peer's answer, as the harness and test.http take it, or a function(peer, try) that gives one
--- for each attempt.
---@param origin? perilune.test.answer|fun(peer: perilune.peer, try: integer): perilune.test.answer
---@return perilune.test.response
function exchange:walk(origin) end
--- The client's request, as the policy has changed it.
---@return { method: string, target: string, headers: table, body: string }
function exchange:request() end
--- The request that the last attempt sent to the peer.
---@return { method: string, target: string, headers: table, body: string }
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
---@field failure? string of walk: the kind of what failed; of a client: why the body is not whole
---@field trailers? table of a client: fields behind the body, as headers are
---@field reset? string of a client over HTTP/2: the code by which the stream was reset

--- ---------------------------------------------------------------------------------------------------------------
--- The harness: the proxy itself, origins and clients. Every address the policy listens on gets a free port. The
--- harness sets ORIGIN_API in the environment to the address of the origin `api`, ORIGIN to that of the only one, and
--- ORIGIN_CA to the file that its certificates are trusted by: a policy reads them with os.getenv. A proxy that serves
--- by the same policy is not disturbed: the status page gets a free port; pid_file, socket and logs of the policy lie in
--- h.directory, by the last part of their names (access_log = "/var/log/access.log" is h.directory .. "/access.log", and
--- what goes to syslog is in h.directory .. "/syslog"); the error log is h:log(); daemon, user and group are left out

---@class perilune.test.harness_options
---@field policy string path of a script, beside the spec or in the working directory; or its text
---@field origins? table<string, any> by name: an answer (perilune.test.answer), a function(request) that gives one, or
---a table of perilune.test.origin_options
---@field dns? table<string, string|table> names and their addresses, or { A = { ... }, SRV = { ... }, ttl }; no others
---exist
---@field env? table<string, string>
---@field workers? integer 1
---@field timeout? number until it is ready

--- A server of the harness, where it is more than its answer.
---@class perilune.test.origin_options
---@field answer? any what each request is answered with: an answer, or a function(request, connection) that gives one,
---or nil, which closes the connection
---@field serve? fun(connection: perilune.test.connection) speaks for itself on each connection, instead of `answer`; of
---HTTP/2 fun(stream: perilune.test.stream) on each stream, whose head is in stream.request
---@field http2? boolean|perilune.test.origin_http2 it speaks HTTP/2: by ALPN with `tls`, else by prior knowledge
---@field grpc? table<string, any> it serves gRPC, instead of `answer`: by "/package.Service/Method" a message, a
---perilune.test.grpc_answer, or a function(call: perilune.test.call) that sends and receives and may give one of these
---@field tls? string[] names of its certificate: it speaks TLS
---@field host? string "127.0.0.1"; "unix:/path"
---@field port? integer a free one

--- How an origin speaks HTTP/2.
---@class perilune.test.origin_http2
---@field settings? table by name, as RFC 9113 section 6.5.2 has them: { max_concurrent_streams = 1 }
---@field raw? boolean nothing is answered by itself: neither SETTINGS nor PING, and no window is given back
---@field on_connection? fun(connection: perilune.test.http2) a connection has begun
---@field or_http1? boolean with `tls`: clients that do not choose h2 are answered over HTTP/1.1

--- What a method of gRPC answers. Without a message it is one head with grpc-status alone ("trailers-only").
---@class perilune.test.grpc_answer
---@field message? string what is in it is the test's business: nothing is encoded
---@field messages? string[] more than one
---@field status? integer grpc-status: 0
---@field reason? string grpc-message
---@field metadata? table headers
---@field trailers? table
---@field delay? number seconds until it answers
---@field reset? boolean|string RST_STREAM instead of an answer

---@class perilune.test.harness
---@field origins table<string, perilune.test.origin>
---@field port integer of the first listener
---@field ports integer[]
---@field directory string where the files are that the policy has written, such as its access log
local harness = {}
--- What a client asks: method ("GET"), target ("/"; `path` is another word for it), headers, body, chunked (true: the
--- body is sent chunked), trailers, host (false: no Host), version ("1.1"; "2" is HTTP/2, by prior knowledge or, with
--- tls, by ALPN), listener (its number, 1), timeout (seconds), and tls
--- where the listener speaks it: { name = the server name that is asked for, ca = the file that its certificate is
--- verified by (without: it is not verified), files = the client's own { certificate, key }, oldest and newest
--- ("TLSv1.2", "TLSv1.3"), alpn ("h2,http/1.1") }. Only with version = "2": scheme, protocol (of extended CONNECT),
--- settings (by name), and fields: a list of { name, value } with the pseudo-fields, which is sent as it is. Other
--- fields raise. For a policy that has the certificate of
--- files = test.certificate("app.test"): h:request { tls = { name = "app.test", ca = files.ca } }
---@param options? table
---@return perilune.test.response
function harness:request(options) end
--- Opens a connection, on which the test sends and reads what it wants. With version = "2" it is one of HTTP/2.
---
--- ```lua
--- local h = test.harness { policy = "policy.lua", origins = { api = function(request)
---   return { body = request.target, delay = request.target == "/slow" and 0.1 or 0 }
--- end } }
--- local connection = h:connect { version = "2" }
--- local slow, fast = connection:open { path = "/slow" }, connection:open { path = "/fast" }
--- assert.body("/fast", fast:read_response())
--- slow:reset "cancel"
--- ```
---@param options? table listener, tls (as of request), receive_buffer, timeout, version; settings (false: none are sent)
---and raw (nothing is answered by itself) with version = "2"
---@return perilune.test.connection|perilune.test.http2
function harness:connect(options) end
--- One call of gRPC, on a connection of its own.
---@param path string "/package.Service/Method"
---@param options? table message or messages (""), metadata (headers), deadline (what grpc-timeout says: "1S"), host; and
---what connect takes
---@return perilune.test.grpc_result
function harness:grpc(path, options) end
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
---@field requests table[] method, target, headers, body, trailers, connection (its number), sni; of HTTP/2 also
---authority, scheme, stream (its id) and fields (all, as they came); of gRPC messages, where the answer is no function
---@field accepted integer connections
---@field faults string[] what its clients did against the rules of HTTP/2

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
--- Of an origin.
---@param response perilune.test.answer
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

--- One connection of HTTP/2, client's or origin's side. Frames are read by themselves; SETTINGS and PING are answered,
--- and windows given back as a stream is read, unless it is `raw`. What breaks the rules of the protocol ends it.
---@class perilune.test.http2
---@field settings_of_peer table what the other side has announced, by name: max_concurrent_streams, ...
---@field goaway? { last: integer, code: string, text: string } the latest that came
---@field fault? string what the other side did wrong
---@field frames table[] what has come and await_frame has not taken
local http2 = {}
--- Of a client: begins a stream with a request, of which nothing is awaited; what it takes is as of harness:request.
--- With ends = false it stays open: stream:send and stream:finish go on.
---@param options? table
---@return perilune.test.stream
function http2:open(options) end
--- Of a client: a request, and its final response.
---@param options? table
---@return perilune.test.response?, string? message
function http2:request(options) end
--- Of a client: begins a call of gRPC that sends and receives as it wants.
---@param path string
---@param options? table metadata, deadline, host
---@return perilune.test.call
function http2:call(path, options) end
--- Of a client: a stream that begins with its first frame, for stream:send_fields and http2:send_frame.
---@return perilune.test.stream
function http2:new_stream() end
---@param kind string|integer "DATA", "HEADERS", "RST_STREAM", ... or the number of a type
---@param flags? integer 0
---@param stream? integer 0
---@param payload? string
function http2:send_frame(kind, flags, stream, payload) end
--- Sends bytes as they are.
---@param bytes string
function http2:send_bytes(bytes) end
---@param settings table by name, or a list of { number, value }
function http2:send_settings(settings) end
---@param last? integer the last stream that counts: all that have begun
---@param code? string "no_error"
---@param text? string
function http2:send_goaway(last, code, text) end
--- Gives the other side so many bytes more window for the connection.
---@param bytes integer
function http2:add_window(bytes) end
--- Waits for the answer to a PING.
---@return number? seconds, string? message
function http2:ping() end
--- The next frame of that kind which was not taken before: { type, flags, stream, payload, ends (END_STREAM), code, last,
--- settings, increment }.
---@param kind string
---@param stream? integer|perilune.test.stream
---@param timeout? number
---@return table? frame, string? message
function http2:await_frame(kind, stream, timeout) end
---@param timeout? number
---@return boolean closed by the other side
function http2:await_close(timeout) end
function http2:close() end

--- One stream of HTTP/2. Functions return nil and "timeout", "closed" or "reset: CANCEL" where they could not do it.
---@class perilune.test.stream
---@field id integer
---@field request? table of an origin: method, target, headers, ... of its head
---@field trailers? table that came
---@field reset_code? string "CANCEL": the other side has reset it
local stream = {}
--- Of an origin: the request, with its body and trailers.
---@return table? request, string? message
function stream:read_request() end
--- Of an origin.
---@param response perilune.test.answer
function stream:respond(response) end
--- Of a client.
---@return perilune.test.response?, string? message
function stream:read_response() end
--- The next head: { status, headers }; interim ones, too.
---@return table?, string? message
function stream:read_head() end
--- The next piece of the body as it comes; nil at its end.
---@return string?, string? message where it was cut
function stream:read() end
---@return string?, string? message, string? partial
function stream:read_all() end
--- Sends a head, or trailers, as they are: a list of { name, value }.
---@param fields table
---@param ends? boolean END_STREAM
function stream:send_fields(fields, ends) end
--- Sends bytes of the body, as the other side's windows allow.
---@param data string
---@param ends? boolean END_STREAM
function stream:send(data, ends) end
--- Ends what we send.
---@param trailers? table
function stream:finish(trailers) end
--- RST_STREAM.
---@param code? string "cancel"
function stream:reset(code) end
--- Waits until the other side resets it.
---@return string? code, string? message
function stream:await_reset() end
--- Gives the other side so many bytes more window; reading gives as much as was read.
---@param bytes integer
function stream:add_window(bytes) end
---@param seconds number
function stream:sleep(seconds) end

--- A call of gRPC, client's or server's side.
---@class perilune.test.call
---@field stream perilune.test.stream
---@field metadata table of a server: the headers
local call = {}
---@param message string
function call:send(message) end
--- The next message; nil when there are no more.
---@return string? message, string? why where it was cut
function call:receive() end
--- All that are still to come: for message in call:messages() do ... end
---@return fun(): string?
function call:messages() end
--- Of a client: nothing more will be sent. Of a server: ends the call.
---@param status? integer 0
---@param reason? string
---@param trailers? table
function call:finish(status, reason, trailers) end
--- Of a server: headers, before the first message.
---@param metadata? table
function call:send_head(metadata) end
--- Of a server: RST_STREAM.
---@param code string
function call:reset(code) end
--- Of a client: RST_STREAM.
function call:cancel() end
--- Of a client: waits for the end.
---@return perilune.test.grpc_result
function call:result() end

---@class perilune.test.grpc_result
---@field status? integer grpc-status
---@field reason? string grpc-message
---@field message? string the first of messages
---@field messages string[] those that were not received before
---@field headers? table
---@field trailers? table
---@field http_status? integer
---@field is_trailers_only? boolean the status came in the only head
---@field failure? string why there is no status, or no whole answer

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
