-- SPDX-License-Identifier: Apache-2.0
-- The modules for policies, as LuaCATS annotations: see lua/perilune/types.lua. Load a module with require, or use it
-- as perilune.json and so on, which loads it when it is first used. They work in every hook. Only perilune.http and
-- perilune.dns wait.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.dns": in hooks and background work.
---
--- Each worker caches the answers of name servers for their time to live (between 1 s and an hour). That a name does not
--- exist is cached for as long as the server says (at most a minute). Equal questions at the same time are sent once. All
--- this applies to peers, perilune.http, perilune.tcp, health checks and this module.
---
--- - If no server answers, the last answer is used for ten more minutes. If a server does not answer within 0.4 s, the
---   next one is asked, and the first is asked last for 30 s.
--- - If only IPv4 addresses arrive, they are used after 50 ms without waiting for IPv6 (RFC 8305), and vice versa.
--- - With several addresses, the next one is tried after 250 ms, or at once if one fails. An address that failed comes
---   last for a minute; the others take turns.
--- - resolv.conf and the hosts file are read again when they change. If the servers change, the cache is emptied.

---@class perilune.dns
local dns = {}

---@class perilune.dns_options
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of dns.addresses; "any"
---@field fresh? boolean true: ask a server even if its last answer is still valid

--- The addresses of "name:80", as "1.2.3.4:80", in the order to try, and for how many seconds they are valid (0: unknown).
---@param address string
---@param options? perilune.dns_options
---@return string[]?, integer|string ttl_or_message
function dns.addresses(address, options) end

---@class perilune.service
---@field address string "name:80"
---@field priority integer
---@field weight integer

--- The SRV records of a name like "_http._tcp.example.org", and for how many seconds they are valid.
---@param name string
---@param options? perilune.dns_options
---@return perilune.service[]?, integer|string ttl_or_message
function dns.services(name, options) end

--- Sets the name servers to ask instead of the system's, also for peers: "10.0.0.2", "127.0.0.1:5353,[::1]". Only in the
--- main chunk. All workers ask them while this policy is in force.
---@param servers string
function dns.set_servers(servers) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.json: JSON (RFC 8259). A decoded value that was not changed is encoded as it was
---
--- | value | how it is encoded and decoded |
--- |---|---|
--- | whole numbers up to 2^53 | exact, in digits |
--- | other numbers | the shortest text that reads back as the same number; `-0` stays `-0` |
--- | whole numbers beyond 2^53 | the nearest number that Lua has (1e20); use strings if every digit matters |
--- | NaN, infinity; 1e999 | cannot be encoded; cannot be decoded |
--- | `[]` | an empty table that is encoded as `[]` again, like every array that decode has returned |
--- | an empty table that you make | `{}`; use json.array() or json.empty_array for `[]` |
--- | `null` | json.null |
--- | strings | any bytes, including NUL; bytes that are not UTF-8 are passed as they are. Half of a surrogate pair cannot be decoded |
---
--- ```lua
--- function policy.request_filter(session)
---   local order = perilune.json.decode(session:read_body())    -- {"id":1234567890123456,"notes":[]}
---   if type(order) ~= "table" then return end
---   order.lines = perilune.json.array()                        -- [] while it is empty
---   session:set_body(perilune.json.encode(order))
--- end
--- ```

---@class perilune.json
---@field null userdata stands for null. Compare with it: it is not false in a condition
---@field empty_array userdata is encoded as []; for constants. It is not a table
---@field array_mt table the metatable of arrays: decode gives it to them, and a table that has it is encoded as an array
local json = {}
--- Tables whose keys are 1, 2, ... become arrays, with null for a few holes. Others become objects; a key that is a
--- number becomes its text. An empty table is an object, unless json.array marked it or decode gave it as an array.
---@param value any
---@return string? text, string? message if it has a function, NaN, more than 100 levels, or an array with other keys
function json.encode(value) end
---@param text string
---@return any value, string? message nil and what is wrong where: "expected a value at character 5"
function json.decode(text) end
---@param path string of a file of at most 4 MiB, relative to the policy; it is a file of the policy, see --watch
---@return any value, string? message
function json.read(path) end
--- Marks a table, or a new one, as an array, even while it is empty.
---@param list? table
---@return table list
function json.array(list) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.base64: RFC 4648. Decoding is strict: it refuses what encoding would never produce

