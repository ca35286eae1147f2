// SPDX-License-Identifier: Apache-2.0
// relay: copies one body in one direction: decodes the framing of the message that comes in, writes it in the
// framing of the message that goes out, with back-pressure. It reads only when everything it read before is
// written, so its memory is one buffer. For a sink by ops it reads no more than there is room for, so a stalled one
// costs nearly no memory. The head that goes before a body is the first thing it writes, in one call with the first
// body bytes. A long payload between two plain conns that no filter has to see is moved inside the kernel
// (net/pipe.h).
//
// It knows sources, sinks and framings, but no exchange: relay_pump returns the result, and its owner decides. Sinks
// that are not conns get no framing; they are told the end instead (flow.h).
#ifndef PERILUNE_RELAY_RELAY_H
#define PERILUNE_RELAY_RELAY_H

#include <limits.h>

#include "http/decoder.h"
#include "relay/flow.h"

enum relay_result {
  RELAY_READING,       /* everything is written; waits for bytes from the source */
  RELAY_WRITING,       /* waits for the sink to take bytes */
  RELAY_FILTERING,     /* waits for its filter; relay_filtered follows */
  RELAY_DONE,          /* the whole message is written */
  RELAY_TRUNCATED,     /* the source ended in mid-message */
  RELAY_SOURCE_ERROR,  /* reading failed */
  RELAY_MALFORMED,     /* the source broke its framing */
  RELAY_TOO_LARGE,     /* more than `limit` */
  RELAY_SINK_ERROR,    /* writing failed */
  RELAY_FILTER_FAILED, /* the filter gave up */
  RELAY_UNSAFE         /* trailers that must not be written: the end of the message was not */
};

/* What payload passes between decoding and encoding. `run` puts in the place of *chunk what goes on, which
 * stays valid until it is run again; RELAY_READING: done; RELAY_FILTERING: relay_filtered follows;
 * RELAY_FILTER_FAILED. The last piece has `is_last`, with an empty chunk where the end came alone. */
struct relay_filter {
  enum relay_result (*run)(struct relay_filter *filter, struct str *chunk, bool is_last);
  void (*cancel)(struct relay_filter *filter); /* of a run that waits */
  /* Nothing more comes for now: puts in *chunk, as run does, what must not wait for more. NULL: nothing is ever held
   * back. */
  enum relay_result (*pause)(struct relay_filter *filter, struct str *chunk);
  /* What it gave is not all of the piece: once it is written, run is called again with an empty chunk in the place of
   * the piece, which stays where it is until then. So a piece may become many times as much, in bounded memory. */
  bool has_more;
};

enum relay_part { PART_HEAD, PART_CHUNK_HEAD, PART_PAYLOAD, PART_TAIL, RELAY_PARTS };

/* Payload that is kept for a retry. */
struct relay_copy {
  struct buf *to;  /* borrowed; NULL: none is kept */
  size_t limit;    /* bytes */
  bool overflowed; /* it is not all that was decoded */
};

/* What each body needs comes first, what chunks and trailers need last. */
struct relay {
  struct source from; /* rests of the next message stay in it */
  struct sink to;
  struct relay_copy copy;
  struct pipe *pipe;             /* owned while payload is in it; NULL */
  struct relay_filter *filter;   /* borrowed; NULL: none */
  struct str parts[RELAY_PARTS]; /* on their way out, in this order */
  struct decoder decoder;        /* of what comes in */
  enum framing out;
  bool started;      /* the first round was made */
  bool bulk;         /* a read filled its buffer: use large ones */
  bool piped;        /* a pipe was used: for the rest, too, however short */
  bool source_broke; /* an early read failed, which the next one tells */
  bool at_once;      /* a write that fails must be known before the next step */
  bool active;       /* begun and neither done nor failed */
  bool done;         /* the whole message was written */
  bool unsafe;       /* its trailers were refused, so its end is not written */
  bool filtering;    /* the filter has a piece */
  bool filter_ended; /* the filter was given the last one */
  bool has_more;     /* and has not given all that it makes of the piece it has */
  uint64_t limit;    /* payload bytes allowed; 0: any */
  uint64_t bytes;    /* payload decoded so far */
  uint64_t received; /* bytes read from the source so far, with framing */
  uint64_t written;  /* bytes written to the sink so far, with heads and framing */
  unsigned used;     /* input bytes behind the parts, consumed once they are written; part of one buffer */
  unsigned room;     /* of a sink by ops, when it was asked last: no more is read for it */
  char chunk_head[CHUNKED_HEAD_BYTES];
  struct trailers trailers;
};

/* Payload of which RELAY_PIPED bytes are still to come is worth a pipe; where one is likely, a head is read with no
 * more than RELAY_BEGIN bytes of what is behind it. */
enum {
  RELAY_COPY_LIMIT = 65536,
  RELAY_BUFFER = 16384,
  RELAY_BUFFER_LARGE = 65536,
  RELAY_PIPED = RELAY_BUFFER,
  RELAY_BEGIN = 4096,
  RELAY_LOOK = 512, /* of a body that may not be taken: enough to find the end of chunks */
};

/* What a source may read for the relay at a time. */
static inline size_t relay_room(const struct relay *r) { return r->to.ops ? r->room : UINT_MAX; }

/* Begins with `head` (may be empty; borrowed until written) and, behind it, `first`: payload that was decoded and
 * filtered before (of a retry, or a whole content; may be empty; borrowed). Sets everything but copy.to, copy.limit,
 * limit, filter, at_once and what of the trailers is allowed, which the owner sets afterwards. Writes nothing yet. */
void relay_begin(struct relay *r, struct body body, enum framing out, struct str head, struct str first);
/* The same message from its start to another sink: `first` is all that was decoded so far, decoding goes on
 * behind it. */
void relay_restart(struct relay *r, enum framing out, struct str head, struct str first);
/* The rest of a message whose relay was stopped is read from there and dropped: nothing is sent, kept or filtered any
 * more, however long it is. */
void relay_read_away(struct relay *r, const struct source *from);
/* Goes on as far as it gets without waiting, and says to both sides what it waits for: more of the source, or room in
 * the sink. Call it when either became ready. Not to be called after a final result. */
enum relay_result relay_pump(struct relay *r);
/* The filter is done with its piece: this goes on. Pump it afterwards. */
void relay_filtered(struct relay *r, struct str chunk);
/* Gives up: nothing more is read or written by it, watchers are left to the owner. A piece that its filter
 * or a pipe has is lost. An active relay must be stopped before its memory goes. */
void relay_stop(struct relay *r);

#endif
