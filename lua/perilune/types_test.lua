-- SPDX-License-Identifier: Apache-2.0
-- The modules for specs of policies, as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.test", in specs that `perilune test` runs. What a test opens is closed when the test ends; what
--- lazy_setup opens stays open for all tests of the file. `perilune test --watch SPEC` runs again whenever the spec, a
--- policy or a module is saved, until Ctrl-C. If a test fails after an answer of 500 or more, its report has the lines of
--- the proxy's log that say why

--- There are two ways to test. test.policy calls the hooks in the process of the test: this is fast, has a virtual clock
--- and needs no sockets. test.harness starts the proxy between origins and clients, with real connections in real time.
---
--- test.policy simulates: all hooks in their order; the head and the body of the request, parsed as in the proxy; shared
--- state; timers and background work, also of the main chunk, which run when a test advances the clock, and end with the
--- test; passive checks and limits of backend sets; retries with their budget; first_byte_timeout; answers to
--- perilune.http and perilune.redis (see test.http and test.redis); the cache of a listener with its hooks and purges, in
--- the clock's time: what a test asks for twice is served from there, and what was served stale is fetched in the
--- background by the same answer.
---
--- It does not simulate the following; use test.harness for them:
---
--- - connections, with keep-alive, backpressure and all timeouts except first_byte_timeout
--- - TLS and client certificates (session:tls() is nil)
--- - the hooks `certificate` and response_trailer_filter; hedging; interim (1xx) responses and upgrades
--- - perilune.tcp: it raises an error, so health_check.tcp logs that and changes nothing
--- - perilune.dns: it returns nil and a sentence. Names of peers are not looked up
--- - requests that wait for another's fetch, and fetches whose client leaves: each walk runs to its end
--- - several workers, reloads, the access log
---@class perilune.test
---@field clock perilune.test.clock
---@field log perilune.test.log
local test = {}

--- Loads a policy: the path of a script, or a table of hooks with options of perilune.listen. It replaces the policy that
--- was loaded before: that one's background work ends, and shared state is empty again. A relative path is looked up in
--- the spec's folder, then in the working directory; so are the modules that the spec requires. Modules of the policy are
--- in the policy's folder.
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

--- Sets the answers that perilune.http gets in hooks with test.policy, by URL, for the rest of the test. A key is a URL
--- with its query, a URL without a query (which matches any query), or the start of a URL and "*"; "*" alone matches
--- every URL. The most specific key is used. If test.http is called several times, the last call has priority. A
--- function(request) instead of the table answers all requests. A request without an answer times out, and the log names
--- it. health_check.http and everything else that uses perilune.http gets these answers, too.
---
--- ```lua
--- local calls = test.http { ["http://127.0.0.1:8001/may"] = { status = 403 }, ["https://idp.example/*"] = "{}" }
--- policy:request()
--- assert.received({ method = "GET", target = "/may" }, calls)
--- ```
---@param answers table<string, perilune.test.answer>|fun(request: table): perilune.test.answer
---@return { requests: table[] } calls method, url, target, host, headers, body of each request
function test.http(answers) end

--- Sets the replies that perilune.redis gets with test.policy, by command, for the rest of the test. A key is the words
--- of a command with spaces between them, or the start of a command and "*"; "*" alone matches every command. The most
--- specific key is used. If test.redis is called several times, the last call has priority. A reply is a string, a number,
--- a boolean, a list or redis.null; { error = "WRONGTYPE ..." } is an error of the server; { failure = "timeout" } (or
--- "down", "busy", "closed", "too long") means no reply; a function gets the words and returns one of these. Scripts are
--- EVAL with their text. The commands of a pipeline or a transaction are answered one by one. A command without a reply
--- times out, and the log names it.
---
--- ```lua
--- local calls = test.redis { ["GET user:7"] = "Ann", ["INCR *"] = 1 }
--- policy:request()
--- assert.same({ { "GET", "user:7" } }, calls.commands)
--- ```
---@param answers table<string, any>|fun(command: string[]): any
---@return { commands: string[][] } calls the words of each, in order
function test.redis(answers) end

