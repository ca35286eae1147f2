-- SPDX-License-Identifier: Apache-2.0
-- perilune.http as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.http": a client of HTTP/1.1 and HTTP/2 for hooks and background work. Connections are pooled, and
--- have one request at a time. A redirect is a response like any other. Responses are parsed as strictly as those of peers
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
---@field body? string|string[]|fun(): string? a function returns one piece at a time, then nil; such a body is sent chunked
---@field stream? boolean read the body with response:read, instead of waiting for all of it
---@field limit? integer most bytes of a body that is not streamed; 1048576
---@field address? string connect to this address instead of the URL's: "unix:/path", "1.2.3.4:80"
---@field keep? boolean return the connection to the pool afterwards; true
---@field idle_timeout? perilune.duration seconds that it stays there; 55
---@field pool_size? integer most connections to one server in the pool; 32
---@field timeout? perilune.duration seconds for TCP, for TLS, for a send and for a receive, each; 5
---@field connect_timeout? perilune.duration
---@field send_timeout? perilune.duration
---@field receive_timeout? perilune.duration
---@field pool? string
---@field sni? string
---@field verify? boolean
---@field verify_name? string
---@field ca? string
---@field certificate? string PEM file: who we are, for servers that ask; with `key`. Files of `certificate`, `key` and
--- `ca` that change are read again within two seconds, for new connections
---@field key? string PEM file
---@field token_file? string a file whose token is sent as `Authorization: Bearer`; read again, at most once a second
---@field holder? table gets a function `cancel`, by which another task ends the request, also while it waits
---@field family? "any"|"prefer_ipv4"|"ipv4"|"ipv6"
---@field lenient? perilune.lenient as of a peer, without no_close_notify
---@field alpn? "http/1.1"|"h2"|"h2,http/1.1" of https://: the protocol; with both, the server chooses; "http/1.1"
---@field http2? boolean of http://: speak HTTP/2, by prior knowledge (RFC 9113 3.3); false

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
---@field trailers? string[] of HTTP/2, once the body is read to its end: name, value, ...
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
