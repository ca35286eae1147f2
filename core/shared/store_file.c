// SPDX-License-Identifier: Apache-2.0
// store_file: all of the file is taken at once: later there is no write that can fail. Its lock is flock's, and says
// that a process uses it.
//
// Memory is asked for in huge pages first, whatever the system's setting for shared memory is (MADV_COLLAPSE, from
// Linux 6.1 on): to send from them costs half, and to write a tenth, because each page is looked up and counted once,
// whatever its size. If free memory is in small pieces this takes long, so it has a time limit, and the rest gets
// small pages.
#include "shared/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/safe_file.h"

enum { PAGE_BYTES = 4096, LINE_BYTES = 64 };
/* For huge pages: in all, besides so much for each; and how long no more are asked for where one took too long. */
enum { HUGE_START_MS = 500, HUGE_EACH_MS = 1, HUGE_SLOW_MS = 5, HUGE_PAUSE_MS = 10000 };
#if !defined MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static const char MAGIC[8] = "PrlnStor";

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static uint64_t front_sum(const struct store_front *front) {
  return XXH3_64bits(front, offsetof(struct store_front, sum));
}

static void front_init(struct store_front *front, const struct store_file_wanted *wanted) {
  *front = (struct store_front){.version = STORE_VERSION,
                                .segment_bytes = wanted->segment_bytes,
                                .count = wanted->count,
                                .extra_bytes = (uint32_t)wanted->extra_bytes,
                                .format = wanted->format};
  memcpy(front->magic, MAGIC, sizeof MAGIC);
  front->sum = front_sum(front);
}

static bool has_whole_pages(const struct store_file_wanted *wanted) {
  return wanted->segment_bytes % STORE_PAGE_MOST == 0;
}

static void set_sizes(struct store_file *f, const struct store_file_wanted *wanted) {
  f->extra_at =
      round_up(sizeof(struct store_front) + wanted->count * sizeof(struct segment_front), PAGE_BYTES);
  f->extra_end = round_up(f->extra_at + wanted->extra_bytes, PAGE_BYTES);
  f->front_bytes = has_whole_pages(wanted) ? round_up(f->extra_end, STORE_PAGE_MOST) : f->extra_end;
  f->bytes = f->front_bytes + (size_t)wanted->count * wanted->segment_bytes;
}

/* --- a file of the file system ---------------------------------------------------------------------------- */

static bool refuse(struct store_file *f, const char *path, const char *what) {
  snprintf(f->notice, sizeof f->notice, "%s %s; the cache is in memory only", path, what);
  if (f->descriptor >= 0) close(f->descriptor);
  f->descriptor = -1;
  return false;
}

/* For what the system says. */
static bool refuse_for(struct store_file *f, const char *path, int error) {
  char what[128];
  snprintf(what, sizeof what, "cannot be used: %s", safe_reason_own(error));
  return refuse(f, path, what);
}

static bool open_locked(struct store_file *f, const char *path, struct stat *info) {
  f->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (f->descriptor < 0) return refuse_for(f, path, errno);
  if (fstat(f->descriptor, info)) return refuse_for(f, path, errno);
  if (!S_ISREG(info->st_mode)) return refuse(f, path, "is no file");
  if (flock(f->descriptor, LOCK_EX | LOCK_NB))
    return refuse(f, path, "is used by another process, or by a policy that was in force before");
  return true;
}

enum old { OLD_FITS, OLD_IS_FOREIGN, OLD_DOES_NOT_FIT };

static enum old look_at_old(const struct store_file *f, const struct store_front *wanted,
                            const struct stat *info) {
  struct store_front front;
  ssize_t got = pread(f->descriptor, &front, sizeof front, 0);
  if (got < (ssize_t)sizeof front || memcmp(front.magic, MAGIC, sizeof MAGIC) != 0) return OLD_IS_FOREIGN;
  bool is_same = memcmp(&front, wanted, offsetof(struct store_front, serial)) == 0;
  return is_same && (size_t)info->st_size == f->bytes ? OLD_FITS : OLD_DOES_NOT_FIT;
}

