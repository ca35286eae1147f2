// SPDX-License-Identifier: Apache-2.0
// A store in a file: what the next process finds in it, and what it does not.
#include "shared/store_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "shared/store_parts.h"
#include "unit.h"

enum { BYTES = 2 << 20, EXTRA = 128 };

struct scene {
  char path[UNIT_PATH_BYTES];
  struct store_settings settings;
};

static void begin(struct scene *scene) {
  unit_temporary(scene->path, "store");
  unlink(scene->path);
  scene->settings =
      (struct store_settings){.bytes = BYTES, .extra_bytes = EXTRA, .path = scene->path, .format = 1};
}

static struct store *open_store(const struct scene *scene) {
  const char *why = NULL;
  struct store *s = store_new(&scene->settings, &why);
  CHECK(s);
  return s;
}

static bool put(struct store *s, const char *key, size_t bytes, char letter) {
  char *body = memory_alloc(bytes);
  memset(body, letter, bytes);
  struct store_writer *w = store_begin(s, str_of(key), STR("head"), STORE_LENGTH_UNKNOWN);
  bool is_put = w && store_write(w, (struct str){body, bytes}) && store_finish(w);
  free(body);
  return is_put;
}

/* The letter that the body consists of; '?': it does not; 0: there is none. */
static char get(struct store *s, const char *key, size_t bytes) {
  struct store_lease lease;
  if (!store_find(s, str_of(key), &lease)) return 0;
  char letter = lease.length == bytes ? lease.pieces[0].bytes[0] : '?';
  for (unsigned i = 0; i < lease.count; i++)
    for (size_t at = 0; at < lease.pieces[i].length; at++)
      if (lease.pieces[i].bytes[at] != letter) letter = '?';
  store_release(s, &lease);
  return letter;
}

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
  struct scene scene;
  begin(&scene);
  struct store *s = open_store(&scene);
  CHECK(!store_is_inherited(s) && !store_notice(s));
  memcpy(store_extra(s), "extra", 6);
  CHECK(put(s, "small", 10, 'a') && put(s, "large", 90000, 'b') && put(s, "twice", 10, 'c') &&
        put(s, "twice", 20, 'd'));
  store_free(s);
  s = open_store(&scene);
  CHECK(store_is_inherited(s) && !store_notice(s) && strcmp(store_extra(s), "extra") == 0);
  CHECK(get(s, "small", 10) == 'a' && get(s, "large", 90000) == 'b' && get(s, "twice", 20) == 'd');
  CHECK(put(s, "new", 50000, 'e') && get(s, "new", 50000) == 'e');
  store_free(s);
  s = open_store(&scene);
  CHECK(get(s, "small", 10) == 'a' && get(s, "new", 50000) == 'e');
  store_free(s);
  unlink(scene.path);
}

IT("is bounded as before, and gives room, where it was full when it was left") {
  struct scene scene;
  begin(&scene);
  char key[32];
  for (int round = 0; round < 3; round++) {
    struct store *s = open_store(&scene);
    for (int i = 0; i < 100; i++) {
      snprintf(key, sizeof key, "%d-%d", round, i);
      CHECK(put(s, key, 60000, (char)('a' + round)) && get(s, key, 60000) == 'a' + round);
    }
    store_free(s);
  }
  unlink(scene.path);
}

IT("does not find what was not finished, or has other bytes now") {
  struct scene scene;
  begin(&scene);
  struct store *s = open_store(&scene);
  CHECK(put(s, "body", 20000, 'x') && put(s, "fine", 20000, 'y'));
  struct store_writer *w = store_begin(s, STR("unfinished"), STR("head"), 20000);
  CHECK(w && store_write(w, STR("zzz")));
  int copy = open(scene.path, O_RDWR); /* the bytes as a process that is killed leaves them */
  char *bytes = memory_alloc(BYTES + 65536);
  ssize_t length = pread(copy, bytes, BYTES + 65536, 0);
  close(copy);
  store_drop(w);
  store_free(s);
  overwrite(scene.path, 0, bytes, (size_t)length);
  free(bytes);
  overwrite(scene.path, find_run(scene.path, 'x') + 100, "?", 1);
  s = open_store(&scene);
  CHECK(store_is_inherited(s));
  CHECK(!get(s, "body", 20000) && get(s, "fine", 20000) == 'y' && !get(s, "unfinished", 20000));
  store_free(s);
  unlink(scene.path);
}

