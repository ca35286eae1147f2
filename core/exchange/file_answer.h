// SPDX-License-Identifier: Apache-2.0
// file_answer: an answer whose content is a file: which file a request means below a root, what of it the client wants
// (conditions, ranges, a coding), and the source that its body is read from. One exchange has one at most; it ends with
// the exchange.
//
// Looking for a file may have to wait for a disk. So file_serve is called again and again until it does not say
// FILE_WAITS: what was found is in the worker's cache by then (open_file.h).
#ifndef PERILUNE_EXCHANGE_FILE_ANSWER_H
#define PERILUNE_EXCHANGE_FILE_ANSWER_H

#include "exchange/open_file.h"
#include "net/offload.h"
#include "net/timer.h"
#include "relay/flow.h"

struct exchange;

/* What is served; borrowed by each call. Text is terminated. */
struct file_root {
  struct str path;               /* of the folder */
  struct str strip;              /* in front of the paths of requests: "/static"; empty: nothing */
  struct str index;              /* of a folder: "index.html"; empty: none */
  struct str cache_control;      /* of each file; empty: none */
  const struct file_type *types; /* of endings, before the usual ones */
  unsigned type_count;
  bool lists;        /* folders without an index are listed */
  bool shows_hidden; /* names that begin with a dot are served */
  bool no_precoded;  /* files with .zst, .br and .gz behind their names are not looked for */
};
struct file_type {
  struct str ending, type;
};

enum file_result {
  FILE_ANSWERED, /* x->answer is there */
  FILE_MISSING,  /* there is no such file, or none for clients */
  FILE_REFUSED,  /* it may not be read */
  FILE_METHOD,   /* only GET and HEAD are for files */
  FILE_WAITS,    /* `wake` is called from the loop, unless file_cancel comes before */
  FILE_BUSY      /* too many wait for the disk, or descriptors have run out */
};

/* What a worker's exchange has of it; arena. */
struct file_answer {
  struct exchange *exchange;
  struct open_file *file;         /* reference; NULL: none so far */
  struct disk_wait *wait;         /* a read on its way, owned by its job; NULL: none */
  struct disk_open *opening;      /* the same of an open, or a listing */
  const struct file_root *listed; /* what follows is of it */
  char *listing;                  /* owned; NULL: none so far */
  size_t listing_bytes;
  int listing_error;
  void (*wake)(void *owner); /* of file_serve */
  void *owner;
  unsigned tries; /* rounds so far */
  enum file_result result;
  /* The body. */
  struct file_piece *pieces; /* arena */
  unsigned at, count;
  uint64_t done;      /* of the piece at hand */
  uint64_t length;    /* of all pieces */
  struct buf in;      /* what the relay looks at; of memory that `own` or `text` has */
  struct buf own;     /* owned: bytes of the file */
  struct timer timer; /* a turn of the relay ended before the body did */
  bool has_timer, wants, is_broken, checks_end, is_only_read;
};

/* A run of the file, or a text. */
struct file_piece {
  struct str text; /* arena; NULL: */
  uint64_t first, bytes;
};

enum file_result file_serve(struct exchange *x, const struct file_root *root, void (*wake)(void *owner),
                            void *owner);
/* Nobody waits for it any more. */
void file_cancel(struct file_answer *f);
/* The exchange ends. */
void file_answer_end(struct file_answer *f);

/* For the log, where the body ends before its time. */
#define FILE_BROKE "a file of ours, which has changed or cannot be read"

/* --- file_body.c --- */

/* The body is this run of the file. */
void file_body_begin(struct file_answer *f, uint64_t first, uint64_t bytes);
struct source file_source(struct file_answer *f);
/* The whole of a file that is small, for tests of policies: arena. */
struct str file_body_text(struct file_answer *f);

/* --- file_listing.c: in a thread of the disk. malloc'd HTML; NULL: errno says why. --- */
char *file_listing(const char *root, const char *path, bool shows_hidden, size_t *length);

#endif
