// SPDX-License-Identifier: Apache-2.0
// open_file: files that are open for reading, as they were when they were opened, and a bounded cache of them for each
// worker. What is in the cache is believed for a second; also that there is no such file. An open file has references
// (of the cache, of answers, of jobs of core/net/offload in other threads), and closes with the last.
#ifndef PERILUNE_EXCHANGE_OPEN_FILE_H
#define PERILUNE_EXCHANGE_OPEN_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/str.h"

struct proxy;

enum { OPEN_FILES_MOST = 512, OPEN_FILE_ETAG = 64, OPEN_FILE_DATE = 32, WARM_CHUNKS = 64 };

/* What of a file was found in the page cache a moment ago (file_body.c): 64 chunks at most, of the part that was looked
 * at last. */
struct warm_chunks {
  uint64_t since_ms, window; /* from the chunk window * WARM_CHUNKS on */
  uint64_t bits;
};

struct open_file {
  atomic_uint references;
  struct list link;       /* in the cache, the one used last first */
  struct open_file *next; /* in its bucket */
  uint64_t hash;
  uint64_t read_ms; /* when it was opened, on the loop's clock */
  struct warm_chunks warm;
  int fd;    /* owned; -1: there is an error, or it is a folder */
  int error; /* errno; 0: it is open, or a folder */
  bool is_folder;
  struct stat info;
  char etag[OPEN_FILE_ETAG];     /* with its quotes */
  char modified[OPEN_FILE_DATE]; /* as in Last-Modified */
  struct str root, path;         /* owned, in one piece behind it */
};

struct open_file_cache;
void open_file_cache_free(struct open_file_cache *cache);

/* A code that says nothing of the file: a shortage, or a disk that fails. It is told once and never remembered. */
bool open_file_is_trouble(int error);
/* The one of the path below the root, which is a reference of the caller. NULL: it is not known; open_file_read
 * follows, or a job that does the same. */
struct open_file *open_file_find(struct proxy *proxy, struct str root, struct str path);
/* Opens it, or keeps why it could not; never NULL. `only_cached`: NULL where a disk would have to be asked. In any
 * thread. */
struct open_file *open_file_read(struct str root, struct str path, bool only_cached);
/* Goes into the worker's cache. The caller keeps its reference. */
void open_file_keep(struct proxy *proxy, struct open_file *file);
struct open_file *open_file_hold(struct open_file *file);
void open_file_release(struct open_file *file);
/* Is it as it was when it was opened? A system call. */
bool open_file_is_unchanged(const struct open_file *file);

#endif
