// SPDX-License-Identifier: Apache-2.0
// h2_session: one HTTP/2 connection as a pure function of bytes: no sockets, no timers, no clock. nghttp2 does frames
// and windows; this file is the one door to it. Blocks are read by h2_decoder and written by h2_encoder, heads are
// judged by h2_head, excess by h2_budget.
//
//   h2_session_receive(s, bytes, count, now)      what came from the wire
//   while ((stream = h2_session_next(s))) ...     which streams have news; nothing is called back
//   h2_stream_send_head / write / end / reset     what goes out
//   h2_session_send(s)                            makes frames of it, into h2_session_out(s), for the wire
//
// A stream lives until both sides have let go of it: the connection (its frames are over) and the user
// (h2_stream_release). The user's pointer is stream->owner. A body that comes in waits in stream->in, and its window is
// given back when the user says that it was used: so a stream that nobody reads stops its sender. The connection's
// window is given back at once, while what waits in all streams is less than `held_bytes`: so it stops nobody else. So
// no more than held_bytes and a window of the connection wait at a time, with heads_bytes of heads. A
// body that goes out is not kept: h2_stream_write takes only what the windows and the output have room for.
#ifndef PERILUNE_HTTP_H2_SESSION_H
#define PERILUNE_HTTP_H2_SESSION_H

#include "base/buf.h"
#include "base/list.h"
#include "http/h2_budget.h"
#include "http/h2_head.h"

/* RFC 9113 section 7. */
enum h2_code {
  H2_NO_ERROR,
  H2_PROTOCOL_ERROR,
  H2_INTERNAL_ERROR,
  H2_FLOW_CONTROL_ERROR,
  H2_SETTINGS_TIMEOUT,
  H2_STREAM_CLOSED,
  H2_FRAME_SIZE_ERROR,
  H2_REFUSED_STREAM,
  H2_CANCEL,
  H2_COMPRESSION_ERROR,
  H2_CONNECT_ERROR,
  H2_ENHANCE_YOUR_CALM,
  H2_INADEQUATE_SECURITY,
  H2_HTTP_1_1_REQUIRED,
  H2_CODES
};
/* "PROTOCOL_ERROR"; "unknown error code" where the number is none of these. */
const char *h2_code_name(uint32_t code);

struct h2_config {
  bool is_server;
  bool connect_protocol; /* of a server: announce extended CONNECT (RFC 8441) */
  /* At once. Of a server: and twice as many that the user has not let go of; of a client: until SETTINGS say. */
  unsigned streams;
  uint32_t stream_window; /* bytes of each stream that may come before they are used, to begin with */
  uint32_t window_most;   /* to which that grows for a stream whose bytes are used as fast as they come */
  size_t *spare; /* borrowed: bytes by which the windows of all sessions that have it may grow; NULL: any */
  uint32_t connection_window; /* the same of all streams together; 0: held_bytes */
  uint32_t connection_most;   /* to which that grows where bodies are used; 0: not at all */
  /* Of all streams, received and not used yet, of which the connection's window takes no notice. */
  size_t held_bytes;
  size_t heads_bytes;        /* of the heads and trailers of all streams that are not released; 0: any */
  size_t out_bytes;          /* made and not written yet: beyond, no body is taken */
  struct parser_limits head; /* of each head, and of trailers */
  struct h2_allowance allowances[H2_COSTS];
};

/* What is new of a stream. */
enum h2_news {
  H2_NEWS_HEAD = 1,  /* take it by h2_stream_head; there may be several (interim responses) */
  H2_NEWS_DATA = 2,  /* there is more in stream->in */
  H2_NEWS_END = 4,   /* the other side has ended its half, behind all data and trailers */
  H2_NEWS_RESET = 8, /* the stream is over: by RST_STREAM, GOAWAY or a fault of the other side; see `code` */
  H2_NEWS_ROOM = 16  /* h2_stream_write took less than it was given, and would take more now */
};

struct h2_session;