IT("bears any damage: what is found is what was stored") {
  struct scene scene;
  begin(&scene);
  for (unsigned seed = 1; seed <= 40; seed++) {
    struct store *s = open_store(&scene);
    for (int i = 0; i < 20; i++) {
      char key[32];
      snprintf(key, sizeof key, "%u-%d", seed, i);
      CHECK(put(s, key, 3000 + (size_t)i * 900, (char)('a' + i)));
    }
    store_free(s);
    for (unsigned i = 0; i < 30; i++) {
      unsigned at = (seed * 2654435761u + i * 40503u * 977u) % BYTES;
      overwrite(scene.path, 4096 + (off_t)at, "\xff\x01\x40", 3);
    }
    s = open_store(&scene);
    for (int i = 0; i < 20; i++) {
      char key[32], letter;
      snprintf(key, sizeof key, "%u-%d", seed, i);
      letter = get(s, key, 3000 + (size_t)i * 900);
      CHECK(!letter || letter == 'a' + i);
    }
    store_free(s);
  }
  unlink(scene.path);
}

IT("leaves a foreign file alone, begins one of ours that does not fit anew, and says so") {
  struct scene scene;
  char read[8] = "";
  begin(&scene);
  overwrite(scene.path, 0, "my text", 7);
  struct store *s = open_store(&scene);
  CHECK(strstr(store_notice(s), "is no file of a cache, and is left alone; the cache is in memory only"));
  CHECK(put(s, "a", 10, 'a') && get(s, "a", 10) == 'a');
  store_free(s);
  int fd = open(scene.path, O_RDONLY);
  CHECK(pread(fd, read, 7, 0) == 7 && strcmp(read, "my text") == 0);
  close(fd);
  unlink(scene.path);
  s = open_store(&scene);
  CHECK(put(s, "a", 10, 'a'));
  store_free(s);
  scene.settings.format = 2;
  s = open_store(&scene);
  CHECK(strstr(store_notice(s), "is of another size or version; it is begun anew") && !get(s, "a", 10));
  store_free(s);
  s = open_store(&scene);
  CHECK(!store_notice(s) && store_is_inherited(s));
  store_free(s);
  unlink(scene.path);
}

IT("is in memory where another process has the file, or there is no such folder") {
  struct scene scene;
  begin(&scene);
  struct store *first = open_store(&scene), *second = open_store(&scene);
  CHECK(strstr(store_notice(second), "is used by another process"));
  CHECK(put(second, "a", 10, 'a') && !get(first, "a", 10));
  store_free(second);
  store_free(first);
  unlink(scene.path);
  scene.settings.path = "/no/such/folder/store";
  first = open_store(&scene);
  CHECK(strstr(store_notice(first), "No such file or directory"));
  store_free(first);
}

IT("takes over a copy of another's, which goes on, in memory or in place of its file") {
  for (int is_kept = 0; is_kept < 2; is_kept++) {
    struct scene scene;
    begin(&scene);
    if (!is_kept) scene.settings.path = NULL;
    struct store *old = open_store(&scene);
    memcpy(store_extra(old), "extra", 6);
    CHECK(put(old, "small", 10, 'a') && put(old, "large", 90000, 'b') && put(old, "twice", 10, 'c') &&
          put(old, "twice", 20, 'd'));
    scene.settings.has_predecessor = true;
    scene.settings.predecessor = store_descriptor(old);
    struct store *s = open_store(&scene);
    CHECK(store_is_inherited(s) && !store_notice(s) && strcmp(store_extra(s), "extra") == 0);
    CHECK(store_is_replaced(old) == is_kept && !store_is_replaced(s));
    CHECK(put(old, "later", 10, 'e') && put(old, "small", 20, 'f'));
    CHECK(get(s, "small", 10) == 'a' && get(s, "large", 90000) == 'b' && get(s, "twice", 20) == 'd' &&
          !get(s, "later", 10));
    CHECK(put(s, "twice", 30, 'g') && get(old, "twice", 20) == 'd');
    store_free(old);
    store_free(s);
    scene.settings.has_predecessor = false;
    if (!is_kept) continue;
    s = open_store(&scene);
    CHECK(get(s, "small", 10) == 'a' && get(s, "twice", 30) == 'g');
    store_free(s);
    unlink(scene.path);
  }
}
