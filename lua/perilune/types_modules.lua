-- SPDX-License-Identifier: Apache-2.0
-- The modules that policies are made from, as LuaCATS annotations: see lua/perilune/types.lua. Each is loaded by its own
-- name, or as perilune.json and so on when it is first used. They work in every hook. Only perilune.http and perilune.dns
-- wait.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.dns": in hooks and background work.
---
--- Each worker keeps the answers of name servers for their time to live (between 1 s and an hour), and the answer that a
--- name does not exist for as long as the server says (at most a minute). Equal questions at the same time are asked
--- once. All this holds for peers, perilune.http, perilune.tcp, health checks and this module.
---
--- - If all servers are silent, the last answer is used for ten more minutes. If a server does not answer within 0.4 s,
---   the next one is asked, and the silent one comes last for 30 s.
--- - If only IPv4 addresses arrive, they are used after 50 ms without waiting for IPv6 (RFC 8305), and vice versa.
--- - With several addresses, the next one is tried after 250 ms, or at once if one fails. An address that failed comes
---   last for a minute; the others take turns.
--- - resolv.conf and the hosts file are read again when they change. With other servers, nothing that was kept is used.

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
--- require "perilune.http": a client for hooks and background work. Connections are pooled; a redirect is a response like
--- any other. Responses are parsed as strictly as those of peers
---
--- ```lua
--- function policy.request_filter(session)
---   local body = perilune.json.encode { method = session:method(), path = session:path() }
---   local answer, why = perilune.http.post("http://127.0.0.1:8001/may", body, { timeout = 0.5 })
---   if not answer then perilune.log.error(why) end
---   if not answer or answer.status ~= 200 then return session:respond { status = answer and 403 or 503 } end
--- end
--- ```

---@class perilune.http
local http = {}

---@class perilune.http_options
---@field method? string of http.request; "GET"
---@field url string of http.request: "https://host:port/path"
---@field headers? table<string, string|number|(string|number)[]>
---@field body? string|string[]|fun(): string? a function gives one piece at a time, then nil; its body is sent in chunks
---@field stream? boolean the body is left to response:read
---@field limit? integer bytes of a body that is not streamed; 1048576
---@field address? string where to connect instead: "unix:/path", "1.2.3.4:80"
---@field keep? boolean the connection goes into the pool; true
---@field idle_timeout? number seconds that it stays there; 55
---@field pool_size? integer most connections of one kind in the pool; 32
---@field timeout? number seconds for TCP, for TLS, for a send and for a receive, each; 5
---@field connect_timeout? number
---@field send_timeout? number
---@field receive_timeout? number
---@field pool? string
---@field sni? string
---@field verify? boolean
---@field verify_name? string
---@field ca? string
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6" of a name's addresses; "any"
---@field lenient? perilune.lenient as of a peer, without no_close_notify

---@param options perilune.http_options
---@return perilune.http_response?, string? message
function http.request(options) end
---@param url string
---@param options? perilune.http_options
---@return perilune.http_response?, string? message
function http.get(url, options) end
---@param url string
---@param body string|string[]|fun(): string?
---@param options? perilune.http_options
---@return perilune.http_response?, string? message
function http.post(url, body, options) end

