-- SPDX-License-Identifier: Apache-2.0
-- Streamed answers, as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- Streamed answers: a hook begins its answer with session:start_response, writes it piece by piece with session:send, and
--- the answer ends when the hook does: server-sent events, or more than should be in memory at once.
---
--- ```lua
--- function policy.request_filter(session)
---   session:start_response { status = 200, headers = { ["Content-Type"] = "text/event-stream" } }
---   for left = 3, 1, -1 do
---     if not session:send(("data: %d\n\n"):format(left)) then break end -- the client has left
---     perilune.sleep(0.2)
---   end
--- end
--- ```
---
--- start_response returns once answer_filter has seen the head, and the head is on its way. From then on the hook runs beside the
--- rest of the request: only answer_filter and logging follow, and logging comes when the hook has ended. Whatever the
--- hook returns is not looked at. An error in it is logged, and ends the answer short. `hook_time` counts each stretch
--- between two waits, as everywhere.
---
--- The length is not known: the answer is chunked in HTTP/1.1, and ends with the connection in HTTP/1.0. Each piece is
--- sent at once, also compressed (`compress`). For a HEAD request the head is all, and the hook ends here.
---
--- When the client leaves, a hook that waits in session:send or session:flush sees that as nil and "closed"; it may run
--- on until it next waits, and is ended there. A hook that waits for anything else is ended at once. What must be done at
--- the end in any case belongs in logging. A client that stays but does not read ends by `send_timeout`. With
--- `abort_on_close = "never"`, a client that half-closes stays until a write fails.
---
--- A reload leaves it alone; a stop ends it after `grace`.

---@class perilune.session
local session = {}
--- Begins such an answer. In the hooks before a response that may call session:respond, those of the cache excepted, until
--- the response has begun.
---@param answer perilune.answer without `body`, and not 204 or 304
---@return true?, string? message "closed": the client has left
function session:start_response(answer) end
--- Writes a piece of the answer that this hook has begun by session:start_response. It waits while the client is behind:
--- 64 KiB at most are kept, beside what the kernel holds. So a loop may write as much as it likes.
---@param piece string|number|(string|number)[] an array is sent as one piece
---@return true?, string? message "closed": the client has left; what is sent then is dropped
function session:send(piece) end
--- Waits until all that was sent has been taken by the client's connection.
---@return true?, string? message "closed"
function session:flush() end
--- Ends the answer, while the hook goes on with something else. The next request of this connection of HTTP/1.1 is read
--- when the hook has ended.
---@return true?, string? message "closed"
function session:finish() end

--- In tests: a walk writes such an answer to its end, or until the client leaves (`leaves_after` of the request). Of hooks
--- that are called one by one it is written from the first call of stream on, as the clock is advanced.
---@class perilune.test.exchange
local exchange = {}
--- What there is of it so far; nil if there is no such answer. `failure` is the kind of what ended it short.
---@return { body: string, ended: boolean, failure: string? }?
function exchange:stream() end
--- Its client leaves.
function exchange:leave() end
