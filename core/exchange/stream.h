// SPDX-License-Identifier: Apache-2.0
// stream: the client's half of one exchange, for any protocol of its connection. A parsed request and a source of
// bytes come in; a parsed head and a sink for bytes go out. Apart from that, the exchange knows only some facts about
// its client's connection.
//
// A stream belongs to its connection (the downstream), which makes it, begins an exchange on it and reports its
// events to the exchange; the exchange has it from exchange_begin until `end`, or until `reset` or the loss of the
// connection, after which exchange_client_gone has been called and x->stream is NULL. HTTP/1 has one stream for each
// connection, one exchange after another, and it is a member of the connection.
//
// To add a protocol: a codec in a file of its own. There are downstream/http1_stream.c, and none.c for exchanges
// without a client.
#ifndef PERILUNE_EXCHANGE_STREAM_H
#define PERILUNE_EXCHANGE_STREAM_H

#include <sys/socket.h>

#include "base/error.h"
#include "http/message.h"
#include "net/timer.h"
#include "relay/flow.h"

struct downstream;
struct exchange;
struct proxy;
struct service;
struct stream;

enum head_kind {
  HEAD_INTERIM, /* 1xx; another one follows */
  HEAD_FINAL,
  HEAD_TUNNEL /* final, and what follows it is no message */
};

/* A head on its way to the client. */
struct stream_head {
  enum head_kind kind;
  const struct response *response; /* NULL: a plain 100 (Continue) */
  struct body body;                /* what follows it, or what it states (HEAD, 304) */
  bool continues;                  /* a plain 100 goes before it */
  bool is_taken; /* the body of the request is always taken completely, whatever the response */
};

struct stream_codec {
  /* How the client is told the end of a body whose length is not known. */
  enum framing (*framing)(const struct stream *s);
  /* Begins a message. *text goes before its body, in memory that lives as long as the exchange; *sink takes both, or is
   * empty where the head is gone already and nothing follows. False: the head must not be written, and nothing was
   * done. Sets x->sent.closes where the connection cannot go on behind a final head. */
  bool (*head)(struct stream *s, const struct stream_head *head, struct str *text, struct sink *sink);
  /* No events until something is asked for again, but that the client is gone, where it `watches`. The timer is
   * off. */
  void (*pause)(struct stream *s, bool watches);
  /* Bytes that were written and that the client has not taken yet. */
  uint64_t (*unsent)(const struct stream *s);
  /* Something has come that its exchange has not been told of yet. A system call. */
  bool (*is_ready)(const struct stream *s);
  /* How much of a response's body may wait here for the client: what is its share of all that may for its connection;
   * *room is what it takes now. NULL: any amount. */
  size_t (*share)(const struct stream *s, size_t *room);
  /* The exchange is over and about to be freed, with all that it was sent (x->sent): what follows on the connection. */
  void (*end)(struct stream *s);
  /* The client is given up, and is not told more than that its response is cut off. Calls exchange_client_gone. */
  void (*reset)(struct stream *s, enum error error);
};

struct stream {
  const struct stream_codec *codec;
  struct exchange *exchange;     /* owned; NULL between two of them */
  struct service *service;       /* borrowed; outlives the stream */
  struct downstream *downstream; /* borrowed; of none.c it may be NULL: nothing is known of a connection */
  struct source source;          /* where the request's body comes from */
  struct timer timer;            /* while there is an exchange it is that of x->clock */
  bool is_rehearsed;             /* by a test or a replay (rehearsal.h) */
};

static inline void stream_reset(struct stream *s, enum error error) { s->codec->reset(s, error); }

/* The client's address as addr_format_client writes it, and its line in requests, "X-Forwarded-For: 192.0.2.1". Both
 * live as long as the connection, which must be known. */
struct str stream_client(const struct stream *s);
struct str stream_client_line(const struct stream *s);

/* stream_silent.c: for codecs of streams without a client, which are told of nothing: none.c, and that of the cache. */
enum framing stream_silent_framing(const struct stream *s);
bool stream_silent_head(struct stream *s, const struct stream_head *given, struct str *text,
                        struct sink *sink);
void stream_silent_pause(struct stream *s, bool watches);
uint64_t stream_silent_unsent(const struct stream *s);
bool stream_silent_is_ready(const struct stream *s);
/* All of them, in the initializer of a codec. */
#define STREAM_SILENT                                                                                        \
  .framing = stream_silent_framing, .head = stream_silent_head, .pause = stream_silent_pause,                \
  .unsent = stream_silent_unsent, .is_ready = stream_silent_is_ready, .share = NULL

/* none.c: a stream without a client, for an exchange that is only thought of. Nothing can be read from it, and what is
 * written is dropped. Its memory is the caller's; `downstream` may be NULL, and is for facts. */
void stream_init_none(struct stream *s, struct service *service, struct downstream *downstream);
/* The same with a connection of its own that has no socket: as if a client of that address had connected. Owned by the
 * caller, who frees it by stream_free_alone. */
struct stream *stream_new_alone(struct proxy *proxy, struct service *service, const struct sockaddr *client,
                                socklen_t length);
void stream_free_alone(struct stream *s);

#endif
