// SPDX-License-Identifier: Apache-2.0
// A store in a file: what the next process finds in it, and what it does not.
#include "shared/store_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/store_parts.h"
#include "store_scene.h"
#include "unit.h"

static void overwrite(const char *path, off_t at, const char *bytes, size_t length) {
  int fd = open(path, O_RDWR | O_CREAT, 0600);
  CHECK(fd >= 0 && pwrite(fd, bytes, length, at) == (ssize_t)length);
  close(fd);
}

/* Where in the file a run of that letter begins. */
static off_t find_run(const char *path, char letter) {
  char block[4096];
  off_t at = 0;
  int fd = open(path, O_RDONLY);
  while (pread(fd, block, sizeof block, at) == (ssize_t)sizeof block) {
    size_t same = 0;
    while (same < sizeof block && block[same] == letter) same++;
    if (same == sizeof block) break;
    at += (off_t)sizeof block;
  }
  close(fd);
  return at;
}

IT("finds everything again, with what belongs to it, and the newer one of two of a key") {
  struct store_scene scene;
  store_scene_begin(&scene);
  struct store *s = store_scene_open(&scene);
  CHECK(!store_is_inherited(s) && !store_notice(s));
  memcpy(store_extra(s), "extra", 6);
  CHECK(store_scene_put(s, "small", 10, 'a') && store_scene_put(s, "large", 90000, 'b') &&
        store_scene_put(s, "twice", 10, 'c') && store_scene_put(s, "twice", 20, 'd'));
  store_free(s);
  s = store_scene_open(&scene);
  CHECK(store_is_inherited(s) && !store_notice(s) && strcmp(store_extra(s), "extra") == 0);
  CHECK(store_scene_get(s, "small", 10) == 'a' && store_scene_get(s, "large", 90000) == 'b' &&
        store_scene_get(s, "twice", 20) == 'd');
  CHECK(store_scene_put(s, "new", 50000, 'e') && store_scene_get(s, "new", 50000) == 'e');
  store_free(s);
  s = store_scene_open(&scene);
  CHECK(store_scene_get(s, "small", 10) == 'a' && store_scene_get(s, "new", 50000) == 'e');
  store_free(s);
  unlink(scene.path);
}

IT("is bounded as before, and gives room, where it was full when it was left") {
  struct store_scene scene;
  store_scene_begin(&scene);
  char key[32];
  for (int round = 0; round < 3; round++) {
    struct store *s = store_scene_open(&scene);
    for (int i = 0; i < 100; i++) {
      snprintf(key, sizeof key, "%d-%d", round, i);
      CHECK(store_scene_put(s, key, 60000, (char)('a' + round)) &&
            store_scene_get(s, key, 60000) == 'a' + round);
    }
    store_free(s);
  }
  unlink(scene.path);
}

IT("does not find what was not finished, or has other bytes now") {
  struct store_scene scene;
  store_scene_begin(&scene);
  struct store *s = store_scene_open(&scene);
  CHECK(store_scene_put(s, "body", 20000, 'x') && store_scene_put(s, "fine", 20000, 'y'));
  struct store_writer *w = store_begin(s, STR("unfinished"), STR("head"), 20000);
  CHECK(w && store_write(w, STR("zzz")));
  int copy = open(scene.path, O_RDWR); /* the bytes as a process that is killed leaves them */
  char *bytes = memory_alloc(STORE_SCENE_BYTES + 65536);
  ssize_t length = pread(copy, bytes, STORE_SCENE_BYTES + 65536, 0);
  close(copy);
  store_drop(w);
  store_free(s);
  overwrite(scene.path, 0, bytes, (size_t)length);
  free(bytes);
  overwrite(scene.path, find_run(scene.path, 'x') + 100, "?", 1);
  s = store_scene_open(&scene);
  CHECK(store_is_inherited(s));
  CHECK(!store_scene_get(s, "body", 20000) && store_scene_get(s, "fine", 20000) == 'y' &&
        !store_scene_get(s, "unfinished", 20000));
  store_free(s);
  unlink(scene.path);
}

