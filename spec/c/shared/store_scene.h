// SPDX-License-Identifier: Apache-2.0
// store_scene: a small store in a file, for units of what the next process finds in it. A body is one letter, repeated.
#ifndef PERILUNE_SPEC_STORE_SCENE_H
#define PERILUNE_SPEC_STORE_SCENE_H

#include "shared/store.h"
#include "unit.h"

enum { STORE_SCENE_BYTES = 2 << 20 };

struct store_scene {
  char path[UNIT_PATH_BYTES];
  struct store_settings settings;
};

/* Nothing is at the path so far; the caller unlinks it in the end. */
void store_scene_begin(struct store_scene *scene);
struct store *store_scene_open(const struct store_scene *scene);
bool store_scene_write(struct store_writer *w, size_t bytes, char letter);
bool store_scene_put(struct store *s, const char *key, size_t bytes, char letter);
/* The letter that the body consists of; '?': it does not, or the head is another; 0: there is none. */
char store_scene_get(struct store *s, const char *key, size_t bytes);

#endif