struct h2_stream {
  OBJ_MAGIC;
  struct list link;           /* session->streams */
  struct list news_link;      /* session->news, while there is news */
  struct list blocked_link;   /* session->blocked, while h2_stream_write has taken less than it was given */
  struct h2_session *session; /* borrowed; outlives the stream */
  void *owner;                /* the user's; NULL until it sets it */
  struct arena own;           /* of a request's head (see h2_stream_give_arena), and of trailers to be sent */
  struct arena *arena;        /* where heads and trailers are put: &own, or the user's */
  const struct parser_limits *limits; /* borrowed; of its heads: the session's, or h2_stream_limit's */
  struct buf in; /* owned; body bytes that the user has not used yet; they stay where they are until it has */
  struct buf more;               /* owned; what comes behind them, once the user may have looked at `in` */
  struct h2_header_block *heads; /* arena; whole heads that the user has not taken, oldest first */
  struct headers trailers;       /* of the other side, once H2_NEWS_END has come */
  struct h2_fields head; /* of ours, until it is made: until then its texts are there; items NULL: none */
  struct h2_fields last; /* in `own`; trailers to be sent behind the body */
  struct str *parts;     /* of a write under way, and how many; the caller's */
  unsigned part_count;
  uint64_t taken, length; /* body bytes received, and announced; length is UINT64_MAX where it is not known */
  uint32_t window;        /* how many bytes may come before they are used */
  uint64_t used;          /* by the user */
  size_t head_bytes;      /* of its heads and trailers, as they count in session->heads_held */
  int64_t window_before;  /* what we could send before the last SETTINGS */
  uint64_t head_at;       /* of our request: where in the output it begins; UINT64_MAX: it is not there yet */
  int32_t id;
  uint32_t code; /* of H2_NEWS_RESET, enum h2_code or any other number */
  unsigned news, interims;
  enum method method;     /* of the request */
  bool has_final;         /* the request, or the response that is not interim, has come */
  bool peer_ended, ended; /* the other half, our half: as far as it was told us, or told by us */
  bool is_reset;          /* by us; `why` says for which fault of the other side, if it was one */
  bool was_refused;       /* the other side has certainly not acted on it (REFUSED_STREAM, GOAWAY) */
  bool is_open;           /* nghttp2 knows it */
  bool is_deferred;       /* nghttp2 waits to be told that there is a body to send */
  bool waits_for_output;  /* for its head: no window is asked */
  bool write_ends;        /* of a write under way: nothing follows it */
  bool resets_when_sent;  /* our half has ended, and is to be followed by RST_STREAM */
  bool is_seen;           /* the user may look at `in` */
  bool is_known;          /* the user has heard of it; until then it is the session's alone */
  bool is_released;
  const char *why; /* a static sentence for people; NULL: the code says it all */
};

/* Owned by the caller; end it with h2_session_free. The first frames are in the output at once. */
struct h2_session *h2_session_new(const struct h2_config *config, uint64_t now_ms);
/* Its streams must be released; what they hold goes with it. */
void h2_session_free(struct h2_session *s);

/* Takes all bytes. False: the connection is at fault; a GOAWAY is in the output where one is due, and once that is
 * written the connection is to be closed. h2_session_fault says why. */
bool h2_session_receive(struct h2_session *s, const char *bytes, size_t count, uint64_t now_ms);
/* The next stream with news, which is put into *news and forgotten; NULL: there is none. */
struct h2_stream *h2_session_next(struct h2_session *s, unsigned *news);
/* The one that h2_session_next would give, as things stand, and forgets nothing; NULL: none. For who wants to have its
 * memory at hand. */
struct h2_stream *h2_session_peek(const struct h2_session *s);
/* Makes frames of what was submitted, up to out_bytes. False as of h2_session_receive. */
bool h2_session_send(struct h2_session *s);
/* What is to be written; consume what was. */
struct buf *h2_session_out(struct h2_session *s);
/* All of it was written, `bytes` at once: it holds no memory until there is more, and then about as much. */
void h2_session_emptied(struct h2_session *s, size_t bytes);
/* Of a client's connection that has been idle for a while: gives back to the kernel what its next frame takes again.
 * Returns how many bytes; 0 where something is under way. A system call. */
size_t h2_session_rest(struct h2_session *s);
/* A head has begun that is not whole: about how many bytes are held for it; 0: none has. */
size_t h2_session_part_of_head(const struct h2_session *s);
/* Nothing more will be read or written. */
bool h2_session_is_over(const struct h2_session *s);
/* Why the connection was ended: the code of the GOAWAY sent or received, H2_NO_ERROR where it ended well; *why a static
 * sentence, or NULL; *by_peer whether the other side said so. */
uint32_t h2_session_fault(const struct h2_session *s, const char **why, bool *by_peer);

/* Of a server: no new streams (section 6.8). The first announces it to a client, whose requests may be on their way and
 * are still taken. The second refuses what comes from then on. Running streams go on where `code` is H2_NO_ERROR. */