IT("does not find a head whose bytes somebody else has changed meanwhile") {
  struct store_scene scene;
  store_scene_begin(&scene);
  struct store *s = store_scene_open(&scene);
  struct store_lease lease;
  CHECK(store_scene_put(s, "one", 5000, 'x') && store_find(s, STR("one"), &lease));
  off_t at = lease.head.ptr - s->segments.file.map;
  overwrite(scene.path, at, "?", 1);
  CHECK(lease.head.ptr[0] == '?'); /* the file and the memory are the same pages */
  store_release(s, &lease);
  CHECK(!store_scene_get(s, "one", 5000) && !store_scene_get(s, "one", 5000));
  store_free(s);
  unlink(scene.path);
}

IT("bears any damage: what is found is what was stored") {
  struct store_scene scene;
  store_scene_begin(&scene);
  for (unsigned seed = 1; seed <= 40; seed++) {
    struct store *s = store_scene_open(&scene);
    for (int i = 0; i < 20; i++) {
      char key[32];
      snprintf(key, sizeof key, "%u-%d", seed, i);
      CHECK(store_scene_put(s, key, 3000 + (size_t)i * 900, (char)('a' + i)));
    }
    store_free(s);
    for (unsigned i = 0; i < 30; i++) {
      unsigned at = (seed * 2654435761u + i * 40503u * 977u) % STORE_SCENE_BYTES;
      overwrite(scene.path, 4096 + (off_t)at, "\xff\x01\x40", 3);
    }
    s = store_scene_open(&scene);
    for (int i = 0; i < 20; i++) {
      char key[32], letter;
      snprintf(key, sizeof key, "%u-%d", seed, i);
      letter = store_scene_get(s, key, 3000 + (size_t)i * 900);
      CHECK(!letter || letter == 'a' + i);
    }
    store_free(s);
  }
  unlink(scene.path);
}

IT("leaves a foreign file alone, begins one of ours that does not fit anew, and says so") {
  struct store_scene scene;
  char read[8] = "";
  store_scene_begin(&scene);
  overwrite(scene.path, 0, "my text", 7);
  struct store *s = store_scene_open(&scene);
  CHECK(strstr(store_notice(s), "is no file of a cache, and is left alone; the cache is in memory only"));
  CHECK(store_scene_put(s, "a", 10, 'a') && store_scene_get(s, "a", 10) == 'a');
  store_free(s);
  int fd = open(scene.path, O_RDONLY);
  CHECK(pread(fd, read, 7, 0) == 7 && strcmp(read, "my text") == 0);
  close(fd);
  unlink(scene.path);
  s = store_scene_open(&scene);
  CHECK(store_scene_put(s, "a", 10, 'a'));
  store_free(s);
  scene.settings.format = 2;
  s = store_scene_open(&scene);
  CHECK(strstr(store_notice(s), "is of another size or version; it is begun anew") &&
        !store_scene_get(s, "a", 10));
  store_free(s);
  s = store_scene_open(&scene);
  CHECK(!store_notice(s) && store_is_inherited(s));
  store_free(s);
  unlink(scene.path);
}

IT("is in memory where another process has the file, or there is no such folder") {
  struct store_scene scene;
  store_scene_begin(&scene);
  struct store *first = store_scene_open(&scene), *second = store_scene_open(&scene);
  CHECK(strstr(store_notice(second), "is used by another process"));
  CHECK(store_scene_put(second, "a", 10, 'a') && !store_scene_get(first, "a", 10));
  store_free(second);
  store_free(first);
  unlink(scene.path);
  scene.settings.path = "/no/such/folder/store";
  first = store_scene_open(&scene);
  CHECK(strstr(store_notice(first), "its folder does not exist"));
  store_free(first);
}

