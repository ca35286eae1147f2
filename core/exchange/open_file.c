// SPDX-License-Identifier: Apache-2.0
// open_file: see open_file.h. The cache is a hash table with a list in the order of use.
#include "exchange/open_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/date.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "exchange/proxy.h"
#include "net/beneath.h"
#include "net/descriptors.h"
#include "net/timer.h"

enum { BUCKETS = 1024, BELIEVED_MS = 1000, KEPT_MS = 10000, LEAST = 16 };

struct open_file_cache {
  struct list used; /* the newest first */
  unsigned count, most;
  struct open_file *buckets[BUCKETS];
};

/* --- files ------------------------------------------------------------------------------------------------ */

static uint64_t hash_of(struct str root, struct str path) {
  return XXH3_64bits_withSeed(path.ptr, path.len, XXH3_64bits(root.ptr, root.len));
}

static struct open_file *new_file(struct str root, struct str path) {
  struct open_file *file = memory_zalloc(sizeof *file + root.len + path.len + 2);
  char *text = (char *)(file + 1);
  memcpy(text, root.ptr, root.len);
  memcpy(text + root.len + 1, path.ptr, path.len);
  atomic_init(&file->references, 1);
  file->fd = -1;
  file->hash = hash_of(root, path);
  file->root = (struct str){text, root.len};
  file->path = (struct str){text + root.len + 1, path.len};
  return file;
}

/* Two states of a file differ in one of these. */
static void describe(struct open_file *file) {
  const struct stat *info = &file->info;
  snprintf(file->etag, sizeof file->etag, "\"%llx-%llx-%llx\"", (unsigned long long)info->st_mtim.tv_sec,
           (unsigned long long)info->st_mtim.tv_nsec, (unsigned long long)info->st_size);
  struct str date = date_text(DATE_HTTP, info->st_mtim.tv_sec);
  snprintf(file->modified, sizeof file->modified, "%.*s", STR_ARG(date));
}

static void look_at(struct open_file *file) {
  if (fstat(file->fd, &file->info) != 0)
    file->error = errno;
  else if (S_ISDIR(file->info.st_mode))
    file->is_folder = true;
  else if (!S_ISREG(file->info.st_mode))
    file->error = ENOENT;
  else
    describe(file);
  if (!file->error && !file->is_folder) return;
  close(file->fd);
  file->fd = -1;
}

struct open_file *open_file_read(struct str root, struct str path, bool only_cached) {
  struct open_file *file = new_file(root, path);
  file->fd = beneath_open(file->root.ptr, file->path.ptr, O_RDONLY | O_NONBLOCK | O_NOCTTY, only_cached);
  if (file->fd >= 0) {
    look_at(file);
  } else if (errno == EAGAIN) {
    if (only_cached) {
      free(file);
      return NULL;
    }
    file->error = ENOENT;
  } else {
    file->error = errno;
  }
  return file;
}

struct open_file *open_file_hold(struct open_file *file) {
  atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
  return file;
}

void open_file_release(struct open_file *file) {
  if (!file || atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) > 1) return;
  if (file->fd >= 0) close(file->fd);
  free(file);
}

bool open_file_is_unchanged(const struct open_file *file) {
  struct stat now;
  return fstat(file->fd, &now) == 0 && file_is_unchanged(&file->info, &now);
}

/* --- the cache -------------------------------------------------------------------------------------------- */

/* A small part of the descriptors, which are for connections. */
static unsigned most_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return LEAST;
  rlim_t share = limit.rlim_cur / 32;
  return share < LEAST ? LEAST : share > OPEN_FILES_MOST ? OPEN_FILES_MOST : (unsigned)share;
}

static struct open_file_cache *cache_of(struct proxy *proxy) {
  if (!proxy->files) {
    proxy->files = memory_zalloc(sizeof *proxy->files);
    proxy->files->most = most_files();
    list_init(&proxy->files->used);
  }
  return proxy->files;
}

static void drop(struct open_file_cache *cache, struct open_file *file) {
  struct open_file **at = &cache->buckets[file->hash % BUCKETS];
  while (*at != file) at = &(*at)->next;
  *at = file->next;
  list_remove(&file->link);
  cache->count--;
  open_file_release(file);
}

/* Nobody has asked for it for a while: its descriptor, and its room on the disk where it was removed, go back. */
static void drop_old(struct open_file_cache *cache, uint64_t now_ms) {
  while (!list_is_empty(&cache->used)) {
    struct open_file *oldest = LIST_ENTRY(cache->used.prev, struct open_file, link);
    if (cache->count < cache->most && now_ms - oldest->read_ms < KEPT_MS) return;
    drop(cache, oldest);
  }
}

static struct open_file *find(struct open_file_cache *cache, struct str root, struct str path,
                              uint64_t hash) {
  struct open_file *file = cache->buckets[hash % BUCKETS];
  while (file && !(file->hash == hash && str_equal(file->path, path) && str_equal(file->root, root)))
    file = file->next;
  return file;
}

bool open_file_is_trouble(int error) {
  return descriptors_want(error) || error == EIO || error == ESTALE || error == EINTR;
}

struct open_file *open_file_find(struct proxy *proxy, struct str root, struct str path) {
  struct open_file_cache *cache = cache_of(proxy);
  struct open_file *file = find(cache, root, path, hash_of(root, path));
  if (!file) return NULL;
  if (loop_now_ms(proxy->loop) - file->read_ms > BELIEVED_MS) {
    drop(cache, file);
    return NULL;
  }
  list_remove(&file->link);
  list_push_front(&cache->used, &file->link);
  open_file_hold(file);
  if (open_file_is_trouble(file->error)) drop(cache, file);
  return file;
}

void open_file_keep(struct proxy *proxy, struct open_file *file) {
  struct open_file_cache *cache = cache_of(proxy);
  struct open_file *old = find(cache, file->root, file->path, file->hash);
  if (old) drop(cache, old);
  drop_old(cache, loop_now_ms(proxy->loop));
  open_file_hold(file);
  file->read_ms = loop_now_ms(proxy->loop);
  file->next = cache->buckets[file->hash % BUCKETS];
  cache->buckets[file->hash % BUCKETS] = file;
  list_push_front(&cache->used, &file->link);
  cache->count++;
}

void open_file_cache_free(struct open_file_cache *cache) {
  if (!cache) return;
  while (!list_is_empty(&cache->used)) drop(cache, LIST_ENTRY(cache->used.next, struct open_file, link));
  free(cache);
}