---@class perilune.http_response
---@field status integer
---@field reason string
---@field headers table<string, string> in any spelling; several values are joined by a comma
---@field fields string[] name, value, name, value, ... as they came
---@field body? string unless it is streamed
local http_response = {}
---@param name string
---@return string[] values
function http_response:get_headers(name) end
--- The next piece of a streamed body; nil at its end.
---@return string? piece, string? message where it broke off
function http_response:read() end
---@param limit? integer
---@return string? body, string? message, string? partial
function http_response:read_all(limit) end
--- Ends a response that is not read to its end.
function http_response:close() end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.json: JSON (RFC 8259). What is decoded and not touched is encoded as it was
---
--- | value | what becomes of it |
--- |---|---|
--- | whole numbers up to 2^53 | exact, in digits |
--- | other numbers | the shortest text that reads back as the same number; `-0` stays `-0` |
--- | whole numbers beyond 2^53 | the nearest number that Lua has (1e20); keep them as strings where each digit counts |
--- | NaN, infinity; 1e999 | cannot be encoded; cannot be decoded |
--- | `[]` | an empty table that encode writes as `[]` again, as it does every array that decode gave |
--- | an empty table of yours | `{}`; `[]` with json.array() or json.empty_array |
--- | `null` | json.null |
--- | strings | any bytes, NUL included; those that are no UTF-8 pass as they are. Half of a surrogate pair cannot be decoded |
---
--- ```lua
--- function policy.request_filter(session)
---   local order = perilune.json.decode(session:read_body())    -- {"id":1234567890123456,"notes":[]}
---   if type(order) ~= "table" then return end
---   order.lines = perilune.json.array()                        -- [] as long as nothing is in it
---   session:set_body(perilune.json.encode(order))
--- end
--- ```

---@class perilune.json
---@field null userdata null as decode gives it; compare with it, since it is not false
---@field empty_array userdata what encode writes as []; for constants. It is no table
local json = {}
--- Tables whose keys are 1, 2, ... become arrays, with null for a few holes. Others become objects; a key that is a
--- number becomes its text. An empty table is an object, unless json.array marked it or decode gave it as an array.
---@param value any
---@return string? text, string? message for a function, NaN, more than 100 levels, an array with other keys
function json.encode(value) end
---@param text string
---@return any value, string? message nil and what is wrong where: "expected a value at character 5"
function json.decode(text) end
--- Marks a table, or a new one, as an array, even while it is empty.
---@param list? table
---@return table list
function json.array(list) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.base64: RFC 4648. Decoding is strict: what encoding would never give is refused

---@class perilune.base64
local base64 = {}
---@param text string
---@return string
function base64.encode(text) end
---@param text string
---@return string? bytes, string? message
function base64.decode(text) end
--- With - and _, without padding, as tokens have it.
---@param text string
---@return string
function base64.encode_url(text) end
---@param text string
---@return string? bytes, string? message
function base64.decode_url(text) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.crypto: digests are bytes; crypto.hex shows them