IT("takes over a copy of another's, which goes on, in memory or in place of its file") {
  for (int is_kept = 0; is_kept < 2; is_kept++) {
    struct store_scene scene;
    store_scene_begin(&scene);
    if (!is_kept) scene.settings.path = NULL;
    struct store *old = store_scene_open(&scene);
    memcpy(store_extra(old), "extra", 6);
    CHECK(store_scene_put(old, "small", 10, 'a') && store_scene_put(old, "large", 90000, 'b') &&
          store_scene_put(old, "twice", 10, 'c') && store_scene_put(old, "twice", 20, 'd'));
    scene.settings.has_predecessor = true;
    scene.settings.predecessor = store_descriptor(old);
    struct store *s = store_scene_open(&scene);
    CHECK(store_is_inherited(s) && !store_notice(s) && strcmp(store_extra(s), "extra") == 0);
    CHECK(store_is_replaced(old) == is_kept && !store_is_replaced(s));
    CHECK(store_scene_put(old, "later", 10, 'e') && store_scene_put(old, "small", 20, 'f'));
    CHECK(store_scene_get(s, "small", 10) == 'a' && store_scene_get(s, "large", 90000) == 'b' &&
          store_scene_get(s, "twice", 20) == 'd' && !store_scene_get(s, "later", 10));
    CHECK(store_scene_put(s, "twice", 30, 'g') && store_scene_get(old, "twice", 20) == 'd');
    store_free(old);
    store_free(s);
    scene.settings.has_predecessor = false;
    if (!is_kept) continue;
    s = store_scene_open(&scene);
    CHECK(store_scene_get(s, "small", 10) == 'a' && store_scene_get(s, "twice", 30) == 'g');
    store_free(s);
    unlink(scene.path);
  }
}

/* --- huge pages ------------------------------------------------------------------------------------------- */

enum { HUGE_SEGMENTS = 8 };

/* The KiB of the memory file that are mapped by huge pages. */
static long huge_kib(const struct store_file *f) {
  FILE *maps = fopen("/proc/self/smaps", "re");
  char line[512], address[32];
  long found = -1, kib;
  bool is_ours = false;
  snprintf(address, sizeof address, "%lx-", (unsigned long)(uintptr_t)f->map);
  while (found < 0 && fgets(line, sizeof line, maps)) {
    if (strncmp(line, address, strlen(address)) == 0) is_ours = true;
    if (is_ours && sscanf(line, "ShmemPmdMapped: %ld", &kib) == 1) found = kib;
  }
  fclose(maps);
  return found;
}

/* Does this kernel make any out of shared memory? */
static bool has_huge_pages(void) {
  int fd = memfd_create("probe", MFD_CLOEXEC);
  char *room = mmap(NULL, 2 * STORE_PAGE_MOST, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *page = room + -(uintptr_t)room % STORE_PAGE_MOST;
  CHECK(ftruncate(fd, STORE_PAGE_MOST) == 0);
  CHECK(mmap(page, STORE_PAGE_MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == page);
  *(volatile char *)page = 0;
  bool has = madvise(page, STORE_PAGE_MOST, 25 /* MADV_COLLAPSE */) == 0;
  munmap(room, 2 * STORE_PAGE_MOST);
  close(fd);
  return has;
}

IT("takes huge pages where the kernel makes them, also for a segment that was emptied") {
  struct store_file f;
  struct stat info;
  const char *why;
  struct store_file_wanted wanted = {.segment_bytes = STORE_PAGE_MOST, .count = HUGE_SEGMENTS};
  long page = STORE_PAGE_MOST / 1024;
  CHECK(store_file_open(&f, &wanted, &why) && f.exchanges_pages);
  long kib = huge_kib(&f);
  CHECK(has_huge_pages() ? kib >= page && kib % page == 0 : kib == 0);
  off_t last = (off_t)f.bytes - STORE_PAGE_MOST;
  atomic_store(&f.huge_again_ms, 0);
  for (off_t at = (off_t)f.front_bytes; at <= last; at += STORE_PAGE_MOST)
    CHECK(fallocate(f.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, STORE_PAGE_MOST) == 0);
  CHECK(huge_kib(&f) == 0);
  store_file_take_huge(&f, (size_t)last, STORE_PAGE_MOST);
  CHECK(huge_kib(&f) == (kib ? page : 0));
  f.huge_again_ms = UINT64_MAX;
  store_file_take_huge(&f, f.front_bytes, STORE_PAGE_MOST);
  CHECK(huge_kib(&f) == (kib ? page : 0));
  CHECK(fstat(f.descriptor, &info) == 0 && info.st_blocks / 2 <= page + 64); /* no more than was asked for */
  store_file_close(&f);
}