--- Starts the proxy with a policy, as a separate process, between origins.
---@param options perilune.test.harness_options
---@return perilune.test.harness
function test.harness(options) end

--- Makes a certificate for these DNS names and IP addresses, once for each spec file, and returns the paths of its PEM
--- files.
---@param ... string
---@return { certificate: string, key: string, ca: string }
function test.certificate(...) end

---@return perilune.test.recorded[] requests in the order of a file of `perilune record`; raises where it is none
function test.recording(path) end

---@return string address on which nobody listens
function test.dead_address() end

--- The clock of test.policy. It is used by perilune.now and perilune.time, timers, sleeps, rates, dictionaries, passive
--- checks, and everything that expires by the time of day, such as tokens of token_auth. It stands still until a test
--- advances it; x:walk() and policy:request() advance it by the time that hooks wait and by `delay`. It begins with the
--- machine's time of day and continues from test to test; set_time sets it to a known value. A harness runs in real time:
--- use os.time() for its tokens.
---
--- ```lua
--- test.clock:set_time(1700000000)
--- local token = token_auth.sign({ exp = 1700000060 }, "secret")
--- test.clock:advance(61)                -- the token has expired
--- ```
---@class perilune.test.clock
local clock = {}
--- Advances the clock: sleeps end, timers fire and windows of rates change, each at its time. HTTP health checks run,
--- too: set their answers with test.http first, because a check without an answer makes its backend unhealthy.
---@param seconds number
function clock:advance(seconds) end
--- Runs everything that is due now.
function clock:settle() end
---@return number
function clock:now() end
---@return number
function clock:time() end
--- Sets the time of day that perilune.time() returns.
---@param seconds number since 1970
function clock:set_time(seconds) end

--- The log since the test began: entries { level, text }.
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
--- Calling hooks with requests that are tables, without sockets or waiting

---@class perilune.test.policy
local policy = {}
---@class perilune.test.request
---@field method? string "GET"
---@field target? string "/"; `path` means the same
---@field headers? table { Name = value or array }, or a list of { name, value }
---@field host? string|false "test.example"
---@field body? string the whole body
---@field client? string "127.0.0.1:50000"
---@field scheme? "http"|"https" "http"
---@field version? string "1.1"
---@field leaves_after? number seconds after which walk's client leaves an answer of session:start_response

---@param request? perilune.test.request
---@param listener? integer 1
---@return perilune.test.exchange
function policy:exchange(request, listener) end
--- Makes an exchange and runs all its hooks: the same as policy:exchange(request):walk(origin).
---@param request? perilune.test.request
---@param origin? perilune.test.answer|fun(peer: perilune.peer, try: integer): perilune.test.answer as of exchange:walk
---@param listener? integer 1
---@return perilune.test.response
function policy:request(request, origin, listener) end

--- The answer of a peer, an origin or a server that perilune.http asks. A string is a body with status 200; a string that
--- is the name of an error ("connect_refused") means { error = "connect_refused" }. `reset` and `error` mean that there is
--- no answer, so the only other field allowed is `delay`.
---@class perilune.test.answer
---@field status? integer 200
---@field reason? string
---@field headers? table { Name = value or array }, or a list of { name, value }
---@field body? string|string[] a string, or a list of pieces
---@field pieces? string[] the body in pieces: body filters get one after another; an origin sends it chunked
---@field delay? number seconds until it answers: of the test's clock, or for an origin in real time
---@field trailers? table only for an origin: fields after the body, like headers
---@field reset? boolean|string the connection is reset instead of an answer; of an origin that speaks HTTP/2 the stream
---is, by the code that this names: "refused_stream", "cancel"; true is "internal_error"
---@field error? string not for an origin: what goes wrong, a kind of error:kind(): "connect_refused",
---"connect_timeout", "tls_failed", "first_byte_timeout", "upstream_closed", "read_timeout", "bad_response"...; the message
---for an unknown one lists all of them
---@field chunked? boolean send the body chunked; a list of pieces always is, unless Content-Length is given
---@field no_length? boolean the end of the connection is the end of the body
---@field version? string "1.1"

