// SPDX-License-Identifier: Apache-2.0
// call: the peer's half of one attempt, for any protocol of its connection; the mirror image of stream.h. A head and
// a sink for bytes go out; a parsed head and a source of bytes come in.
//
// A call is opened for the current attempt, on an existing connection or a new one, and belongs to it until
// `release`. Its connection (the upstream) reports its events to the exchange: exchange_call_readable and the others,
// or hedge_readable and hedge_due where it is that of the rival. HTTP/1 has one call for each connection, one
// exchange after another, and it is a member of the connection.
//
// To add a protocol: a codec in a file of its own. There is upstream/http1.c.
#ifndef PERILUNE_EXCHANGE_CALL_H
#define PERILUNE_EXCHANGE_CALL_H

#include "base/error.h"
#include "exchange/waits.h"
#include "http/message.h"
#include "net/timer.h"
#include "relay/flow.h"

struct call;
struct exchange;
struct upstream;

struct call_codec {
  /* Begins a request with such a body. *text goes before it, in memory that lives as long as the exchange; *sink takes
   * both. False: the head must not be written. */
  bool (*head)(struct call *c, const struct request *request, struct body body, struct str *text,
               struct sink *sink);
  /* The peer has said something before it was asked, which is no answer. */
  bool (*has_spoken)(struct call *c);
  /* Reads towards the next response head. IO_OK: it is there, whole, for take_head. IO_AGAIN: it is not, and
   * readability follows. Else the connection ended, or *error: the head is bad, and *why is a static sentence or
   * NULL. */
  enum io (*await_head)(struct call *c, enum error *error, const char **why);
  /* Puts it into the exchange's x->response, with text in its arena. *bytes: what it took in memory. False: *why. */
  bool (*take_head)(struct call *c, size_t *bytes, const char **why);
  /* Moves all that has come of the body to `rest`, which is empty: the call is about to be released. */
  void (*take_rest)(struct call *c, struct buf *rest);
  /* No events until something is asked for again. The timer is off. */
  void (*pause)(struct call *c);
  /* Bytes that were written and that the peer has not taken yet. */
  uint64_t (*unsent)(const struct call *c);
  /* Something has come that the exchange has not been told of yet. A system call. */
  bool (*is_ready)(const struct call *c);
  /* Why reading has failed: a text until the next call. *error is changed where the peer is not at fault. */
  const char *(*why)(const struct call *c, enum error *error);
  /* Nobody needs what the peer has not taken yet of the request: it is thrown away with the release. */
  void (*cut)(struct call *c);
  /* The attempt is over, and the call must not be used any more. `reusable`: request and response were whole, and the
   * peer keeps the connection. */
  void (*release)(struct call *c, bool reusable);
};

struct call {
  const struct call_codec *codec;
  struct exchange *exchange; /* borrowed; NULL between two of them */
  struct upstream *upstream; /* borrowed: its connection, for facts; NULL: it waits for one */
  struct source source;      /* of the response; what has come of it, head or body, lies in source.in */
  bool is_http2;             /* else HTTP/1.1 */
  bool is_ready;             /* connected: a request may be sent */
  bool is_kept;       /* with the answer it has given: what comes is of no interest yet (elsewhere.c) */
  struct timer timer; /* of attempt.clock */
};

/* Opens one to the peer of x->now, and sets x->now.call and x->now.reused. If it is not ready yet, exchange_run follows
 * when it is, with another x->now.call perhaps; or exchange_fail. */
void call_open(struct exchange *x);
/* What one that is not ready waits for. */
enum wait call_awaits(const struct call *c);

#endif
