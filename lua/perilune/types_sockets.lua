-- SPDX-License-Identifier: Apache-2.0
-- Sockets, and libraries from elsewhere that use them, as LuaCATS annotations: see lua/perilune/types.lua. @meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.tcp": in hooks and background work
---
--- ```lua
--- function policy.request_filter(session)
---   local socket, why = perilune.tcp.connect("127.0.0.1:6379", { timeout = 0.5 })
---   if not socket then return session:respond { status = 503, body = why } end
---   socket:send { "INCR ", session:client_ip(), "\r\n" }
---   local line = socket:receive()                                      -- ":7"
---   socket:keep()                                                      -- for the next request
---   if line and tonumber(line:match "%d+") > 100 then return session:respond { status = 429 } end
--- end
--- ```

---@class perilune.tcp
local tcp = {}

---@class perilune.tcp_options
---@field timeout? perilune.duration for each of TCP, TLS, a send, a receive; 5
---@field connect_timeout? perilune.duration
---@field send_timeout? perilune.duration
---@field receive_timeout? perilune.duration
---@field tls? boolean
---@field sni? string without: the address's host, where that is a name
---@field verify? boolean false: accept any certificate
---@field verify_name? string
---@field ca? string PEM file, relative to the script; without: the system's
---@field certificate? string with tls: PEM file or PEM text, to show to a server that asks for it
---@field key? string its private key, likewise
---@field pool? string keeps spare connections apart that differ in state (a user, a database)
---@field pool_key? string replaces all that spare connections are told apart by, the address as well: with the same key, any is taken
---@field pool_size? integer with backlog: at most so many like it are open at once in each worker, spare ones included; the first tcp.connect sets it
---@field backlog? integer so many more may wait for one, for connect_timeout at most; beyond that: "too many waiting connect operations"
---@field fresh? boolean no spare connection
---@field http2? boolean with tls: offers h2 by ALPN, and fails where it is not chosen; false
---@field http1? boolean with http2: offers http/1.1, too; false
---@field one_way? boolean the other side answers nothing, so socket:keep wants no receive after a send; false
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a name's addresses; "any"

---@class perilune.start_tls_options
---@field sni? string without: the address's host, where that is a name
---@field verify? boolean false: accept any certificate
---@field verify_name? string
---@field ca? string PEM file, relative to the script; without: the system's
---@field certificate? string PEM file or PEM text, to show to a server that asks for it
---@field key? string its private key, likewise
---@field timeout? perilune.duration that of a receive

--- Takes a spare connection, or connects: "1.2.3.4:80", "[::1]:80", "unix:/path", "name:80". A spare connection is taken
--- only if its address, its TLS options, its pool and one_way are the same, or its pool_key.
---@param address string
---@param options? perilune.tcp_options
---@return perilune.socket?, string? message, string? kind of the error, as error:kind() has it
function tcp.connect(address, options) end

--- Makes a new connection, and closes it.
---@param address string
---@param options? perilune.tcp_options
---@return true?, string? message, string? kind of the error
function tcp.check(address, options) end

--- Calls wait without blocking anything else. What can fail returns nil and a message: "timeout", "closed", or a sentence.
---@class perilune.socket
local socket = {}
---@param data string|string[] an array is sent as one
---@return true?, string? message
function socket:send(data) end
--- Receives a line without its end (LF or CRLF), everything until the other side closes ("all"), whatever is there as soon
--- as something is ("any"), or a number of bytes.
---@param what? "line"|"all"|"any"|integer "line"
---@param limit? integer bytes at most, of a line or of all
---@return string?, string? message, string? partial what had come before it failed
function socket:receive(what, limit) end
--- Receives what comes before a mark. With a length, it comes in pieces of at most that, and the last one says that the
--- mark was behind it.
---@param mark string
---@param piece? integer bytes; without it: all at once, at most 8 MiB
---@param inclusive? boolean the mark belongs to the text
---@return string? text, boolean|string|nil is_at_mark_or_message, string? partial
function socket:receive_until(mark, piece, inclusive) end
--- Starts TLS on a connection in the clear, as STARTTLS of SMTP, PostgreSQL or MySQL wants it. If it fails, the socket is
--- closed. It fails where something is unread that came in the clear. Where TLS is there already (tls = true, or a spare
--- connection), it does nothing. Such a connection goes back to the pool only with a pool_key.
---@param options? perilune.start_tls_options
---@return true?, string? message
function socket:start_tls(options) end
--- Sets how long each later call may take.
---@param send number seconds
---@param receive? number the same
function socket:set_timeouts(send, receive) end
---@return integer count how often it came out of the pool
function socket:reused() end
--- Returns the connection to the pool for the next tcp.connect. Do not use it afterwards. It is closed instead where an
--- answer may still come, which the next user would take for its own: something is unread, a receive or a send has
--- failed, nothing was received after the last send (see one_way), or the other side has closed.
---@param seconds? number how long it may wait there; 55
---@param most? integer how many like it the pool keeps, for each worker; 32
---@return true?, string? message why it was closed instead
function socket:keep(seconds, most) end
function socket:close() end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.udp": datagrams, in hooks and background work. What is received comes from the connected address.
---
--- ```lua
--- local statsd                                              -- one for each worker
--- function policy.logging(session)
---   statsd = statsd or perilune.udp.connect "localhost:8125"
---   if statsd then statsd:send { "requests.", session:response_status() or "none", ":1|c" } end
--- end
--- ```