--- x:request_filter(), x:response_filter { status = 404 } (the peer's response), x:fail_to_connect "connect_timeout"
--- (the error), x:response_body_filter { "one", "two" } (the pieces): each hook is a method.
---@class perilune.test.exchange
local exchange = {}
--- Runs all hooks, to logging, and advances the clock where they wait. Returns the response that the client gets. `origin`
--- is the peer's answer, as for the harness and test.http, or a function(peer, try) that returns one for each attempt.
---@param origin? perilune.test.answer|fun(peer: perilune.peer, try: integer): perilune.test.answer
---@return perilune.test.response
function exchange:walk(origin) end
--- The client's request, with the changes of the policy.
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
---@field waits boolean the hook has not ended: see clock:advance
---@field answered boolean
---@field answer? perilune.test.response
---@field peer? perilune.peer of upstream_peer
---@field refused boolean of proxy_upstream_filter
---@field cache? table of the hooks of the cache: verdict (true, false), force ("fresh", ...), key (of cache_key_callback
---and cache_vary_filter), ttl, stale_while_revalidate, stale_if_error, lock_wait, tags, strip
---@field retry? boolean of fail_to_connect and error_while_proxy
---@field status? integer of fail_to_proxy
---@field body? string of body hooks: everything that is passed on; also in `pieces`
---@field failure? { kind: string, status: integer, message: string } if it has raised an error

---@class perilune.test.response
---@field status integer
---@field reason string
---@field headers table headers.content_type: the first value; headers[1].name in order; headers:all "set-cookie"
---@field body string
---@field tries? integer of walk: calls of upstream_peer
---@field cache? string of walk: what the cache did ("hit", "miss", ...); nil where it has no part in the request
---@field failure? string of walk: the kind of the failure; of a client: why the body is incomplete
---@field trailers? table of a client: fields after the body, like headers
---@field reset? string of a client over HTTP/2: the code by which the stream was reset

--- ---------------------------------------------------------------------------------------------------------------
--- The harness: the proxy itself, with origins and clients. The policy's listeners get free ports. The harness sets
--- environment variables, which a policy reads with os.getenv: ORIGIN_API is the address of the origin `api`, ORIGIN that
--- of the only origin, and ORIGIN_CA the file of the authority for the origins' certificates. It does not disturb a proxy
--- that runs with the same policy: the status page gets a free port; pid_file, socket and logs are in h.directory, under
--- the last part of their names (access_log = "/var/log/access.log" is h.directory .. "/access.log", and syslog is
--- h.directory .. "/syslog"); the error log is h:log(); daemon, user and group are ignored

---@class perilune.test.harness_options
---@field policy string path of a script, in the spec's folder or the working directory; or its text
---@field origins? table<string, any> by name: an answer (perilune.test.answer), a function(request) that returns one, or
---a table of perilune.test.origin_options
---@field dns? table<string, string|table> names and their addresses, or { A = { ... }, SRV = { ... }, ttl }; other names
---do not exist
---@field env? table<string, string> environment variables
---@field workers? integer 1
---@field timeout? number seconds until it must be ready

--- An origin of the harness with more options than its answer.
---@class perilune.test.origin_options
---@field answer? any the answer to each request; or a function(request, connection) that returns one, or nil to close
---the connection
---@field serve? fun(connection: perilune.test.connection) handles each connection itself, instead of `answer`; with
---HTTP/2 fun(stream: perilune.test.stream) handles each stream, whose head is in stream.request
---@field http2? boolean|perilune.test.origin_http2 speak HTTP/2: by ALPN with `tls`, otherwise by prior knowledge
---@field grpc? table<string, any> serve gRPC, instead of `answer`: by "/package.Service/Method" a message, a
---perilune.test.grpc_answer, or a function(call: perilune.test.call) that sends and receives and may return one of these
---@field tls? string[] speak TLS, with a certificate for these names
---@field host? string "127.0.0.1"; "unix:/path"
---@field port? integer a free one

--- How an origin speaks HTTP/2.
---@class perilune.test.origin_http2
---@field settings? table by their names in RFC 9113 section 6.5.2: { max_concurrent_streams = 1 }
---@field raw? boolean do nothing automatically: do not answer SETTINGS and PING, and send no WINDOW_UPDATE
---@field on_connection? fun(connection: perilune.test.http2) called when a connection has begun
---@field or_http1? boolean with `tls`: serve clients that do not choose h2 over HTTP/1.1

--- The answer of a gRPC method. Without a message it is a single head with grpc-status ("trailers-only").
---@class perilune.test.grpc_answer
---@field message? string its bytes; the harness does not encode anything
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
---@field directory string folder of the files that the policy has written, such as its access log
local harness = {}
--- Sends a request and returns the response. Options:
---
--- - method ("GET"), target ("/"; `path` means the same), headers, body, chunked (true: send the body chunked), trailers,
---   host (false: no Host), version ("1.1"; "2" is HTTP/2: by ALPN with tls, otherwise by prior knowledge), listener (its
---   number, 1), timeout (seconds)
--- - tls, if the listener speaks TLS: { name = the server name to ask for, ca = the file to verify the certificate with
---   (without: it is not verified), files = the client's own { certificate, key }, oldest and newest ("TLSv1.2",
---   "TLSv1.3"), alpn ("h2,http/1.1") }. If the policy uses the certificate of files = test.certificate("app.test"):
---   h:request { tls = { name = "app.test", ca = files.ca } }
--- - only with version = "2": scheme, protocol (of extended CONNECT), settings (by name), and fields: a list of
---   { name, value } with the pseudo-fields, which is sent as it is
---
--- Other options raise an error.
---@param options? table
---@return perilune.test.response
function harness:request(options) end
--- Opens a connection, on which the test sends and reads what it wants. With version = "2" it is an HTTP/2 connection.
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
---@param options? table listener, tls (as for request), receive_buffer, timeout, version; with version = "2" also
---settings (false: send none) and raw (true: do nothing automatically)
---@return perilune.test.connection|perilune.test.http2
function harness:connect(options) end
--- Makes a gRPC call, on a new connection.
---@param path string "/package.Service/Method"
---@param options? table message or messages (""), metadata (headers), deadline (for grpc-timeout: "1S"), host; and the
---options of connect
---@return perilune.test.grpc_result
function harness:grpc(path, options) end
--- Runs functions at the same time, and returns when all have ended.
---@param bodies function[]
---@return any[] results
function harness:together(bodies) end
--- Waits until the condition is true.
---@param condition fun(): any
---@param timeout? number
function harness:eventually(condition, timeout) end
---@param seconds number
function harness:sleep(seconds) end
--- The proxy's error log so far.
---@return string
function harness:log() end
--- Waits until the error log has this.
---@param pattern string a Lua pattern
---@return string ... captures
function harness:wait_log(pattern) end
--- The sum of a metric over all its series, or over those that have this text in their labels. It is up to a second old.
--- A metric of the proxy that does not exist raises an error.
---@param name string as "perilune_requests_total", or with labels: 'perilune_requests_total{status="200"}'
---@param labels? string
---@return number
function harness:metric(name, labels) end
--- Reloads the policy, after writing another text of it if one is given.
---@param text? string
---@return true?, string? message why the old policy stays in force
function harness:reload(text) end
--- Empties the lists of what the origins have received so far.
function harness:clear() end
--- Ends the proxy gracefully. If it does not end without an error, the test fails.
function harness:stop() end