---@class perilune.base64
local base64 = {}
---@param text string
---@return string
function base64.encode(text) end
---@param text string
---@return string? bytes, string? message
function base64.decode(text) end
--- With - and _ and without padding, as in tokens.
---@param text string
---@return string
function base64.encode_url(text) end
---@param text string
---@return string? bytes, string? message
function base64.decode_url(text) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.url: percent-encoding, queries and the parts of URLs

---@class perilune.url
local url = {}
--- Encodes everything but letters, digits and - . _ ~
---@param text string
---@return string
function url.encode(text) end
--- Decodes percent-encoding. A + stays a +.
---@param text string
---@return string? text, string? message if a % is not followed by two hexadecimal digits
function url.decode(text) end
--- The decoded fields of a query or a form: a table with the first value of each name, and a list of all { name, value }
--- in order. Malformed encoding stays as it is.
---@param text? string
---@return table<string, string> first, string[][] all
function url.parse_query(text) end
--- Builds a query. Names are in alphabetical order; an array repeats its name; true is an empty value.
---@param values table<string, string|number|true|(string|number)[]>
---@return string
function url.build_query(values) end

---@class perilune.url_parts
---@field scheme string lower case
---@field host string lower case; IPv6 without brackets
---@field port integer the scheme's port, if the URL has none
---@field path string "/" if the URL has none
---@field query? string
---@field target string path and query, as in a request line

---@param text string
---@return perilune.url_parts?, string? message if it is not an absolute URL
function url.parse(text) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.cookie: RFC 6265

---@class perilune.cookie
local cookie = {}
--- The cookies of a Cookie field by name; if a name is repeated, the first value. See also session:cookies().
---@param field? string
---@return table<string, string>
function cookie.parse(field) end

---@class perilune.cookie_options
---@field path? string
---@field domain? string
---@field max_age? perilune.duration seconds; 0 deletes it
---@field expires? integer seconds since 1970
---@field secure? boolean
---@field http_only? boolean
---@field same_site? "Strict"|"Lax"|"None"
---@field partitioned? boolean

--- Builds the value of a Set-Cookie field. Raises an error for characters that a cookie cannot contain.
---@param name string
---@param value string
---@param options? perilune.cookie_options
---@return string
function cookie.build(name, value, options) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.date: times as text. Times are seconds since 1970; the default is now

---@class perilune.date
local date = {}
---@param time? number
---@return string text "Sun, 06 Nov 1994 08:49:37 GMT"
function date.http(time) end
--- Also reads the two obsolete formats (RFC 9110 section 5.6.7).
---@param text string
---@return integer? time, string? message
function date.parse_http(text) end
---@param time? number
---@param digits? integer decimals of the seconds; 0
---@return string text "1994-11-06T08:49:37Z"
function date.iso8601(time, digits) end
---@param text string with a time zone: "Z", "+01:00"
---@return number? time, string? message
function date.parse_iso8601(text) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.cidr: sets of IP networks

---@class perilune.cidr
local cidr = {}
---@class perilune.networks
local networks = {}
--- Searching takes little time, even in a long list.
---@param list string|string[] "10.0.0.0/8", "2001:db8::/32", "192.0.2.7"
---@return perilune.networks
function cidr.new(list) end
---@param address string may have a port; "::ffff:10.0.0.1" is the same as 10.0.0.1; unix sockets are never inside
---@return boolean? inside, string? message nil if it is not an address
function networks:contains(address) end

--- ---------------------------------------------------------------------------------------------------------------
--- Default policies that protect: for request_filter and other hooks

