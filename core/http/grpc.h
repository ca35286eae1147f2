// SPDX-License-Identifier: Apache-2.0
// grpc: what a proxy knows of gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): which requests are gRPC, how long their
// client waits, and how an HTTP status is said in its terms. Pure functions of text.
#ifndef PERILUNE_HTTP_GRPC_H
#define PERILUNE_HTTP_GRPC_H

#include "base/arena.h"
#include "http/message.h"

/* Those of the codes that a proxy says. */
enum grpc_status {
  GRPC_UNKNOWN = 2,
  GRPC_DEADLINE_EXCEEDED = 4,
  GRPC_PERMISSION_DENIED = 7,
  GRPC_UNIMPLEMENTED = 12,
  GRPC_INTERNAL = 13,
  GRPC_UNAVAILABLE = 14,
  GRPC_UNAUTHENTICATED = 16
};

/* Is it application/grpc or application/grpc+x, with or without parameters? gRPC-Web is another protocol. */
bool grpc_is_media_type(struct str value);
/* Is Content-Type that? */
bool grpc_is_type(const struct headers *headers);
/* The same, over HTTP/2. */
bool grpc_is_request(const struct request *request);
/* gRPC-Web (grpc/doc/PROTOCOL-WEB.md), over any version of HTTP: as it is, or in base64. */
enum grpc_web { GRPC_WEB_NONE, GRPC_WEB_BINARY, GRPC_WEB_TEXT };
/* Is Content-Type one of its two, with or without "+x" and parameters? */
enum grpc_web grpc_web_of(const struct headers *headers);
/* The frame of gRPC-Web that stands for trailers, which say this alone; in base64 for the text kind. Arena. */
struct str grpc_web_end(struct arena *arena, enum grpc_web kind, unsigned status, struct str message);
/* A value of grpc-timeout in ms, rounded up: at most eight digits and a unit. False: it is none. */
bool grpc_timeout_ms(struct str value, uint64_t *ms);
/* grpc/doc/http-grpc-status-mapping.md */
enum grpc_status grpc_status_of(unsigned http_status);
/* What Grpc-Status among the fields says, up to `most`; -1: there is none, or it is none. */
int grpc_status_in(const struct headers *fields, unsigned most);
/* A text as grpc-message has it: percent-encoded but for visible ASCII and space. Arena, or the text itself. */
struct str grpc_message(struct arena *arena, struct str text);

#endif
