// SPDX-License-Identifier: Apache-2.0
// Units for shared/store_recover and shared/store_adopt: which records count where some are damaged, replaced, removed
// or have lost a segment. Both read the segments from the first to the last, so a segment of each log says what is read
// first.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/store_parts.h"
#include "store_scene.h"
#include "unit.h"

enum way { RECOVERED, ADOPTED, WAYS };

static struct store *store_next(struct store_scene *scene, enum way way, struct store **old) {
  if (way == RECOVERED) {
    store_free(*old);
    *old = NULL;
  }
  scene->settings.has_predecessor = way == ADOPTED;
  scene->settings.predecessor = *old ? store_descriptor(*old) : -1;
  struct store *s = store_scene_open(scene);
  CHECK(store_is_inherited(s));
  return s;
}

static void end(struct store_scene *scene, struct store *s, struct store *old) {
  store_free(s);
  store_free(old);
  scene->settings.has_predecessor = false;
  unlink(scene->path);
}

static bool put_in(struct store *s, enum store_log log, const char *key, size_t bytes, char letter) {
  struct store_writer *w = store_begin_in(s, log, str_of(key), STR("head"), STORE_LENGTH_UNKNOWN);
  return store_scene_write(w, bytes, letter) && store_finish(w);
}

/* The record under that key; the segment is not pinned. */
static struct record *record_under(struct store *s, const char *key, struct store_place *place) {
  bool is_unchecked;
  struct store_place there;
  const struct record *r = index_find(s, store_hash(str_of(key)), str_of(key), &there, &is_unchecked);
  CHECK(r);
  segments_unpin(&s->segments, there.segment);
  if (place) *place = there;
  return (struct record *)(uintptr_t)r;
}

/* As where the bucket of its key was full. */
static void forget(struct store *s, const char *key) {
  struct store_place place;
  record_under(s, key, &place);
  index_drop(s, store_hash(str_of(key)), place);
}

/* Two records of one key that both look as if they counted: the later one is read first, or last. */
static void put_twice(struct store *s, bool is_later_first) {
  CHECK(put_in(s, STORE_SMALL, "first", 10, 'f') && put_in(s, STORE_MAIN, "second", 10, 's'));
  CHECK(put_in(s, is_later_first ? STORE_MAIN : STORE_SMALL, "twice", 10, 'o'));
  forget(s, "twice");
  CHECK(put_in(s, is_later_first ? STORE_SMALL : STORE_MAIN, "twice", 10, 'l'));
}

IT("takes of two of a key the one that was stored later, whichever is read first") {
  for (enum way way = 0; way < WAYS; way++)
    for (int is_later_first = 0; is_later_first < 2; is_later_first++) {
      struct store_scene scene;
      store_scene_begin(&scene);
      struct store *old = store_scene_open(&scene);
      put_twice(old, is_later_first);
      struct store *s = store_next(&scene, way, &old);
      CHECK(store_scene_get(s, "twice", 10) == 'l');
      end(&scene, s, old);
    }
}

/* Each part of a record in turn; the later of two is the one that is damaged. */
static void damage(struct record *r, int part) {
  switch (part) {
  case 0: *(char *)(uintptr_t)record_head(r).ptr = 'H'; break;
  case 1: *(char *)(uintptr_t)record_key(r).ptr = 'T'; break;
  case 2: r->pieces[0].sum++; break;
  case 3: r->sum++; break;
  case 4: r->serial += 100; break;
  case 5: r->hash ^= 1; break;
  case 6:
    r->pieces[0].length--;
    r->body_bytes--;
    break;
  default: r->pieces[0].place.offset += STORE_ALIGN;
  }
}

IT("believes no record whose sum is wrong: what was stored before counts") {
  for (enum way way = 0; way < WAYS; way++)
    for (int part = 0; part < 8; part++) {
      struct store_scene scene;
      store_scene_begin(&scene);
      struct store *old = store_scene_open(&scene);
      put_twice(old, part % 2);
      damage(record_under(old, "twice", NULL), part);
      struct store *s = store_next(&scene, way, &old);
      CHECK(store_scene_get(s, "twice", 10) == 'o');
      CHECK(!store_scene_get(s, "Twice", 10) && store_scene_get(s, "first", 10) == 'f');
      end(&scene, s, old);
    }
}