---@class perilune.udp
local udp = {}
--- "127.0.0.1:53", "[::1]:53", "name:53", "unix:/dev/log". It waits only to look a name up.
---@param address string
---@param options? { timeout?: perilune.duration, family?: "any"|"prefer_ipv4"|"ipv4"|"ipv6" } how long each receive waits, 5;
--- of a name the first address of that family, "prefer_ipv4": a datagram to the other one would be lost without a word
---@return perilune.udp_socket?, string? message
function udp.connect(address, options) end

---@class perilune.udp_socket
local udp_socket = {}
--- Sends one datagram. It may get lost on its way, which nobody is told.
---@param data string|number|(string|number)[] an array is sent as one
---@return true?, string? message "Connection refused": an earlier one has found nobody
function udp_socket:send(data) end
--- Waits for a datagram. What is longer is cut.
---@param bytes? integer at most, up to 65536; 8192
---@return string?, string? message "timeout", "closed", or a sentence
function udp_socket:receive(bytes) end
---@param seconds number of each later receive
function udp_socket:set_timeout(seconds) end
function udp_socket:close() end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.ngx": libraries that were written for OpenResty (lua-resty-*) run in a policy, unmodified. It sets
--- the global `ngx` and what such libraries require, in this policy only. docs/from_openresty.md says what is there, which
--- libraries run, and how a handler is moved over.
---
--- ```lua
--- require "perilune.ngx" { dicts = { cache = "10m" } }
--- local base64 = require "ngx.base64"                              -- and "resty.redis", "resty.jwt", ...
--- function policy.request_filter()
---   if ngx.shared.cache:incr(ngx.var.remote_addr, 1, 0, 60) > 1000 then ngx.exit(429) end
--- end
--- ```

---@class perilune.ngx
---@overload fun(options?: perilune.ngx_options): table installs it and gives `ngx`; only in the main chunk
local ngx_module = {}

---@class perilune.ngx_options
---@field dicts? table<string, integer|string> ngx.shared: the sizes by name, as "10m"; at least 64 KiB each
---@field vars? table<string, string> variables that may be written to ngx.var, with their values at first
---@field ca? string PEM file by which sslhandshake verifies; without: the system's
---@field cjson? boolean false: require "cjson" is not answered by perilune.json; true

---@class perilune.ngx_handlers
---@field init_worker? fun() once in each worker, when the policy is in force
---@field rewrite? fun() before access
---@field access? fun() ngx.exit(403) answers; nothing: the request goes on
---@field content? fun() answers by ngx.say and so on
---@field balancer? fun() calls set_current_peer of require "ngx.balancer"
---@field header_filter? fun() changes ngx.header and ngx.status of the response
---@field body_filter? fun() changes ngx.arg[1]; ngx.arg[2] is true for the last piece
---@field log? fun()
---@field ssl_certificate? fun() calls set_cert and set_priv_key of require "ngx.ssl"

--- Handlers of OpenResty's phases as hooks, for perilune.listen. Other hooks can be added to the table, upstream_peer for
--- one. A handler may wait, in each phase, and ends behind its threads.
---@param handlers perilune.ngx_handlers
---@return perilune.hooks
function ngx_module.hooks(handlers) end

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.luasocket": the module `socket` in LuaSocket's shape, over perilune.tcp and perilune.udp, for libraries
--- such as redis-lua: socket.tcp, udp, connect, gettime, sleep, try, protect, newtry, skip. require "socket" gives it then,
--- in this policy only. Times are seconds. A call waits without blocking anything else, in hooks and background work.

