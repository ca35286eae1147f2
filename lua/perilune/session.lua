-- SPDX-License-Identifier: Apache-2.0
-- perilune.session: methods of sessions in Lua, which use others: queries and cookies. Loaded with perilune.

local core = require "perilune.core"
local cookie = require "perilune.cookie"
local trace = require "perilune.trace"
local url = require "perilune.url"

local session = core.session_methods()
local query, get_headers = session.query, session.get_headers -- C: they say what else than a session they got

--- Fields of the query: a table with the first value of each name, and all { name, value } in order.
function session:query_args() return url.parse_query(query(self)) end

--- The first value of a field of the query; nil where there is none.
function session:query_arg(name) return (url.parse_query(query(self)))[name] end

-- A client may send several Cookie fields (RFC 9113 section 8.2.3).
local function cookie_text(self) return table.concat(get_headers(self, "cookie"), "; ") end

--- The client's cookies by name.
function session:cookies() return cookie.parse(cookie_text(self)) end

--- The value of one; nil where there is none.
function session:cookie(name) return cookie.parse(cookie_text(self))[name] end

--- The trace that the request belongs to; its methods are in lua/perilune/trace.lua.
function session:trace() return trace.of(self) end

return session
