// SPDX-License-Identifier: Apache-2.0
// store: objects of bytes under keys, in one piece of memory of a fixed size, shared by all workers. Objects that are
// not used are dropped when room is needed. It knows nothing of HTTP: an object has a key, a head (any bytes), and a
// body.
//
// Words. segment: one of the equal parts of the memory; it is filled once, from front to end, and emptied as a whole.
//        log: segments in the order in which they were filled; `small` takes new objects, `main` those that were used.
//        piece: a run of an object's bytes inside of one segment. lease: a reader's hold on an object's segments.
//        generation: of a segment, counts how often it was emptied; a reference with an older one is invalid.
//
// Eviction is S3-FIFO: when the oldest segment of the small log is emptied, objects that were used move to the main
// log; in the main log, those that were used since they were written there are written again. Keys of the others are
// remembered for a while: if such an object is stored again, it goes to the main log at once.
//
// Invariants: the memory never grows. Bytes of a segment that a lease or a writer holds are never changed. Pages that
// sendfile gave to a socket may be in use long after that: so a segment is not overwritten, but gets new pages. An
// object is found only if it is complete; a head whose checksum is wrong is not found.
//
// Thread-safe. Locks are held for a few instructions. Emptying a segment takes until it has new pages, some
// milliseconds for the largest; if store_maintain is called often enough, no writer has to wait for that.
#ifndef PERILUNE_SHARED_STORE_H
#define PERILUNE_SHARED_STORE_H

#include <sys/types.h>

#include "base/str.h"

struct store;
struct store_writer;

enum { STORE_PIECES = 16 };
#define STORE_LENGTH_UNKNOWN UINT64_MAX
#define STORE_LEAST_BYTES    ((size_t)1 << 20)

struct store_settings {
  size_t bytes; /* of all, at least STORE_LEAST_BYTES; the index comes on top: less than a hundredth of it */
  size_t segment_bytes; /* 0: a 64th, and at most 8 MiB */
  size_t extra_bytes;   /* of the user's, zeroed at first, which are kept with it; on top */
  const char *path;     /* of a file that keeps it for the next process; NULL: in memory */
  uint64_t format;      /* of what is stored: a file with another one is begun anew */
  /* An older process, which may still run, has such a store: what is in it is copied, and a file at `path` is replaced
   * by ours. */
  bool has_predecessor;
  int predecessor; /* the descriptor of its file; borrowed */
};

/* NULL: *why is a sentence. The memory is taken at once. */
struct store *store_new(const struct store_settings *settings, const char **why);
/* All leases and writers must have ended. NULL is harmless. */
void store_free(struct store *s);
/* What was wrong with the file, for the log; NULL: nothing. */
const char *store_notice(const struct store *s);
/* Another process has left it: what is in it was found in the file. */
bool store_is_inherited(const struct store *s);
/* Its file has another's name no more: a successor has replaced it. */
bool store_is_replaced(const struct store *s);
/* Its file was none before, and has its name still. */
bool store_has_made_file(const struct store *s);
void *store_extra(const struct store *s);
/* Of a file: the extra bytes are on the disk when this returns. */
void store_sync_extra(const struct store *s);
/* For a successor. */
int store_descriptor(const struct store *s);
/* The same for sendfile. -1: its file system cannot give a segment other pages, and what a socket has of the old ones
 * would change. */
int store_descriptor_to_send(const struct store *s);
/* The largest object, head and body. */
uint64_t store_object_most(const struct store *s);

/* --- reading --- */

struct store_piece {
  const char *bytes; /* in the mapping */
  uint64_t length;
  unsigned segment;
  uint32_t sum;
};

struct store_lease {
  struct str head;
  uint64_t length; /* of the body */
  uint64_t
      serial; /* no other object that was stored has it, of this key or another; it stays where it is moved */
  unsigned count;
  struct store_piece pieces[STORE_PIECES];
};

/* False: there is none. Else what the lease points to stays as it is until store_release. */
bool store_find(struct store *s, struct str key, struct store_lease *lease);
void store_release(struct store *s, struct store_lease *lease);
/* The body from `offset` on, as far as it is in one piece; empty at its end. *place is where that is in the file. */
struct str store_lease_at(const struct store *s, const struct store_lease *lease, uint64_t offset,
                          off_t *place);
/* Is the body what was written? */
bool store_lease_is_sound(const struct store_lease *lease);

/* --- writing --- */

/* NULL: no room, or too large; nothing is lost but this object. `length`: of the body, or STORE_LENGTH_UNKNOWN. */
struct store_writer *store_begin(struct store *s, struct str key, struct str head, uint64_t length);
/* False: no room, too large, or more than was announced: drop it. */
bool store_write(struct store_writer *w, struct str bytes);
/* How much was written; and of that, what is from `offset` on in one piece: it stays as it is until the writer ends. */
uint64_t store_written(const struct store_writer *w);
struct str store_written_at(const struct store_writer *w, uint64_t offset);
/* Makes the object found, in place of an older one of its key. False: it is not as long as was announced. Either
 * way the writer has ended. */
bool store_finish(struct store_writer *w);
/* The same, and a lease of it takes the place of the writer: what store_written_at gave stays. Unless it
 * `is_published` it is found by nobody else. Where it is not as long as was announced, the writer goes on. */
bool store_finish_leased(struct store_writer *w, bool is_published, struct store_lease *lease);
void store_drop(struct store_writer *w);
/* Was there one? Leases of it go on. */
bool store_remove(struct store *s, struct str key);
/* The same by the hash of the key alone. */
uint64_t store_hash(struct str key);
bool store_remove_hash(struct store *s, uint64_t hash);

/* Empties one segment if free ones get rare, moving what was used; at most about `bytes` are moved in one call. True:
 * there is more to do. For one thread to call now and then; without it, what was used is not moved but lost. */
bool store_maintain(struct store *s, size_t bytes);

struct store_counts {
  uint64_t stored, moved, moved_bytes, emptied, emptied_small; /* objects; bytes; segments */
  uint64_t refused;                                            /* writers without room */
  uint64_t used_bytes;                                         /* of segments that are not free */
  uint64_t eviction_age_ms; /* since the segment that was emptied last was begun */
  unsigned segments, free_segments, held_segments;
};
void store_count(struct store *s, struct store_counts *counts);

#endif
