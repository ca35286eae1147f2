// SPDX-License-Identifier: Apache-2.0
// h2_parts: what h2_session.c (the connection), h2_inspect.c (frames, before nghttp2 sees them), h2_blocks.c (header
// blocks that come in), h2_receive.c (what nghttp2 makes of frames), h2_stream.c and h2_output.c (what goes out) share.
// For these six only: with h2_memory, they are all that use nghttp2.
#ifndef PERILUNE_HTTP_H2_PARTS_H
#define PERILUNE_HTTP_H2_PARTS_H

#include <nghttp2/nghttp2.h>

#include "http/h2_decoder.h"
#include "http/h2_encoder.h"
#include "http/h2_ids.h"
#include "http/h2_memory.h"
#include "http/h2_session.h"
#include "http/h2_walk.h"

#define H2_SESSION_MAGIC 0x48325345u
#define H2_STREAM_MAGIC  0x48325354u

/* A header block, while it comes in and until the user takes it. */
struct h2_header_block {
  struct h2_head head;
  struct h2_header_block *next;
};

/* The octets of one that comes in. */
struct h2_arriving {
  struct h2_frame_head begun; /* its first frame */
  struct buf parts;           /* what has come of its frames, where they did not come at once */
  struct str text;            /* all of it, while nghttp2 is told of it; ptr NULL: it is read */
};

struct h2_session {
  OBJ_MAGIC;
  nghttp2_session *ng;      /* owned; NULL while it rests */
  nghttp2_session *resting; /* ng, when it wakes up */
  struct h2_memory memory;  /* of ng */
  struct h2_config config;
  struct h2_budget budget;
  uint64_t now_ms; /* of the bytes that are being received */
  struct h2_encoder encoder;
  struct h2_decoder decoder;
  size_t block_made; /* bytes of a block behind the output, with room for its frame's head; 0: none */
  struct buf out;
  uint64_t made;    /* bytes that were put into `out` so far */
  size_t out_usual; /* bytes that it held when it was written last */
  struct list streams, news, blocked;
  struct h2_stream *found; /* the one that was asked for last, which is open; NULL */
  unsigned count;          /* of streams that are not released */
  unsigned open;           /* of streams that nghttp2 knows, as the other side does */
  unsigned pongs;
  size_t held, owed; /* body bytes that wait in streams; connection window that is not given back yet */
  uint64_t used;     /* body bytes since the connection's window was widened */
  size_t heads_held; /* bytes of heads of streams that are not released */

  struct h2_stream *block_stream; /* of the block that is coming in; NULL: nobody wants it */
  struct h2_header_block *block;  /* in the stream's arena */
  size_t block_bytes;             /* compressed, and its frame headers */
  struct h2_arriving arriving;
  unsigned continuations;
  bool is_in_block;      /* its last frame has not begun */
  bool is_in_head_frame; /* the last frame was one of a block */
  struct h2_walk walk;
  unsigned preface_left; /* bytes of the preface that are still to come */
  struct h2_ids ids;     /* of the other side's streams */
  int64_t peer_window;   /* what SETTINGS say that a new stream may be sent */

  uint32_t code; /* why it ended */
  const char *why;
  char text[160];           /* `why`, where it comes from nghttp2 */
  bool failed, by_peer;     /* the code is an error of the connection; the other side said so */
  bool is_leaving, is_left; /* we take no new streams; the other side takes none */
  bool has_settings;        /* of the other side */
  bool may_wake;            /* there may be new room for streams in `blocked` */
};

/* Ends the connection with a GOAWAY; the first reason counts. */
void h2_session_fail(struct h2_session *s, uint32_t code, const char *why);
/* Takes a token for what the other side did; without one the connection ends. */
void h2_session_spend(struct h2_session *s, enum h2_cost cost, const char *why);
/* Puts bytes into the output. */
void h2_session_put(struct h2_session *s, const void *bytes, size_t count);
/* Makes the block of the HEADERS frame that nghttp2 is about to make without it. */
void h2_session_put_block(struct h2_session *s, const struct h2_fields *fields);
/* h2_inspect.c: a frame has begun. False: nghttp2 is not to see it. The connection may have failed. */
bool h2_inspect(struct h2_session *s, const struct h2_frame_head *frame);
/* h2_blocks.c: a piece of a frame of a header block. */
void h2_blocks_take(struct h2_session *s, const struct h2_piece *piece);
/* Reads the block that has come; its fields go to s->block, if somebody wants them. */
void h2_blocks_read(struct h2_session *s);
/* What nghttp2 is to see. */
void h2_session_feed(struct h2_session *s, const uint8_t *bytes, size_t count);
/* SETTINGS have moved the windows: none may be too large now. */
void h2_inspect_windows(struct h2_session *s);
/* One that somebody still looks at; NULL. */
struct h2_stream *h2_stream_live(struct h2_session *s, int32_t id);
/* The other side broke a rule of this stream: it is reset, and counts against the budget. */
void h2_stream_fault(struct h2_stream *stream, uint32_t code, const char *why);
/* For the user of the stream to see. */
void h2_stream_tell(struct h2_stream *stream, unsigned news);
struct h2_stream *h2_stream_new(struct h2_session *s, int32_t id, struct arena *arena);
/* nghttp2 knows it no longer. */
void h2_stream_shut(struct h2_stream *stream);
/* Frees a stream whose frames are over, and that the user has let go of, or has never heard of. */
void h2_stream_forget(struct h2_stream *stream);
/* So many bytes wait in a stream, or no longer. */
void h2_session_hold(struct h2_session *s, size_t bytes);
void h2_session_let_in(struct h2_session *s, size_t bytes);
/* The same, because they were used: who has such a reader may get a wider window. */
void h2_session_use(struct h2_session *s, size_t bytes);
/* h2_session_send, for h2_stream_write: it makes no room. */
bool h2_session_make(struct h2_session *s);
/* One piece more, whatever room there is. False: there is none. */
bool h2_session_make_one(struct h2_session *s);

/* All callbacks; NULL: no memory. */
nghttp2_session_callbacks *h2_callbacks_new(void);
/* About bodies that go out. */
int h2_stream_on_send(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *header, size_t length,
                      nghttp2_data_source *source, void *user);

#endif