IT("believes no body whose sum is wrong") {
  for (enum way way = 0; way < WAYS; way++) {
    struct store_scene scene;
    store_scene_begin(&scene);
    struct store *old = store_scene_open(&scene);
    CHECK(store_scene_put(old, "damaged", 90000, 'd') && store_scene_put(old, "fine", 10, 'f'));
    struct record_piece piece = record_under(old, "damaged", NULL)->pieces[2];
    segments_at(&old->segments, piece.place.segment, piece.place.offset)[piece.length - 1] = '?';
    struct store *s = store_next(&scene, way, &old);
    CHECK(!store_scene_get(s, "damaged", 90000) && store_scene_get(s, "fine", 10) == 'f');
    end(&scene, s, old);
  }
}

IT("believes no record with a piece in a segment that was emptied since: what was stored before counts") {
  struct store_scene scene;
  store_scene_begin(&scene);
  struct store *old = store_scene_open(&scene);
  CHECK(put_in(old, STORE_MAIN, "twice", 10, 'o'));
  forget(old, "twice");
  CHECK(store_scene_put(old, "twice", 90000, 'l'));
  struct record_piece last = record_under(old, "twice", NULL)->pieces[2];
  atomic_fetch_add(&old->segments.front->segments[last.place.segment].generation, 1);
  struct store *s = store_next(&scene, RECOVERED, &old);
  CHECK(store_scene_get(s, "twice", 10) == 'o');
  end(&scene, s, old);
}

IT("does not bring back what was removed, replaced, or finished for nobody else") {
  for (enum way way = 0; way < WAYS; way++) {
    struct store_scene scene;
    struct store_lease lease;
    store_scene_begin(&scene);
    struct store *old = store_scene_open(&scene);
    CHECK(store_scene_put(old, "removed", 10, 'r') && store_remove(old, STR("removed")));
    CHECK(store_scene_put(old, "by hash", 10, 'h') && store_remove_hash(old, store_hash(STR("by hash"))));
    CHECK(store_scene_put(old, "replaced", 10, 'o') && store_scene_put(old, "replaced", 20, 'l'));
    record_under(old, "replaced", NULL)->sum++;
    struct store_writer *w = store_begin(old, STR("unpublished"), STR("head"), STORE_LENGTH_UNKNOWN);
    CHECK(store_scene_write(w, 10, 'u') && store_finish_leased(w, false, &lease));
    store_release(old, &lease);
    struct store *s = store_next(&scene, way, &old);
    CHECK(!store_scene_get(s, "removed", 10));
    CHECK(!store_scene_get(s, "by hash", 10));
    CHECK(!store_scene_get(s, "replaced", 10) && !store_scene_get(s, "replaced", 20));
    CHECK(!store_scene_get(s, "unpublished", 10));
    end(&scene, s, old);
  }
}

IT("does not bring back what was removed while it was moved, or after that") {
  for (enum way way = 0; way < WAYS; way++) {
    struct store_scene scene;
    struct store_place from;
    store_scene_begin(&scene);
    struct store *old = store_scene_open(&scene);
    for (int is_early = 0; is_early < 2; is_early++) {
      const char *key = is_early ? "early" : "late";
      CHECK(store_scene_put(old, key, 10, 'm'));
      struct record *r = record_under(old, key, &from);
      struct store_writer *w = store_begin_in(old, STORE_MAIN, str_of(key), STR("head"), 10);
      store_set_serial(w, r->serial);
      CHECK(store_scene_write(w, 10, 'm'));
      if (is_early) CHECK(store_remove(old, str_of(key)));
      CHECK(store_finish_move(w, from, 0) == !is_early);
      if (!is_early) CHECK(store_remove(old, str_of(key)));
    }
    struct store *s = store_next(&scene, way, &old);
    CHECK(!store_scene_get(s, "late", 10) && !store_scene_get(s, "early", 10));
    end(&scene, s, old);
  }
}
