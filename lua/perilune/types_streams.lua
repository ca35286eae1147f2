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
--- Without a `length` the answer is chunked in HTTP/1.1, and ends with the connection in HTTP/1.0. With one, the client
--- sees it as Content-Length: a piece beyond it raises an error and is not sent, and an answer that ends before it ends
--- short, with a line in the log. Each piece is sent at once, also compressed (`compress`). For a HEAD request the head is
--- all, and the hook ends here.
---
--- Tasks may write, too: those that the hook has spawned, background work, and hooks of other requests that have been
--- given the session. Their pieces stay whole, and come in the order in which session:send was called. The answer
--- ends with the hook that began it, or goes on behind it where that says session:leave_open:
---
--- ```lua
--- local readers = {}
---
--- function policy.request_filter(session)
---   if session:path() == "/publish" then
---     for reader in pairs(readers) do
---       perilune.after(0, function() -- each at its own client's pace
---         if not reader:send "data: news\n\n" then readers[reader] = nil end
---       end)
---     end
---     return session:respond { status = 204 }
---   end
---   session:start_response { status = 200, headers = { ["Content-Type"] = "text/event-stream" } }
---   readers[session] = true
---   session:leave_open(300) -- it ends short where nothing is sent for so long
--- end
--- ```
---
--- The sessions of a worker are known to that worker alone: to reach all clients, let each worker listen to a channel of
--- Redis, or read a perilune.dict from time to time.
---
--- When the client leaves, a hook that waits in session:send or session:flush sees that as nil and "closed"; it may run
--- on until it next waits, and is ended there. A hook that waits for anything else is ended at once. What must be done at
--- the end in any case belongs in logging. A client that stays but does not read ends by `send_timeout`. With
--- `abort_on_close = "never"`, a client that half-closes stays until a write fails.
---
--- A reload leaves it alone; a stop ends it after `grace`.

---@class perilune.streamed_answer: perilune.answer
---@field length? integer how many bytes will be sent

---@class perilune.session
local session = {}
--- Begins such an answer. In the hooks before a response that may call session:respond, those of the cache excepted, until
--- the response has begun.
---@param answer perilune.streamed_answer without `body`, and not 204 or 304
---@return true?, string? message "closed": the client has left
function session:start_response(answer) end
--- Writes a piece of an answer that was begun by session:start_response. It waits while the client is behind: 64 KiB at
--- most are kept, beside what the kernel holds. So a loop may write as much as it likes. Elsewhere than in the hook that
--- has begun it, the answer of a session that is over is "closed", too. A task that is stopped while it waits here leaves
--- its piece whole or unsent; where the answer has a length, one that is unsent ends it short.
---@param piece string|number|(string|number)[] an array is sent as one piece
---@return true?, string? message "closed": the client has left, or the answer is over; what is sent then is dropped
function session:send(piece) end
--- Waits until all that was sent has been taken by the client's connection.
---@return true?, string? message "closed"
function session:flush() end
--- Ends the answer, while the hook goes on with something else. The next request of this connection of HTTP/1.1 is read
--- when the hook has ended. Trailers are sent behind chunks of HTTP/1.1 and over HTTP/2; a message of HTTP/1.0, or one
--- of HTTP/1.1 with a length, has no place for them. Raises where bytes of the length are missing.
---@param trailers table<string, string|number|(string|number)[]>?
---@return true?, string? message "closed"
function session:finish(trailers) end
--- The answer does not end with the hook that has begun it: somebody else writes on, and calls session:finish. It ends
--- short, with a line in the log, where nothing is sent for so long; and where the hook fails.
---@param seconds number? without a piece (60; at most 86400)
---@return true?, string? message "closed"
function session:leave_open(seconds) end

--- In tests: a walk writes such an answer to its end, or until the client leaves (`leaves_after` of the request). Of hooks
--- that are called one by one it is written from the first call of stream on, as the clock is advanced.
---@class perilune.test.exchange
local exchange = {}
--- What there is of it so far; nil if there is no such answer. `failure` is the kind of what ended it short.
---@return { body: string, ended: boolean, failure: string? }?
function exchange:stream() end
--- Its client leaves.
function exchange:leave() end
