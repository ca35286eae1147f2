// SPDX-License-Identifier: Apache-2.0
// http2: HTTP/2 on a client's connection, many exchanges at a time. http2_connection.c is the life of the connection,
// http2_io.c its bytes and the news that come with them, http2_stream.c what each exchange knows of the protocol.
#ifndef PERILUNE_DOWNSTREAM_HTTP2_H
#define PERILUNE_DOWNSTREAM_HTTP2_H

#include "exchange/stream.h"
#include "http/h2_session.h"
#include "net/reaper.h"

struct downstream;

/* What is waited for. */
enum http2_clock {
  HTTP2_CLOCK_IDLE,  /* a request, while there is none */
  HTTP2_CLOCK_HEAD,  /* the rest of a head */
  HTTP2_CLOCK_LAST,  /* the client hears that its next request is the last */
  HTTP2_CLOCK_CLOSE, /* it takes our last words */
  HTTP2_CLOCK_REST,  /* nobody: idle for so long, the connection gives memory back */
  HTTP2_CLOCKS
};

/* A connection. */
struct http2 {
  struct downstream *downstream; /* borrowed: it owns this */
  struct h2_session *session;    /* owned */
  struct list streams;           /* of struct http2_stream: those with an exchange */
  struct reaped at_end;          /* of the turn: what was made in it is written */
  struct http2_stream *told;     /* the one that is being told of its news; NULL: it is over */
  bool takes_tunnels;            /* extended CONNECT was announced (RFC 8441) */
  bool flushes;                  /* at_end is on its way */
  bool is_flushing;              /* inside of it */
  bool is_fed;                   /* a stream wants to be told again of what it has */
  bool announced, ended;         /* a GOAWAY was sent: that there will be a last stream, and which it was */
  uint64_t written;              /* bytes that the kernel has taken */
  uint64_t idle_since_ms;        /* 0: it is not */
  uint64_t due_ms[HTTP2_CLOCKS]; /* 0: not waited for */
};

/* One exchange of it, in the exchange's arena. */
struct http2_stream {
  struct stream stream;  /* first */
  struct http2 *http2;   /* borrowed */
  struct h2_stream *h2;  /* borrowed until it is released; NULL: it is over */
  struct list link;      /* in http2->streams */
  struct h2_fields head; /* in the exchange's arena: it waits for what comes first behind it */
  uint64_t made;         /* bytes of the connection that were made up to the end of what it wrote */
  bool has_head;
  bool wants_read, is_fed;
  bool is_malformed; /* the request: no answer is due (RFC 9113 section 8.1.1) */
};

/* The connection speaks HTTP/2 from here on; what has been read of it is in d->in. */
void http2_begin(struct downstream *d);
/* It has not begun to end by closing. */
bool http2_is_open(const struct http2 *http2);
/* Events of it. */
void http2_readable(struct downstream *d);
void http2_writable(struct downstream *d);
void http2_due(struct downstream *d);
/* No streams from here on: the client is told now, and for good after `patience_ms`. Running ones go on. */
void http2_stop(struct downstream *d, unsigned patience_ms);
bool http2_is_idle(const struct downstream *d);
/* For how long it has had no stream; 0: it has one. */
uint64_t http2_idle_ms(const struct downstream *d);
/* It is idle, and there is no room: closes it. */
void http2_give_up(struct downstream *d);
/* The part of a head that is there is given up, and the connection with it. */
void http2_give_up_head(struct downstream *d);
/* It closes: all its exchanges are told that the client is gone. */
void http2_gone(struct downstream *d, enum error error);
void http2_free(struct downstream *d);

/* http2_stream.c: an exchange for a request whose head has come. */
void http2_stream_begin(struct http2 *http2, struct h2_stream *h2);
/* The connection or the other side ends it; the exchange goes on without a client. */
void http2_stream_gone(struct http2_stream *s, enum error error);

/* --- http2_connection.c, for the other two --- */

/* A stream of the client's, whose head has come; and one of ours has gone. */
void http2_stream_comes(struct http2 *http2, struct h2_stream *h2);
void http2_stream_left(struct http2 *http2);
/* No new streams, as for http2_stop. Called from inside an exchange: so it leaves the others alone. */
void http2_announce_last(struct http2 *http2);
/* Something has come: if it says that the client has heard that we end, we do. */
void http2_heard(struct http2 *http2);
void http2_clock_set(struct http2 *http2, enum http2_clock clock, unsigned ms);
void http2_clock_clear(struct http2 *http2, enum http2_clock clock);
/* The session is at its end; and for a fault, which is told. */
void http2_finish(struct http2 *http2);
void http2_fail(struct http2 *http2);

/* --- http2_io.c, for the other two --- */

/* What was made goes out at the end of this turn. */
void http2_flush_later(struct http2 *http2);
/* What came before it was known to be HTTP/2. */
void http2_take_first(struct http2 *http2);
/* Writes what was made. IO_OK: all of it. */
enum io http2_write(struct http2 *http2);
/* Bytes made so far; and how many of the first `made` the client's kernel has not taken yet. A system call. */
uint64_t http2_made(const struct http2 *http2);
uint64_t http2_untaken(const struct http2 *http2, uint64_t made);

#endif
