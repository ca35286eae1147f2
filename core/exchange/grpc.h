// SPDX-License-Identifier: Apache-2.0
// grpc: what an exchange does beside others where its request is gRPC (http/grpc.h). It ends when the time is over that
// its client gives it (grpc-timeout), whatever it waits for; and a failure, or another answer of error that no peer
// gave, is said as grpc-status in a head alone ("trailers-only"): HTTP 200, no body. A client of gRPC-Web, over any
// version of HTTP, gets it as its protocol has it: in a body, which pages of browsers can read.
#ifndef PERILUNE_EXCHANGE_GRPC_H
#define PERILUNE_EXCHANGE_GRPC_H

#include "exchange/exchange.h"

struct exchange_limit;

/* The request is here: its time begins to run, where it has one. */
void grpc_begin_limit(struct exchange *x);
/* The exchange is over. Harmless where there is none. */
void grpc_end_limit(struct exchange_limit *limit);

/* Before an answer of our own is sent: says it in terms of gRPC, unless it is none of error, or is said so already. */
void grpc_take_answer(struct exchange *x);

/* What these fields say as grpc-status is for the access log. */
void grpc_note_status(struct exchange *x, const struct headers *fields);

static inline void grpc_begin(struct exchange *x) {
  if (x->request.is_http2) grpc_begin_limit(x);
}
static inline void grpc_end(struct exchange *x) {
  if (x->times.limit) grpc_end_limit(x->times.limit);
}
static inline void grpc_answer(struct exchange *x) {
  if (x->answer) grpc_take_answer(x);
}

#endif
