-- SPDX-License-Identifier: Apache-2.0
-- gRPC, as LuaCATS annotations: see lua/perilune/types.lua.
---@meta

--- ---------------------------------------------------------------------------------------------------------------
--- gRPC: a request over HTTP/2 whose Content-Type is application/grpc or application/grpc+x. It passes like every other
--- request, through the same hooks; messages pass as they come, in both directions at once, and trailers behind them.
--- Three things are done for its client:
---
--- - grpc-timeout bounds the exchange, whatever it waits for. When the time is over, the client gets DEADLINE_EXCEEDED,
---   or a reset with CANCEL if the response has begun; no further attempt is made (the error is `deadline`).
--- - An error that does not come from a peer (the proxy's own, and answers of session:respond from 400 on, also those
---   of perilune.rate_limit and others) is sent as HTTP 200 with grpc-status and without a body. The code follows
---   gRPC's own table: 400 INTERNAL, 401 UNAUTHENTICATED, 403 PERMISSION_DENIED, 404 UNIMPLEMENTED, 429, 502, 503 and
---   504 UNAVAILABLE, others UNKNOWN. grpc-message is the answer's body, if that is plain text of at most 1024 bytes;
---   otherwise the reason. An answer that sets grpc-status itself stays as it is. Metrics and canaries count the HTTP
---   status; the access log has the 200 that was sent, the error and, if it is JSON, grpc_status (also that of a
---   server). A client of gRPC-Web (application/grpc-web, application/grpc-web-text), over any version of HTTP, gets
---   the same in the last frame of a body, which pages of browsers can read.
--- - Requests to peers say TE: trailers, without which servers of gRPC refuse them. If a server resets a call
---   after its response has begun, with CANCEL, ENHANCE_YOUR_CALM or INADEQUATE_SECURITY, the client's stream is reset
---   with the same code.
---
--- Peers need http2 = true, or alpn = "h2" with TLS. A silent call is ended by the usual timeouts (read_timeout of the
--- peer, body_timeout and min_receive_rate of the listener): set them for as long as calls may be silent. A server that
--- is UNAVAILABLE says so in a head alone: upstream_response_filter can raise error { status = 503 } for it, and
--- error_while_proxy set error.retry. [examples/grpc.lua](../examples/grpc.lua) does all of this.

---@class perilune.grpc_web
local grpc_web = {}
--- require "perilune.grpc_web": lets pages of browsers ask gRPC servers: requests of gRPC-Web (application/grpc-web and
--- application/grpc-web-text) become gRPC, and trailers become the last frame of the body. install(policy) sets five
--- hooks: upstream_request_filter (request), request_body_filter (request_body), response_filter (response),
--- response_body_filter (body) and response_trailer_filter (trailers). Hooks that the policy has already are called
--- first, as with perilune.body_replace: they see what the browser sends, and what the peer answers. A hook that is
--- assigned to one of these names after install replaces both. Installing twice does nothing more. Peers must be reached
--- over HTTP/2. A page of another origin also needs perilune.cors, with expose = { "grpc-status", "grpc-message" }.
---@return { request: function, request_body: function, response: function, body: function, trailers: function, install: fun(policy: perilune.hooks) }
function grpc_web.new() end