/* Of all but the hole. 0, or an error of the system. */
static int take_pages(const struct store_file *f) {
  if (ftruncate(f->descriptor, (off_t)f->bytes)) return errno;
  int error = posix_fallocate(f->descriptor, 0, (off_t)f->extra_end);
  off_t segments = (off_t)f->front_bytes;
  return error ? error : posix_fallocate(f->descriptor, segments, (off_t)f->bytes - segments);
}

/* Asked for first: to take what is left of a file system, and then to see that it is too little, harms all others that
 * use it. One that does not tell its size has room. */
static bool has_room(const struct store_file *f) {
  struct statvfs facts;
  if (fstatvfs(f->descriptor, &facts) || !facts.f_blocks) return true;
  return f->bytes / facts.f_frsize <= facts.f_bfree;
}

/* 0, or an error of the system. */
static int take_room(const struct store_file *f) {
  if (ftruncate(f->descriptor, 0)) return errno;
  if (!has_room(f)) return ENOSPC;
  return take_pages(f);
}

/* What was there is lost. */
static bool begin_anew(struct store_file *f, const char *path, const struct store_front *wanted) {
  int error = take_room(f);
  if (!error && pwrite(f->descriptor, wanted, sizeof *wanted, 0) != (ssize_t)sizeof *wanted) error = EIO;
  if (!error) return true;
  if (ftruncate(f->descriptor, 0)) error = errno;
  return error == ENOSPC ? refuse(f, path, "has no room on its file system") : refuse_for(f, path, error);
}

static void name_beside(const char *path, char name[PATH_MAX]) { snprintf(name, PATH_MAX, "%s.new", path); }

/* Whatever has the name is left from somebody who ended in the midst of this. */
static bool open_beside(struct store_file *f, const char *path, const struct store_front *wanted) {
  char name[PATH_MAX];
  struct stat info;
  name_beside(path, name);
  unlink(name);
  return f->is_kept = open_locked(f, name, &info) && begin_anew(f, name, wanted);
}

void store_file_settle(struct store_file *f, const char *path) {
  char name[PATH_MAX];
  if (!f->replaces) return;
  name_beside(path, name);
  if (f->is_kept && rename(name, path) == 0) return;
  unlink(path);
  unlink(name);
  f->is_kept = false;
}

static bool open_path(struct store_file *f, const char *path, const struct store_front *wanted) {
  struct stat info;
  if (!open_locked(f, path, &info)) return false;
  enum old old = info.st_size ? look_at_old(f, wanted, &info) : OLD_DOES_NOT_FIT;
  if (old == OLD_IS_FOREIGN) return refuse(f, path, "is no file of a cache, and is left alone");
  if (old == OLD_DOES_NOT_FIT && info.st_size)
    snprintf(f->notice, sizeof f->notice, "%s is of another size or version; it is begun anew", path);
  f->is_old = old == OLD_FITS;
  f->is_made = !info.st_size;
  f->is_kept = f->is_old || begin_anew(f, path, wanted);
  return f->is_kept;
}

/* --- huge pages ------------------------------------------------------------------------------------------- */

/* Makes one of a hole. The kernel wants a page in it, to know where the rest belongs. */
static bool take_huge_page(const struct store_file *f, size_t at) {
  const volatile char *place = f->map + at;
  if (fallocate(f->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)at, PAGE_BYTES)) return false;
  (void)*place;
  return madvise(f->map + at, STORE_PAGE_MOST, MADV_COLLAPSE) == 0;
}

