// SPDX-License-Identifier: Apache-2.0
// http2: HTTP/2 on a client's connection, many exchanges at a time. http2_connection.c is the connection,
// http2_stream.c what each exchange knows of the protocol.
#ifndef PERILUNE_DOWNSTREAM_HTTP2_H
#define PERILUNE_DOWNSTREAM_HTTP2_H

#include "exchange/stream.h"
#include "http/h2_session.h"
#include "net/reaper.h"

struct downstream;

/* A connection. */
struct http2 {
  struct downstream *downstream; /* borrowed: it owns this */
  struct h2_session *session;    /* owned */
  struct list streams;           /* of struct http2_stream: those with an exchange */
  struct reaped at_end;          /* of the turn: what was made in it is written */
  struct http2_stream *told;     /* the one that is being told of its news; NULL: it is over */
  bool flushes;                  /* at_end is on its way */
  bool is_flushing;              /* inside of it */
  bool is_fed;                   /* a stream wants to be told again of what it has */
  bool announced, ended;         /* a GOAWAY was sent: that there will be a last stream, and which it was */
};

/* One exchange of it, in the exchange's arena. */
struct http2_stream {
  struct stream stream;  /* first */
  struct http2 *http2;   /* borrowed */
  struct h2_stream *h2;  /* borrowed until it is released; NULL: it is over */
  struct list link;      /* in http2->streams */
  struct arena text;     /* of the request; freed with the exchange */
  struct h2_fields head; /* in the exchange's arena: it waits for what comes first behind it */
  bool has_head;
  bool wants_read, is_fed;
  bool is_malformed; /* the request: no answer is due (RFC 9113 section 8.1.1) */
};

/* The connection speaks HTTP/2 from here on; what has been read of it is in d->in. */
void http2_begin(struct downstream *d);
/* Events of it. */
void http2_readable(struct downstream *d);
void http2_writable(struct downstream *d);
void http2_due(struct downstream *d);
/* No streams from here on: the client is told now, and for good after `patience_ms`. Running ones go on. */
void http2_stop(struct downstream *d, unsigned patience_ms);
bool http2_is_idle(const struct downstream *d);
/* It closes: all its exchanges are told that the client is gone. */
void http2_gone(struct downstream *d, enum error error);
void http2_free(struct downstream *d);

/* http2_stream.c: an exchange for a request whose head has come. */
void http2_stream_begin(struct http2 *http2, struct h2_stream *h2);
/* The connection or the other side ends it; the exchange goes on without a client. */
void http2_stream_gone(struct http2_stream *s, enum error error);

/* http2_connection.c, for the streams: what they have made goes out at the end of this turn. */
void http2_flush_later(struct http2 *http2);
/* One has gone. */
void http2_stream_left(struct http2 *http2);

#endif