---@class perilune.test.origin
---@field address string
---@field requests table[] method, target, headers, body, trailers, connection (its number), sni; of HTTP/2 also
---authority, scheme, stream (its id) and fields (all, as they came); of gRPC messages, where the answer is no function
---@field accepted integer connections
---@field faults string[] how its clients have violated HTTP/2

--- If a function fails, it returns nil and "timeout", "closed" or "reset".
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
--- Only of an origin.
---@return table? request, string? message
function connection:read_request() end
--- Only of an origin.
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

--- An HTTP/2 connection, of a client or an origin. Frames are read in the background. Unless the connection is `raw`,
--- SETTINGS and PING are answered, and WINDOW_UPDATE is sent as a stream is read. A violation of the protocol closes it.
---@class perilune.test.http2
---@field settings_of_peer table the settings of the other side, by name: max_concurrent_streams, ...
---@field goaway? { last: integer, code: string, text: string } the latest GOAWAY
---@field fault? string how the other side has violated the protocol
---@field frames table[] frames that have come and that await_frame has not returned yet
local http2 = {}
--- Of a client: sends a request on a new stream, without waiting for its response; options as for harness:request. With
--- ends = false the stream stays open: continue with stream:send and stream:finish.
---@param options? table
---@return perilune.test.stream
function http2:open(options) end
--- Of a client: sends a request, and returns the final response.
---@param options? table
---@return perilune.test.response?, string? message
function http2:request(options) end
--- Of a client: begins a gRPC call, in which the test sends and receives what it wants.
---@param path string
---@param options? table metadata, deadline, host
---@return perilune.test.call
function http2:call(path, options) end
--- Of a client: makes a stream without sending anything, for stream:send_fields and http2:send_frame.
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
---@param last? integer the last stream that is still processed; by default the last that has begun
---@param code? string "no_error"
---@param text? string
function http2:send_goaway(last, code, text) end
--- Enlarges the window that the other side has for the connection.
---@param bytes integer
function http2:add_window(bytes) end
--- Sends a PING and waits for the answer.
---@return number? seconds, string? message
function http2:ping() end
--- Waits for the next frame of this kind that was not returned before: { type, flags, stream, payload, ends (END_STREAM),
--- code, last, settings, increment }.
---@param kind string
---@param stream? integer|perilune.test.stream
---@param timeout? number
---@return table? frame, string? message
function http2:await_frame(kind, stream, timeout) end
---@param timeout? number
---@return boolean closed by the other side
function http2:await_close(timeout) end
function http2:close() end