void h2_session_announce_end(struct h2_session *s);
void h2_session_end(struct h2_session *s, enum h2_code code);
/* The other side is at fault, for a reason that only the user knows: a GOAWAY, and nothing more is received. */
void h2_session_blame(struct h2_session *s, enum h2_code code, const char *why);
/* A PING, whose answer sets h2_session_pongs one higher. */
void h2_session_ping(struct h2_session *s);
unsigned h2_session_pongs(const struct h2_session *s);

/* Of a client: how many streams may be opened now; 0 once the other side is going away. */
unsigned h2_session_room(const struct h2_session *s);
/* How many at once the other side takes, as its last SETTINGS said; UINT32_MAX: any number. It has sent none so far:
 * 0, and *is_settled is false. */
uint32_t h2_session_limit(const struct h2_session *s, bool *is_settled);
/* Of a client: the other side takes extended CONNECT (RFC 8441), as far as its SETTINGS have said so far. */
bool h2_session_takes_connect(const struct h2_session *s);
/* Of a client: no stream can be opened any more, however few there are. */
bool h2_session_is_leaving(const struct h2_session *s);
/* Streams that are not released. */
unsigned h2_session_streams(const struct h2_session *s);
/* Sends a request. `arena` takes the response's heads, and outlives the stream's release. `ends`: no body follows.
 * NULL: there is no room. */
struct h2_stream *h2_session_request(struct h2_session *s, const struct h2_fields *fields, enum method method,
                                     bool ends, struct arena *arena);

/* Of a client: no byte of its request is among the first `written` of the output: the other side cannot know of it. */
bool h2_stream_is_unsent(const struct h2_stream *stream, uint64_t written);

/* Of a client: what the response's heads may be, instead of what the session allows; borrowed. */
void h2_stream_limit(struct h2_stream *stream, const struct parser_limits *limits);

/* The oldest head that was not taken; NULL: there is none. It lives in the stream's arena. Judge it by h2_head_request
 * or h2_head_response. */
struct h2_head *h2_stream_head(struct h2_stream *stream);
/* Of a request whose head was taken: the memory of it, which is the caller's from here on. */
struct arena h2_stream_give_arena(struct h2_stream *stream);
/* Where trailers go; it outlives the stream's release. */
void h2_stream_use_arena(struct h2_stream *stream, struct arena *arena);
/* The other side has ended its half, and stream->in is all that is left of its body. */
static inline bool h2_stream_is_all(const struct h2_stream *stream) {
  return stream->peer_ended && buf_len(&stream->more) == 0;
}
/* `bytes` of stream->in have been used: they leave it, and the other side may send as many. */
void h2_stream_used(struct h2_stream *stream, size_t bytes);
/* All of a body that has ended has a new owner, and counts as used. */
struct buf h2_stream_take_body(struct h2_stream *stream);

/* The output has room for a head. False: more than out_bytes is not written yet, and H2_NEWS_ROOM follows. */
bool h2_stream_takes_head(struct h2_stream *stream);
/* A response: interim ones do not end, and the final one comes once. `ends`: no body follows. */
void h2_stream_send_head(struct h2_stream *stream, const struct h2_fields *fields, bool is_interim,
                         bool ends);
/* Takes as much of the parts as windows and output have room for; says how much. Less than all: H2_NEWS_ROOM follows.
 * `ends`: nothing follows the last byte, which then ends the stream, too. Parts are changed. */
size_t h2_stream_write(struct h2_stream *stream, struct str *parts, unsigned count, bool ends);
/* How much h2_stream_write would take of a body now, about. 0: nothing worth a frame, and H2_NEWS_ROOM follows. Of a
 * stream that is over: any amount, which the write then refuses. */
size_t h2_stream_room(struct h2_stream *stream);
/* The other side takes no body of this stream for now: a window is shut. */
bool h2_stream_is_shut(const struct h2_stream *stream);
/* Ends our half behind what was written. `trailers` may be NULL; they are copied. */
void h2_stream_end(struct h2_stream *stream, const struct h2_fields *trailers);
/* Ends the stream, in both directions. What was written and is not in the output yet is lost. */
void h2_stream_reset(struct h2_stream *stream, uint32_t code);
/* The same for a fault of the other side, which the user alone can see: it counts as the session's own findings do, and
 * may end the connection. `why`: static. */
void h2_stream_blame(struct h2_stream *stream, uint32_t code, const char *why);
/* The user lets go. If the stream has not ended in both directions it is reset: with NO_ERROR where our half has
 * (RFC 9113 section 8.1), else with CANCEL. */
void h2_stream_release(struct h2_stream *stream);

#endif