void store_file_take_huge(struct store_file *f, size_t at, size_t bytes) {
  uint64_t begun_ms = clock_now_ms(&clock_system);
  if (f->is_kept || begun_ms < atomic_load(&f->huge_again_ms)) return;
  for (size_t end = at + bytes; at < end; at += STORE_PAGE_MOST) {
    bool is_taken = take_huge_page(f, at);
    if (is_taken && clock_now_ms(&clock_system) - begun_ms < HUGE_SLOW_MS) continue;
    atomic_store(&f->huge_again_ms, clock_now_ms(&clock_system) + HUGE_PAUSE_MS);
    return;
  }
}

static void begin_with_huge(struct store_file *f, const struct store_file_wanted *wanted) {
  uint64_t most_ms = clock_now_ms(&clock_system) + HUGE_START_MS;
  if (!has_whole_pages(wanted)) return;
  for (size_t at = f->front_bytes; at < f->bytes && clock_now_ms(&clock_system) < most_ms;
       at += STORE_PAGE_MOST) {
    if (!take_huge_page(f, at)) return;
    most_ms += HUGE_EACH_MS;
  }
}

/* --- both ------------------------------------------------------------------------------------------------- */

/* Where huge pages can be mapped as such. NULL: it cannot be mapped. */
static char *map_aligned(const struct store_file *f) {
  size_t reserved = f->bytes + STORE_PAGE_MOST;
  char *room = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return NULL;
  size_t before = -(uintptr_t)room % STORE_PAGE_MOST;
  if (before) munmap(room, before);
  room += before;
  int protection = PROT_READ | PROT_WRITE;
  bool is_mapped = mmap(room, f->bytes, protection, MAP_SHARED | MAP_FIXED, f->descriptor, 0) != MAP_FAILED;
  size_t used = is_mapped ? f->bytes : 0;
  munmap(room + used, reserved - before - used);
  return is_mapped ? room : NULL;
}

static bool open_memory(struct store_file *f, const struct store_file_wanted *wanted,
                        const struct store_front *front, const char **why) {
  f->descriptor = memfd_create("perilune-store", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  *why = "there is no memory file (memfd_create)";
  if (f->descriptor < 0) return false;
  *why =
      "it is larger than the memory of this machine"; /* to take it all the same would end other processes */
  if (f->bytes / PAGE_BYTES > (size_t)sysconf(_SC_PHYS_PAGES)) return false;
  if (ftruncate(f->descriptor, (off_t)f->bytes)) {
    *why = strerror(errno);
    return false;
  }
  *why = "the memory cannot be mapped";
  f->map = map_aligned(f);
  if (!f->map) return false;
  begin_with_huge(f, wanted);
  int error = take_pages(f);
  *why = error == ENOSPC ? "there is not so much memory" : strerror(error);
  if (error) return false;
  fcntl(f->descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  return pwrite(f->descriptor, front, sizeof *front, 0) == (ssize_t)sizeof *front;
}

/* Behind the end there is nothing to lose. */
static bool can_punch(const struct store_file *f) {
  int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return fallocate(f->descriptor, how, (off_t)f->bytes, PAGE_BYTES) == 0;
}

bool store_file_open(struct store_file *f, const struct store_file_wanted *wanted, const char **why) {
  struct store_front front;
  front_init(&front, wanted);
  *f = (struct store_file){.descriptor = -1};
  set_sizes(f, wanted);
  f->replaces = wanted->path && wanted->replaces;
  bool is_open = wanted->path && (f->replaces ? open_beside : open_path)(f, wanted->path, &front);
  if (!is_open && !open_memory(f, wanted, &front, why)) {
    if (*f->notice) log_warn("cache: %s", f->notice);
    return false;
  }
  *why = "the memory cannot be mapped";
  if (!f->map) f->map = map_aligned(f);
  f->exchanges_pages = has_whole_pages(wanted) && can_punch(f);
  return f->map;
}

void store_file_close(struct store_file *f) {
  if (f->map) munmap(f->map, f->bytes);
  if (f->descriptor >= 0) close(f->descriptor);
  *f = (struct store_file){.descriptor = -1};
}