--- An HTTP/2 stream. If a function fails, it returns nil and "timeout", "closed" or "reset: CANCEL".
---@class perilune.test.stream
---@field id integer
---@field request? table of an origin: method, target, headers, ... of its head
---@field trailers? table that were received
---@field reset_code? string "CANCEL": the code with which the other side has reset it
local stream = {}
--- Of an origin: waits for the request with its body and trailers.
---@return table? request, string? message
function stream:read_request() end
--- Of an origin.
---@param response perilune.test.answer
function stream:respond(response) end
--- Of a client.
---@return perilune.test.response?, string? message
function stream:read_response() end
--- Waits for the next head, also of an interim response: { status, headers }.
---@return table?, string? message
function stream:read_head() end
--- Waits for the next piece of the body; nil at its end.
---@return string?, string? message if it was cut off
function stream:read() end
---@return string?, string? message, string? partial
function stream:read_all() end
--- Sends a head, or trailers, as they are: a list of { name, value }.
---@param fields table
---@param ends? boolean END_STREAM
function stream:send_fields(fields, ends) end
--- Sends bytes of the body, waiting for the other side's windows if necessary.
---@param data string
---@param ends? boolean END_STREAM
function stream:send(data, ends) end
--- Ends this side of the stream.
---@param trailers? table
function stream:finish(trailers) end
--- Sends RST_STREAM.
---@param code? string "cancel"
function stream:reset(code) end
--- Waits until the other side resets it.
---@return string? code, string? message
function stream:await_reset() end
--- Enlarges the window of the other side. Reading does this by itself, unless the connection is raw.
---@param bytes integer
function stream:add_window(bytes) end
---@param seconds number
function stream:sleep(seconds) end