---@class perilune.access_control
local access_control = {}
---@class perilune.access_control_options
---@field allow? string[] networks; without: everybody
---@field deny? string[] networks that are refused even if allow has them
---@field status? integer 403
---@field address? fun(session: perilune.session): string the address to check, instead of the connection's; if it is not
---an IP address, the request is refused
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"

--- require "perilune.access_control". For request_filter: returns true if it has refused the request. Clients of a unix
--- socket that the proxy listens on are allowed, unless a PROXY header names another client. Any other address that is
--- not an IP address is refused.
---@param options perilune.access_control_options
---@return fun(session: perilune.session): boolean
function access_control.new(options) end

---@class perilune.cors
local cors = {}
---@class perilune.cors_options
---@field origins string[] "https://app.example"; { "*" }: any, without credentials
---@field methods? string[] GET, HEAD, POST, PUT, PATCH, DELETE
---@field headers? string[] fields that requests may have; without: all that the preflight asks for
---@field expose? string[] response fields that scripts may read
---@field credentials? boolean false
---@field max_age? perilune.duration seconds that the answer to a preflight is valid; 600

--- require "perilune.cors". preflight is for request_filter, mark for answer_filter (or for response_filter, if the
--- proxy's error pages and the policy's own answers are not to have the fields).
---@param options perilune.cors_options
---@return { preflight: (fun(session: perilune.session): boolean), mark: fun(session: perilune.session, response: perilune.response) }
function cors.new(options) end

---@class perilune.maintenance
---@overload fun(session: perilune.session): boolean for request_filter: returns true if it has answered
local maintenance = {}
---@class perilune.maintenance_options
---@field name? string of the switch, which all workers share; "maintenance"
---@field page? string HTML; "Back soon."; or
---@field answer? perilune.refusal_answer what clients get instead of a page
---@field content_type? string of the page; "text/html; charset=utf-8"
---@field retry_after? perilune.duration seconds
---@field allow? string[] networks whose requests are served anyway

--- require "perilune.maintenance". The switch survives reloads. An upgrade (`perilune upgrade`) turns it off: turn it on
--- again in the new process
---@param options? perilune.maintenance_options
---@return perilune.maintenance
function maintenance.new(options) end
---@param on boolean
---@param seconds? perilune.duration after which it turns off by itself
function maintenance:turn(on, seconds) end
---@return boolean
function maintenance:is_on() end

--- ---------------------------------------------------------------------------------------------------------------
--- Default policies for routing, changes and logs

---@class perilune.router
local router = {}
---@class perilune.routes
local routes = {}
--- require "perilune.router". A path is exact, has parameters ("/users/:id"), or is a prefix ("/static/*", "*"); a method
--- may come before it. The most specific route is used: exact paths first, then those with the fewest parameters, then
--- the longest prefix; a route with a method before one without. A "*" is allowed only at the end, and "/users/*" does
--- not match "/users". Two routes for the same requests are an error, because one would never be used.
---
--- If no route matches, `routes:match` returns nil. With a route "*", some route always matches.
---
--- Parameters are decoded ("%20" is a space). `parameters.rest` is the text that "*" stands for, decoded as a whole: for
--- the route "/static/*" and the path "/static/a/b.css" it is "a/b.css".
---
--- ```lua
--- local routes = require("perilune.router").new {
---   ["GET /health"] = "health", ["/users/:id"] = "127.0.0.1:8001", ["*"] = "127.0.0.1:8000",
--- }
--- function policy.request_filter(session, ctx)
---   ctx.to, ctx.parameters = routes:match(session:method(), session:path())
---   if ctx.to == "health" then return session:respond { status = 200, body = "fine\n" } end
--- end
--- function policy.upstream_peer(_, ctx) return ctx.to end
--- ```
---@param routes table<string, any>
---@return perilune.routes
function router.new(routes) end
---@param method string
---@param path string
---@return any value, table<string, string>? parameters nothing (nil) if no route matches
function routes:match(method, path) end