---@class perilune.crypto
local crypto = {}
---@param text string
---@return string bytes 16
function crypto.md5(text) end
---@param text string
---@return string bytes 20
function crypto.sha1(text) end
---@param text string
---@return string bytes 32
function crypto.sha256(text) end
---@param text string
---@return string bytes 48
function crypto.sha384(text) end
---@param text string
---@return string bytes 64
function crypto.sha512(text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha1(key, text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha256(key, text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha384(key, text) end
---@param key string
---@param text string
---@return string bytes
function crypto.hmac_sha512(key, text) end
--- Takes as long wherever two strings differ, so that no secret can be guessed byte by byte.
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end
--- Bytes fit for keys.
---@param count integer up to 1048576
---@return string
function crypto.random(count) end
---@param bytes string
---@return string text in lower case
function crypto.hex(bytes) end
---@param text string
---@return string? bytes, string? message
function crypto.from_hex(text) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.url: percent-encoding, queries and the parts of URLs

---@class perilune.url
local url = {}
--- Encodes everything but letters, digits and - . _ ~
---@param text string
---@return string
function url.encode(text) end
--- + stays +.
---@param text string
---@return string? text, string? message where a % has no two digits behind it
function url.decode(text) end
--- Fields of a query or a form, decoded: a table with the first value of each name, and all { name, value } in order.
--- Broken encoding stays as it is.
---@param text? string
---@return table<string, string> first, string[][] all
function url.parse_query(text) end
--- Names in order of the alphabet; arrays repeat their name; true is an empty value.
---@param values table<string, string|number|true|(string|number)[]>
---@return string
function url.build_query(values) end

---@class perilune.url_parts
---@field scheme string lower case
---@field host string lower case; IPv6 without brackets
---@field port integer that of the scheme, where it says none
---@field path string "/" where it has none
---@field query? string
---@field target string path and query: what a request line has

---@param text string
---@return perilune.url_parts?, string? message where it is no absolute URL
function url.parse(text) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.cookie: RFC 6265

---@class perilune.cookie
local cookie = {}
--- The cookies of a Cookie field by name; of several with one name the first. See also session:cookies().
---@param field? string
---@return table<string, string>
function cookie.parse(field) end

---@class perilune.cookie_options
---@field path? string
---@field domain? string
---@field max_age? integer seconds; 0 deletes it
---@field expires? integer seconds since 1970
---@field secure? boolean
---@field http_only? boolean
---@field same_site? "Strict"|"Lax"|"None"
---@field partitioned? boolean

--- The value of a Set-Cookie field. Raises for characters that no cookie can have.
---@param name string
---@param value string
---@param options? perilune.cookie_options
---@return string
function cookie.build(name, value, options) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.date: times as text. Times are seconds since 1970; without one it is now

---@class perilune.date
local date = {}
---@param time? number
---@return string text "Sun, 06 Nov 1994 08:49:37 GMT"
function date.http(time) end
--- Also of the two old forms (RFC 9110 section 5.6.7).
---@param text string
---@return integer? time, string? message
function date.parse_http(text) end
---@param time? number
---@param digits? integer of a second; 0
---@return string text "1994-11-06T08:49:37Z"
function date.iso8601(time, digits) end
---@param text string with its zone: "Z", "+01:00"
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
---@param address string also with a port; "::ffff:10.0.0.1" is 10.0.0.1; unix sockets are outside
---@return boolean? inside, string? message nil where it is no address
function networks:contains(address) end

--- ---------------------------------------------------------------------------------------------------------------
--- perilune.regex: regular expressions of PCRE2. Patterns are compiled once, to machine code where that is possible. A
--- search ends after a bounded number of steps, with nil and "match limit exceeded". A wrong pattern raises. Flags are
--- letters: i caseless, m lines, s dot takes all, x free form, u UTF-8, a anchored
---
--- ```lua
--- local user_path = perilune.regex.new([[^/users/(?<id>\d+)$]])
--- function policy.upstream_request_filter(session, request)
---   local found = user_path:match(session:path())
---   if found then request:set_header("X-User", found.id) end
--- end
--- ```

---@class perilune.regex
local regex = {}
---@class perilune.captures
---@field [integer] string 0: the whole, then the groups; named groups are fields too

--- [0] is the whole, [1] ... are groups, named groups by name.
---@param subject string
---@param pattern string
---@param flags? string
---@return perilune.captures? captures, integer|string|nil from_or_message, integer? to
function regex.match(subject, pattern, flags) end
---@param subject string
---@param pattern string
---@param flags? string
---@return boolean? found, string? message
function regex.test(subject, pattern, flags) end
---@param subject string
---@param pattern string
---@param flags? string
---@return integer? from, integer|string|nil to_or_message
function regex.find(subject, pattern, flags) end
--- for captures in regex.gmatch(subject, pattern) do ... end. Raises where the search gives up.
---@param subject string
---@param pattern string
---@param flags? string
---@return fun(): perilune.captures?
function regex.gmatch(subject, pattern, flags) end
--- In a text $1, ${name} and $0 stand for captures, $$ for a dollar; a function gets the captures, nil changes nothing.
---@param subject string
---@param pattern string
---@param replacement string|fun(captures: perilune.captures): string?
---@param flags? string
---@param limit? integer replacements at most
---@return string? text, integer|string count_or_message
function regex.gsub(subject, pattern, replacement, flags, limit) end
--- The pattern that matches just this text.
---@param text string
---@return string pattern
function regex.escape(text) end
--- A compiled pattern, with match, test and find (each with a subject and where to begin).
---@param pattern string
---@param flags? string
---@return perilune.pattern
function regex.new(pattern, flags) end

---@class perilune.pattern
local pattern = {}
---@param subject string
---@param init? integer 1
---@return perilune.captures? captures, integer|string|nil from_or_message, integer? to
function pattern:match(subject, init) end
---@param subject string
---@param init? integer 1
---@return boolean? found, string? message
function pattern:test(subject, init) end
---@param subject string
---@param init? integer 1
---@return integer? from, integer|string|nil to_or_message
function pattern:find(subject, init) end

--- ---------------------------------------------------------------------------------------------------------------
--- Default policies that guard: for request_filter and other hooks

---@class perilune.access_control
local access_control = {}
---@class perilune.access_control_options
---@field allow? string[] networks; without: everybody
---@field deny? string[] networks; wins over allow
---@field status? integer 403
---@field address? fun(session: perilune.session): string instead of the connection's; what is no IP address is refused

--- require "perilune.access_control". For request_filter: true says that it has refused the request. A client of
--- a unix socket that the proxy listens on is let in, unless a PROXY header speaks for somebody else. Any other address
--- that is no IP address is refused.
---@param options perilune.access_control_options
---@return fun(session: perilune.session): boolean
function access_control.new(options) end

---@class perilune.basic_auth
local basic_auth = {}
--- require "perilune.basic_auth". For request_filter: true says that it has asked for credentials (401); else ctx.user
--- is who it is. Passwords, or "sha256:" and their digest in hexadecimal; compared in constant time.
---@param options { users: table<string, string>, realm: string? }
---@return fun(session: perilune.session, ctx?: table): boolean
function basic_auth.new(options) end

---@class perilune.token_auth
local token_auth = {}
---@class perilune.token_auth_options
---@field secret string
---@field issuer? string the claim iss must be this
---@field audience? string aud must be this, or have it
---@field leeway? integer seconds that clocks may differ; 0

--- require "perilune.token_auth": signed tokens (JWT, HS256). For request_filter: true says that it has refused the
--- request (401); else ctx.claims is what the token says.
---@param options perilune.token_auth_options
---@return fun(session: perilune.session, ctx?: table): boolean
function token_auth.new(options) end
---@param token string
---@param options perilune.token_auth_options
---@return table? claims, string? message
function token_auth.verify(token, options) end
---@param claims table
---@param secret string
---@return string token
function token_auth.sign(claims, secret) end

---@class perilune.cors
local cors = {}
---@class perilune.cors_options
---@field origins string[] "https://app.example"; { "*" }: any, without credentials
---@field methods? string[] GET, HEAD, POST, PUT, PATCH, DELETE
---@field headers? string[] that requests may have; without: those that are asked for
---@field expose? string[] that scripts may read
---@field credentials? boolean false
---@field max_age? integer seconds that a preflight's answer holds; 600

--- require "perilune.cors". preflight is for request_filter, mark for answer_filter (or for response_filter, if the
--- proxy's error pages and the policy's own answers are not to have the fields).
---@param options perilune.cors_options
---@return { preflight: (fun(session: perilune.session): boolean), mark: fun(session: perilune.session, response: perilune.response) }
function cors.new(options) end

---@class perilune.maintenance
---@overload fun(session: perilune.session): boolean for request_filter: true says that it has answered
local maintenance = {}
---@class perilune.maintenance_options
---@field name? string of the switch, which all workers share; "maintenance"
---@field page? string
---@field content_type? string "text/html; charset=utf-8"
---@field retry_after? integer seconds
---@field allow? string[] networks whose requests pass all the same

--- require "perilune.maintenance". The switch is kept over reloads; an upgrade (`perilune upgrade`) turns it off: turn it
--- on again in the successor
---@param options? perilune.maintenance_options
---@return perilune.maintenance
function maintenance.new(options) end
---@param on boolean
---@param seconds? number then it ends by itself
function maintenance:turn(on, seconds) end
---@return boolean
function maintenance:is_on() end

--- ---------------------------------------------------------------------------------------------------------------
--- Default policies that steer: where requests go, what changes, what is logged

---@class perilune.router
local router = {}
---@class perilune.routes
local routes = {}
--- require "perilune.router". Paths are exact, with parameters ("/users/:id"), or beginnings ("/static/*", "*"); a
--- method may stand before. The most exact one wins: exact paths first, then those with the fewest parameters, then the
--- longest beginning; one with a method before one without. A "*" stands at the end only, and "/users/*" does not match
--- "/users". Two routes for the same requests raise, since one would never be reached.
---
--- Parameters are decoded ("%20" is a space). `parameters.rest` is what a "*" stood for, decoded as a whole: of
--- "/static/*" it is "a/b.css" for "/static/a/b.css".
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
---@return any value, table<string, string>? parameters nil where nothing belongs to the path
function routes:match(method, path) end

---@class perilune.canary
local canary = {}
---@class perilune.canary_options
---@field percent number of the clients that have no cookie, or of the keys
---@field cookie? string its name: "1" is the new version, "0" the old one
---@field max_age? integer seconds that it lives; 86400
---@field key? fun(session: perilune.session): string? the same key, the same choice

--- require "perilune.canary"
---@param options perilune.canary_options
---@return perilune.canary
function canary.new(options) end
--- For upstream_peer: is this request for the new version? The same for all calls of an exchange.
---@param session perilune.session
---@param ctx table
---@return boolean
function canary:is_chosen(session, ctx) end
--- For response_filter: gives the client its cookie, where it has none.
---@param response perilune.response
---@param ctx table
function canary:remember(response, ctx) end

---@class perilune.header_rules
local header_rules = {}
---@class perilune.header_rule
---@field remove? string[]
---@field set? table<string, string|fun(session: perilune.session): string?>
---@field add? table<string, string|fun(session: perilune.session): string?>
---@field default? table<string, string|fun(session: perilune.session): string?> only what is missing

--- require "perilune.header_rules". request is for upstream_request_filter, response for response_filter or
--- answer_filter.
---@param options { request: perilune.header_rule?, response: perilune.header_rule? }
---@return { request: function?, response: function? }
function header_rules.new(options) end

---@class perilune.body_replace
local body_replace = {}
--- require "perilune.body_replace": replaces texts in responses that stream by. install(policy) sets three hooks.
--- Of each piece only the end is held back, if it may be the beginning of a text: at most one byte less than the
--- longest text.
---@param options { texts: table<string, string>, types: string[]? }
---@return { request: function, response: function, body: function, install: fun(policy: perilune.hooks) }
function body_replace.new(options) end

---@class perilune.mirror
local mirror = {}
---@class perilune.mirror_options
---@field to string "https://host:port"
---@field percent? number of the requests; 100
---@field max_body? integer bytes; requests with larger bodies, or of unknown length, are not mirrored; 65536
---@field at_once? integer in each worker; 100
---@field timeout? number 5
---@field ca? string PEM file of the other server's authority

--- require "perilune.mirror": for request_filter: sends a copy to another server, whose response nobody waits for.
---@param options perilune.mirror_options
---@return fun(session: perilune.session)
function mirror.new(options) end

---@class perilune.request_id
local request_id = {}
--- require "perilune.request_id". request is for request_filter and sets ctx.request_id, response for answer_filter (or
--- response_filter, which sees only what peers answer).
--- An id that a client from a network of `trust` sends is kept; others are replaced. A request that cannot be parsed
--- reaches no request_filter, so it gets no id.
---@param options? { header: string?, trust: string[]? }
---@return { request: fun(session: perilune.session, ctx: table), response: fun(response: perilune.response, ctx: table) }
function request_id.new(options) end

---@class perilune.access_log
local access_log = {}
--- require "perilune.access_log": a hook for logging that writes a line of JSON for each request, with the names that
--- the option access_log of perilune.listen uses. The option writes from a thread of its own. This module writes from
--- the worker, which waits while nobody reads standard output: use it for lines that the option cannot write.
---@param options? { fields: (fun(session: perilune.session, ctx: table, error: perilune.error?): table)?, write: fun(line: string)? }
---@return fun(session: perilune.session, error: perilune.error?, ctx: table)
function access_log.new(options) end