--- A gRPC call, of a client or a server.
---@class perilune.test.call
---@field stream perilune.test.stream
---@field metadata table of a server: the headers
local call = {}
---@param message string
function call:send(message) end
--- Waits for the next message; nil when there are no more.
---@return string? message, string? why if it was cut off
function call:receive() end
--- Iterates over all further messages: for message in call:messages() do ... end
---@return fun(): string?
function call:messages() end
--- Of a client: nothing more will be sent. Of a server: ends the call.
---@param status? integer 0
---@param reason? string
---@param trailers? table
function call:finish(status, reason, trailers) end
--- Of a server: sends headers, before the first message.
---@param metadata? table
function call:send_head(metadata) end
--- Of a server: sends RST_STREAM.
---@param code string
function call:reset(code) end
--- Of a client: sends RST_STREAM.
function call:cancel() end
--- Of a client: waits for the end.
---@return perilune.test.grpc_result
function call:result() end

---@class perilune.test.grpc_result
---@field status? integer grpc-status
---@field reason? string grpc-message
---@field message? string the first of `messages`
---@field messages string[] messages that call:receive has not returned before
---@field headers? table
---@field trailers? table
---@field http_status? integer
---@field is_trailers_only? boolean the status was in the only head
---@field failure? string why there is no status, or why the answer is incomplete

--- ---------------------------------------------------------------------------------------------------------------
--- Assertions, in addition to those of luassert. assert.is_not.status and the like negate them

---@class perilune.test.assertions
local assert = {}
---@param status integer
---@param response perilune.test.response
function assert.status(status, response) end
---@param name string
---@param value string? nil: the response does not have the field
---@param response perilune.test.response
function assert.field(name, value, response) end
---@param body string
---@param response perilune.test.response
function assert.body(body, response) end
--- One of the origin's requests has all of these fields.
---@param wanted table method, target, body, headers, ...
---@param origin perilune.test.origin
function assert.received(wanted, origin) end
---@param count integer
---@param origin perilune.test.origin
function assert.requests(count, origin) end
--- What the cache did for the request: "hit", "miss", "stale", "stale-updating", "expired", "revalidated" or "bypass", as
--- session:cache_status() says it; without a result: the response came from the cache. Responses of a harness tell it by
--- Cache-Status (status_header = true): there, "expired" is any that was asked for since it was stale, and "stale" any
--- that was served stale.
---
--- ```lua
--- local perilune = require "perilune"
--- local pages = perilune.cache("pages", { size = "1M" })
--- local policy = test.policy({ upstream_peer = function() return "127.0.0.1:8000" end }, { cache = pages })
--- local page = { headers = { ["Cache-Control"] = "max-age=60" }, body = "one" }
--- assert.cached("miss", policy:request({ target = "/a" }, page))
--- assert.cached("hit", policy:request { target = "/a" })
--- test.clock:advance(61)
--- assert.cached("expired", policy:request({ target = "/a" }, page))
--- ```
---@param result? string
---@param response perilune.test.response
function assert.cached(result, response) end
---@param pattern string a Lua pattern
---@param source perilune.test.harness|perilune.test.log
function assert.logged(pattern, source) end
--- The metric has this value, or reaches it within two seconds: the sum of its series, or of those with these labels.
---@param value number
---@param name string as "perilune_requests_total", or with labels: 'perilune_requests_total{status="200"}'
---@param harness perilune.test.harness
function assert.metric(value, name, harness) end
