// SPDX-License-Identifier: Apache-2.0
// flow: where a relay's bytes come from, and where they go. With a `conn`, that connection is used directly. Otherwise
// `ops` are called (for a stream of HTTP/2 or a stored response). With neither, a source has only the bytes that are in
// source.in already, and a sink drops what it is given.
//
// The bytes of a source are in its `in` and are consumed from the front. The owner of the relay gets readiness as
// events, never from inside these calls: after source_want(true), that there is something to read; after a sink took
// less than it was given and sink_want(true), that it takes more.
#ifndef PERILUNE_RELAY_FLOW_H
#define PERILUNE_RELAY_FLOW_H

#include "base/buf.h"
#include "http/encoder.h"
#include "net/conn.h"

struct source;
struct sink;

/* What a source did that was asked to send by itself. */
enum source_sent {
  SOURCE_SENT,  /* something */
  SOURCE_READS, /* nothing: it is to be read */
  SOURCE_FULL,  /* nothing: the connection takes no more now */
  SOURCE_LOST   /* the connection is of no more use */
};

struct source_ops {
  /* IO_OK: there is something in source->in. IO_EOF: nothing follows what is in it, if there is anything; what came
   * behind the body is in trailers->received. */
  enum io (*read)(struct source *source, struct trailers *trailers);
  /* So many bytes at the front of source->in leave it: the other side may send as many. */
  void (*used)(struct source *source, size_t bytes);
  void (*want)(struct source *source, bool on);
  /* Sends of what follows in->start to a plain connection, past the relay, where nothing is in source->in. NULL: it
   * cannot. */
  enum source_sent (*send)(struct source *source, struct conn *to, size_t *moved);
  /* There certainly is more than what is in source->in, so that a sink without room may be waited for first. NULL:
   * nobody knows. */
  bool (*goes_on)(const struct source *source);
};

struct source {
  struct conn *conn;            /* borrowed; NULL: */
  const struct source_ops *ops; /* borrowed; NULL: nothing more comes */
  void *of;                     /* borrowed; whose ops they are */
  struct buf *in; /* borrowed: bytes read and not used, decoded in place; NULL where nothing comes */
};

struct sink_ops {
  /* Takes what it can of the parts, which may be empty, with what must go before them, and says how much. `end`:
   * nothing follows the last byte but end->fields, if there are any. IO_OK: it has taken something, or there was
   * nothing; IO_AGAIN: it has room for nothing now. */
  enum io (*write)(struct sink *sink, const struct str *parts, const struct trailers *end, size_t *moved);
  void (*want)(struct sink *sink, bool on);
  /* About how much it would take now. 0: nothing, and when that has changed it is told as after a write. NULL: any
   * amount. */
  size_t (*room)(struct sink *sink);
};

struct sink {
  struct conn *conn;          /* borrowed; NULL: */
  const struct sink_ops *ops; /* borrowed; NULL: what it is given is dropped */
  void *of;                   /* borrowed; whose ops they are */
};

static inline bool source_has_more(const struct source *s) { return s->conn || s->ops; }

static inline void source_want(struct source *s, bool on) {
  if (s->conn)
    conn_want_read(s->conn, on);
  else if (s->ops)
    s->ops->want(s, on);
}

/* Somebody wants to read again: what has come already is told, too. */
static inline void source_feed(struct source *s) {
  source_want(s, true);
  if (s->conn) conn_feed(s->conn);
}

static inline void source_used(struct source *s, size_t bytes) {
  if (s->ops)
    s->ops->used(s, bytes);
  else
    buf_consume(s->in, bytes);
}

static inline bool sink_is_there(const struct sink *s) { return s->conn || s->ops; }

static inline void sink_want(struct sink *s, bool on) {
  if (s->conn)
    conn_want_write(s->conn, on);
  else if (s->ops)
    s->ops->want(s, on);
}

/* Nothing more goes there. Of other sinks the last write has said so. */
static inline void sink_shut(struct sink *s) {
  if (s->conn) conn_shutdown(s->conn);
}

#endif
