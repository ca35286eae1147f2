// SPDX-License-Identifier: Apache-2.0
#include "store_scene.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

enum { EXTRA = 128 };

void store_scene_begin(struct store_scene *scene) {
  unit_temporary(scene->path, "store");
  unlink(scene->path);
  scene->settings = (struct store_settings){
      .bytes = STORE_SCENE_BYTES, .extra_bytes = EXTRA, .path = scene->path, .format = 1};
}

struct store *store_scene_open(const struct store_scene *scene) {
  const char *why = NULL;
  struct store *s = store_new(&scene->settings, &why);
  CHECK(s);
  return s;
}

bool store_scene_write(struct store_writer *w, size_t bytes, char letter) {
  char *body = memory_alloc(bytes);
  memset(body, letter, bytes);
  bool is_written = w && store_write(w, (struct str){body, bytes});
  free(body);
  return is_written;
}

bool store_scene_put(struct store *s, const char *key, size_t bytes, char letter) {
  struct store_writer *w = store_begin(s, str_of(key), STR("head"), STORE_LENGTH_UNKNOWN);
  return store_scene_write(w, bytes, letter) && store_finish(w);
}

char store_scene_get(struct store *s, const char *key, size_t bytes) {
  struct store_lease lease;
  if (!store_find(s, str_of(key), &lease)) return 0;
  char letter = lease.length == bytes && str_equal(lease.head, STR("head")) ? lease.pieces[0].bytes[0] : '?';
  for (unsigned i = 0; i < lease.count; i++)
    for (size_t at = 0; at < lease.pieces[i].length; at++)
      if (lease.pieces[i].bytes[at] != letter) letter = '?';
  store_release(s, &lease);
  return letter;
}
