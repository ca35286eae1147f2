// SPDX-License-Identifier: Apache-2.0
// recording: requests as `perilune record` keeps them in a file, and `perilune replay` and perilune.test read them.
//
// The file. A line RECORDING_MAGIC, then frames: "<kind> <length> <checksum>\n", so many bytes, "\n". The checksum is
// of the bytes, seeded with the frame's number: frames that are changed, lost or moved are found. Kinds: H, first, what
// the recording is; R, a request; E, last, with the number of requests: without it the file was cut short. The bytes of
// a frame are members: "<name> <length>\n", so many bytes, "\n".
#ifndef PERILUNE_SHARED_RECORDING_H
#define PERILUNE_SHARED_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define RECORDING_MAGIC "perilune recording 1\n"
enum { RECORDING_FRAME_MORE = 64 };

/* One request. Text is borrowed. */
struct recorded {
  uint64_t at_ms;              /* since the recording began */
  uint64_t first_byte_ms;      /* of the peer: from when the request had been sent */
  uint64_t status, attempts;   /* the client got; upstream_peer calls */
  uint64_t secure, is_cut;     /* by TLS; the body is not whole */
  uint64_t is_cached;          /* the client got it from the cache */
  struct str listener, client; /* addresses */
  struct str head, body;       /* of the request, as HTTP/1.1 */
  struct str answer;           /* the peer's head; empty: none came */
  struct str peer, error;      /* of the last attempt; by its name. Empty: none */
};

/* X(name): the members that are numbers, and those that are texts, in the order of the file. */
#define RECORDED_NUMBERS(X) X(at_ms) X(first_byte_ms) X(status) X(attempts) X(secure) X(is_cut) X(is_cached)
#define RECORDED_TEXTS(X)   X(listener) X(client) X(head) X(body) X(answer) X(peer) X(error)

/* The bytes of a frame of a request. */
void recorded_put(struct buf *out, const struct recorded *r);
/* Borrows from the bytes of such a frame. False: they are not of that form. */
bool recorded_read(struct str bytes, struct recorded *r);
/* The whole frame, number `index` of the file. */
void recording_put_frame(struct buf *out, char kind, uint64_t index, struct str bytes);
/* The last frame: behind `count` requests. */
void recording_put_end(struct buf *out, uint64_t count);

/* A whole file in memory. */
struct recording {
  char *text; /* owned */
  size_t length, at;
  uint64_t index, count; /* frames read; requests, by the last frame */
  uint64_t began_s;      /* since 1970 */
};

/* Reads the file and checks all of it. False: *why is a malloc'd sentence without the file's name. recording_close
 * follows in either case. */
bool recording_open(struct recording *r, const char *path, char **why);
/* The same of a file's text, which is copied. */
bool recording_of_text(struct recording *r, struct str text, char **why);
/* The next request; false: there is none left. */
bool recording_next(struct recording *r, struct recorded *recorded);
void recording_rewind(struct recording *r);
void recording_close(struct recording *r);

#endif