---@class perilune.canary
local canary = {}
---@class perilune.canary_options
---@field percent number share of the clients without a cookie, or of the keys
---@field cookie? string name of the cookie: "1" is the new version, "0" the old one
---@field max_age? perilune.duration seconds that the cookie is valid; 86400
---@field key? fun(session: perilune.session): string? requests with the same key get the same version

--- require "perilune.canary"
---@param options perilune.canary_options
---@return perilune.canary
function canary.new(options) end
--- For upstream_peer: is this request for the new version? The same for all calls of an exchange.
---@param session perilune.session
---@param ctx table
---@return boolean
function canary:is_chosen(session, ctx) end
--- For response_filter: sets the cookie if the client has none.
---@param response perilune.response
---@param ctx table
function canary:remember(response, ctx) end

---@class perilune.header_rules
local header_rules = {}
---@class perilune.header_rule
---@field remove? string[]
---@field set? table<string, string|fun(session: perilune.session): string?>
---@field add? table<string, string|fun(session: perilune.session): string?>
---@field default? table<string, string|fun(session: perilune.session): string?> set only if the field is missing

--- require "perilune.header_rules". request is for upstream_request_filter, response for response_filter or
--- answer_filter.
---@param options { request: perilune.header_rule?, response: perilune.header_rule? }
---@return { request: function?, response: function? }
function header_rules.new(options) end

---@class perilune.body_replace
local body_replace = {}
--- require "perilune.body_replace": replaces texts in responses as they are streamed. install(policy) sets three hooks:
--- upstream_request_filter (request), response_filter (response) and response_body_filter (body). Hooks that the policy
--- has already are called first. What the policy's body filter returns is what texts are replaced in; of the others, a
--- result, such as false, ends the hook, so does an error. A hook that is assigned to one of these names after install
--- replaces both: assign first, or call request, response and body from it. A policy may have several such objects, and
--- installing one twice does nothing more. `types`: parts of the Content-Types whose bodies are searched; without it
--- "text/", "application/json", "application/javascript" and "+xml".
--- The end of a piece is held back if a text may begin there: at most one byte less than the longest text.
---@param options { texts: table<string, string>, types: string[]? }
---@return { request: function, response: function, body: function, install: fun(policy: perilune.hooks) }
function body_replace.new(options) end

---@class perilune.mirror
local mirror = {}
---@class perilune.mirror_options
---@field to string "https://host:port"
---@field percent? number share of the requests; 100
---@field max_body? integer bytes; requests with larger bodies, or of unknown length, are not mirrored; 65536
---@field at_once? integer most copies at the same time, in each worker; 100
---@field timeout? perilune.duration 5
---@field ca? string PEM file of the other server's authority

--- require "perilune.mirror". For request_filter: sends a copy of the request to another server, without waiting for its
--- response.
---@param options perilune.mirror_options
---@return fun(session: perilune.session)
function mirror.new(options) end

---@class perilune.request_id
local request_id = {}
--- require "perilune.request_id". `request` is for request_filter and sets ctx.request_id; `response` is for answer_filter
--- (or for response_filter, which sees only the responses of peers). If a client from a network of `trust` sends an id, it
--- is kept; others are replaced. A request that cannot be parsed does not reach request_filter: its answer gets an id from
--- `response`, which sets ctx.request_id, too. So session:set_log_field("request_id", ctx.request_id) in `logging` is on each line.
---@param options? { header: string?, trust: string[]? }
---@return { request: fun(session: perilune.session, ctx: table), response: fun(response: perilune.response, ctx: table) }
function request_id.new(options) end

---@class perilune.access_log
local access_log = {}
--- require "perilune.access_log": a hook for logging that writes a line of JSON for each request, with the same names as
--- the option access_log of perilune.listen. The option writes from a separate thread. This module writes from the
--- worker, which has to wait if nobody reads standard output: use it only for lines that the option cannot write.
---@param options? { fields: (fun(session: perilune.session, ctx: table, error: perilune.error?): table)?, write: fun(line: string)? }
---@return fun(session: perilune.session, error: perilune.error?, ctx: table)
function access_log.new(options) end
