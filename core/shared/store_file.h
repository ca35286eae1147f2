// SPDX-License-Identifier: Apache-2.0
// store_file: the memory of a store: a memory file, or a file of the file system, which the next process finds as this
// one has left it, however it ended. In front of the segments is what has to be known of them then.
//
// A stretch of the file may be given other pages (punched out), while sockets have the old ones still. That is safe for
// whole pages only: of a huge page of which a part is punched out, the kernel clears that part in place. No page is
// larger than STORE_PAGE_MOST, and each begins at a multiple of its size: so segments which are multiples of that, and
// begin at such, share no page with each other.
//
// A file that cannot be used, or is somebody else's, is left alone, and the store is in memory; one of ours that does
// not fit, or is damaged, is begun anew. Either way there is a sentence for the log.
#ifndef PERILUNE_SHARED_STORE_FILE_H
#define PERILUNE_SHARED_STORE_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_VERSION = 2, STORE_NOTICE_BYTES = 256, STORE_PAGE_MOST = 2 << 20 };

struct segment_front {
  _Atomic uint32_t generation; /* 0: it was never used */
  uint32_t log;
  uint64_t order;
};

struct store_front {
  char magic[8];
  uint32_t version, segment_bytes, count, extra_bytes;
  uint64_t format;         /* of what is stored; the user's business */
  uint64_t sum;            /* of all in front of it */
  _Atomic uint64_t serial; /* of the object that was stored last */
  struct segment_front segments[];
};

struct store_file {
  int descriptor;
  char *map;                                      /* all of it */
  size_t bytes, front_bytes, extra_at, extra_end; /* between extra_end and front_bytes may be a hole */
  bool is_kept;                                   /* it is in the file system */
  bool is_old;                                    /* it was there before */
  bool is_made;                                   /* there was no file at its path */
  bool replaces;                                  /* a file at that path, whose name it has not yet */
  _Atomic uint64_t huge_again_ms;                 /* before that, no huge pages are asked for */
  bool exchanges_pages;            /* a segment that is punched out gets other pages as a whole */
  char notice[STORE_NOTICE_BYTES]; /* for the log; empty: nothing */
};

struct store_file_wanted {
  const char *path; /* NULL: in memory */
  bool replaces;    /* what is at the path is of a process that ends: it is left to that */
  uint32_t segment_bytes, count;
  size_t extra_bytes;
  uint64_t format;
};
/* False: *why is a sentence. */
bool store_file_open(struct store_file *f, const struct store_file_wanted *wanted, const char **why);
/* For a part of the segments that was punched out, before it gets its pages: huge ones, if they are to be had soon. */
void store_file_take_huge(struct store_file *f, size_t at, size_t bytes);
/* What is in it is complete: where it replaces another one, it takes its name. Where it cannot, that one is removed: it
 * would not know of purges from now on. */
void store_file_settle(struct store_file *f, const char *path);
void store_file_close(struct store_file *f);
static inline struct store_front *store_file_front(const struct store_file *f) {
  return (struct store_front *)(void *)f->map;
}

#endif
