// SPDX-License-Identifier: Apache-2.0
// error: the one table of everything that can go wrong with an exchange. Statuses, log lines, metrics and the
// strings that Lua sees all come from it.
//
// Side:  DOWNSTREAM the client's fault, UPSTREAM the peer's, INTERNAL ours, the machine's or the policy's. Only faults
//        of the peer count against a backend, and only retries after them use the retry budget.
// Retry: NEVER; ALWAYS (nothing of the request can have been handled); REUSED (only on a pooled connection
// that the
//        peer may have closed meanwhile, and only for idempotent methods or when nothing was sent).
// To add one: a line here. The order is free; ERROR_NONE stays first.
#ifndef PERILUNE_BASE_ERROR_H
#define PERILUNE_BASE_ERROR_H

/* X(ID, name, side, status, retry, text); status 0: no answer is possible or wanted. */
#define ERROR_TABLE(X)                                                                                       \
  X(NONE, "none", INTERNAL, 0, NEVER, "no error")                                                            \
  X(BAD_REQUEST, "bad_request", DOWNSTREAM, 400, NEVER, "malformed request head")                            \
  X(BAD_HOST, "bad_host", DOWNSTREAM, 400, NEVER, "missing, repeated or invalid Host")                       \
  X(BAD_FRAMING, "bad_framing", DOWNSTREAM, 400, NEVER, "the end of the request body is in doubt")           \
  X(BAD_CHUNK, "bad_chunk", DOWNSTREAM, 400, NEVER, "malformed chunked request body")                        \
  X(REQUEST_TRUNCATED, "request_truncated", DOWNSTREAM, 400, NEVER, "the client ended in mid-request")       \
  X(REQUEST_TIMEOUT, "request_timeout", DOWNSTREAM, 408, NEVER, "the request head took too long")            \
  X(BODY_TIMEOUT, "body_timeout", DOWNSTREAM, 408, NEVER, "the request body stalled")                        \
  X(BODY_TOO_LARGE, "body_too_large", DOWNSTREAM, 413, NEVER, "the request body is larger than allowed")     \
  X(REQUEST_CODING, "request_coding", DOWNSTREAM, 400, NEVER,                                                \
    "the request body is not what its coding says")                                                          \
  X(TARGET_TOO_LONG, "target_too_long", DOWNSTREAM, 414, NEVER, "the request target is longer than allowed") \
  X(HEAD_TOO_LARGE, "head_too_large", DOWNSTREAM, 431, NEVER, "the request head is larger than allowed")     \
  X(METHOD_NOT_ALLOWED, "method_not_allowed", DOWNSTREAM, 405, NEVER, "this method is not proxied")          \
  X(METHOD_TOO_LONG, "method_too_long", DOWNSTREAM, 501, NEVER, "the method is longer than any known")       \
  X(EXPECTATION_FAILED, "expectation_failed", DOWNSTREAM, 417, NEVER, "unknown expectation")                 \
  X(CODING_UNKNOWN, "coding_unknown", DOWNSTREAM, 501, NEVER, "unknown transfer coding")                     \
  X(VERSION_UNSUPPORTED, "version_unsupported", DOWNSTREAM, 505, NEVER, "unsupported HTTP version")          \
  X(CLIENT_GONE, "client_gone", DOWNSTREAM, 0, NEVER, "the client closed the connection")                    \
  X(CLIENT_STALLED, "client_stalled", DOWNSTREAM, 0, NEVER, "the client does not read its response")         \
  X(DEADLINE, "deadline", DOWNSTREAM, 504, NEVER, "the time that the client gave it (grpc-timeout) is over") \
  X(RESOLVE_FAILED, "resolve_failed", UPSTREAM, 502, ALWAYS, "the peer's name could not be resolved")        \
  X(CONNECT_REFUSED, "connect_refused", UPSTREAM, 502, ALWAYS, "the peer refused the connection")            \
  X(CONNECT_FAILED, "connect_failed", UPSTREAM, 502, ALWAYS, "could not connect to the peer")                \
  X(CONNECT_TIMEOUT, "connect_timeout", UPSTREAM, 504, ALWAYS, "connecting to the peer took too long")       \
  X(TLS_FAILED, "tls_failed", UPSTREAM, 502, ALWAYS, "TLS handshake with the peer failed")                   \
  X(TLS_TIMEOUT, "tls_timeout", UPSTREAM, 504, ALWAYS, "TLS handshake with the peer took too long")          \
  X(CERTIFICATE, "certificate", UPSTREAM, 502, NEVER, "the peer's certificate was not accepted")             \
  X(UPSTREAM_CLOSED, "upstream_closed", UPSTREAM, 502, REUSED, "the peer closed before it answered")         \
  X(UPSTREAM_WRITE, "upstream_write", UPSTREAM, 502, REUSED, "sending the request to the peer failed")       \
  X(UPSTREAM_LEAVING, "upstream_leaving", UPSTREAM, 502, ALWAYS,                                             \
    "the peer ends the connection and has not taken the request")                                            \
  X(STREAM_REFUSED, "stream_refused", UPSTREAM, 502, ALWAYS, "the peer refused the request unprocessed")     \
  X(VERSION_REQUIRED, "version_required", UPSTREAM, 502, ALWAYS,                                             \
    "the peer takes this request over HTTP/1.1 only")                                                        \
  X(TUNNEL_NOT_OFFERED, "tunnel_not_offered", UPSTREAM, 502, NEVER,                                          \
    "the peer takes no WebSocket or other Upgrade over HTTP/2")                                              \
  X(STREAM_RESET, "stream_reset", UPSTREAM, 502, NEVER, "the peer reset the stream of the request")          \
  X(UPSTREAM_SEND_TIMEOUT, "upstream_send_timeout", UPSTREAM, 504, NEVER, "the peer stopped reading")        \
  X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", UPSTREAM, 504, NEVER, "the peer did not answer in time")       \
  X(READ_TIMEOUT, "read_timeout", UPSTREAM, 504, NEVER, "the peer stalled in mid-response")                  \
  X(BAD_RESPONSE, "bad_response", UPSTREAM, 502, NEVER, "malformed response")                                \
  X(RESPONSE_TRUNCATED, "response_truncated", UPSTREAM, 502, NEVER, "the peer ended in mid-response")        \
  X(RESPONSE_CODING, "response_coding", UPSTREAM, 502, NEVER,                                                \
    "the response body is not what its coding says")                                                         \
  X(RESPONSE_TOO_LARGE, "response_too_large", UPSTREAM, 502, NEVER,                                          \
    "the decoded response is out of all proportion")                                                         \
  X(ANSWERED_ERROR, "answered_error", UPSTREAM, 502, NEVER, "the peer answered with an error of its own")    \
  X(UPSTREAM_REFUSED, "upstream_refused", INTERNAL, 502, NEVER, "the policy refused to ask a peer")          \
  X(NO_BACKEND, "no_backend", INTERNAL, 503, NEVER, "no healthy backend")                                    \
  X(OVERLOADED, "overloaded", INTERNAL, 503, NEVER, "all backends are at their limits")                      \
  X(LOCAL_SHORTAGE, "local_shortage", INTERNAL, 503, REUSED,                                                 \
    "this machine has no descriptor or memory left")                                                         \
  X(NO_PORT, "no_port", INTERNAL, 503, ALWAYS, "this machine has no port left for a connection to the peer") \
  X(BAD_PEER, "bad_peer", INTERNAL, 500, NEVER, "upstream_peer gave no usable peer")                         \
  X(SCRIPT, "script", INTERNAL, 500, NEVER, "the policy raised an error")                                    \
  X(SCRIPT_TIMEOUT, "script_timeout", INTERNAL, 504, NEVER, "the policy used up its time")                   \
  X(UNSAFE_HEAD, "unsafe_head", INTERNAL, 500, NEVER, "a head that must not be written as it is")            \
  X(RESET, "reset", INTERNAL, 0, NEVER, "the policy reset the stream")                                       \
  X(STOPPING, "stopping", INTERNAL, 503, NEVER, "the proxy is stopping")

enum error {
#define X(id, name, side, status, retry, text) ERROR_##id,
  ERROR_TABLE(X)
#undef X
      ERROR_COUNT
};

enum error_side { SIDE_DOWNSTREAM, SIDE_UPSTREAM, SIDE_INTERNAL };
enum error_retry { RETRY_NEVER, RETRY_REUSED, RETRY_ALWAYS };

struct error_info {
  const char *name; /* for Lua and metrics: "connect_refused" */
  const char *text; /* for people */
  unsigned short status;
  enum error_side side;
  enum error_retry retry;
};

/* Never NULL; lives for ever. */
const struct error_info *error_info(enum error error);
const char *error_side_name(enum error_side side);

#endif
