-- SPDX-License-Identifier: Apache-2.0
-- perilune.rate_limit as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- require "perilune.rate_limit"
---
--- Counts are exact. All workers share a table with room for about `keys` keys. Nobody within the limit is refused, however
--- many keys there are. If there are more keys than room, some counts are forgotten, so that some clients may send more.
---
--- - Keys share places: sixteen keys a place for new, eight for sliding and bucket. If a place is full, new forgets the
---   key with the lowest count, sliding and bucket the key that has used the least of its limit. So a flood of random keys
---   mostly pushes out its own: to have a count of n forgotten takes about n * keys requests in a window.
--- - concurrency never forgets: a request for which it has no room passes without being counted.
--- - Memory is 32 bytes a key for new, 24 for sliding and bucket, 48 for concurrency, 144 for cluster, rounded up to a
---   power of two. It is used as keys arrive. perilune status and the metrics perilune_limit_* show it, and how often there was no room.
--- - A reload that changes the rules (for `new`: interval or keys) starts the limit with empty counts.
---
--- ```lua
--- local limit = require("perilune.rate_limit").sliding { by = "address", max = 100, interval = 60, name = "all" }
--- function policy.request_filter(session, ctx) return limit(session, ctx) end
--- function policy.response_filter(session, response, ctx) limit:tell(response, ctx) end
--- ```

---@class perilune.rate_limit
local rate_limit = {}

---@class perilune.rate_limit_options
---@field header? string the field whose value is the key, or
---@field by? "address"|"path"|"host" for IPv6, the network of 64 bits; or
---@field key? fun(session: perilune.session, ctx?: table): string? the key; nil: not limited. `ctx` is what the limit
--- was called with, for keys such as ctx.claims.sub
---@field max integer requests per interval and key
---@field interval? perilune.duration 1
---@field name? string a reload finds the counts by it; also the name in RateLimit-Policy
---@field fields? "x"|"draft"|"both"|"none" X-Rate-Limit-*, or RateLimit and RateLimit-Policy of the IETF's draft; "x"
---@field close? boolean close the connection of a client that is refused; true
---@field answer? perilune.refusal_answer what a client gets who is refused; "text"
---@field keys? integer room for about this many keys; 1 to 67108864, within half of the machine's memory; 65536

---@class perilune.bucket_options: perilune.rate_limit_options
---@field burst? integer how many may come at once; max

---@class perilune.cluster_options: perilune.bucket_options
---@field store perilune.redis.client where the proxies meet; see perilune.redis
---@field mode? "report"|"exact" report: each proxy decides at once, and reports ten times a second; exact: the store is asked
--- for each request, which waits for that; "report"
---@field on_error? "local"|"open"|"closed" while the store does not answer. local: each proxy lets an equal part of the
--- limit pass; open: all requests pass; closed: requests get 503; "local"
---@field shadow? boolean let everything pass, and only count what would be refused; false

--- Call it in request_filter with the session (and the ctx). It counts the request. If that is one too many, it answers 429
--- and returns true.
---@class perilune.limit
---@overload fun(session: perilune.session, ctx?: table): boolean
local limit = {}
--- For response_filter or answer_filter: tells a client how many requests it has left. The limit must have been called with
--- the same ctx in request_filter.
---@param response perilune.response
---@param ctx table
function limit:tell(response, ctx) end

--- Fixed windows. A window begins with the first request after the end of the last one.
---@param options perilune.rate_limit_options
---@return perilune.limit
function rate_limit.new(options) end

--- A sliding window of that length: the last window counts in part. Refused requests are not counted.
---@param options perilune.rate_limit_options
---@return perilune.limit
function rate_limit.sliding(options) end

--- Spreads requests evenly: one in each interval / max, and a burst of some at once (GCRA).
---@param options perilune.bucket_options
---@return perilune.limit
function rate_limit.bucket(options) end

--- The same as bucket, for all proxies together that have a limit of this name, with the same numbers, and the same store.
--- Give it a name. docs/fleet.md describes both modes, what happens if the store is slow or away, and the metrics.
---
--- ```lua
--- local store = require("perilune.redis").new "127.0.0.1:6379"
--- local limit = require("perilune.rate_limit").cluster { store = store, name = "api", by = "address", max = 1000 }
--- function policy.request_filter(session, ctx) return limit(session, ctx) end
--- ```
---@param options perilune.cluster_options
---@return perilune.limit
function rate_limit.cluster(options) end

--- Limits how many requests are served at the same time. No interval; `name` is required.
---@param options perilune.rate_limit_options
---@return perilune.limit
function rate_limit.concurrency(options) end
