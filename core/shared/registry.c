// SPDX-License-Identifier: Apache-2.0
// registry: lists of named objects: a root's, and those of its stages, all under the root's lock. The hard problem is
// replacement: if an object does not fit what a generation asks for, a new one gets its name, but only when that
// generation comes into force; the old one lives on without a name until its last holder releases it.
#include "shared/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

enum { REGISTRY_MAGIC = 0x4e91574u, ENTRY_MAGIC = 0xe4749u };

struct registry {
  OBJ_MAGIC;
  struct registry *root; /* borrowed; itself, where it is one */
  struct list named;     /* of entries; a name of a kind is here once */
  uint64_t serial;
  unsigned references; /* under the lock, as all that follows */
  struct registry
      *in_force;        /* of a root: the stage that was merged last; borrowed, NULL: none, or it has gone */
  pthread_mutex_t lock; /* of a root, for its stages too */
};

struct registry_entry {
  OBJ_MAGIC;
  struct list link;                 /* in the named of its home, or in no list: replaced */
  const struct registry_kind *kind; /* borrowed for ever: a constant */
  struct registry *home;            /* borrowed: a stage until it is merged, then the root */
  struct str name;                  /* owned */
  void *object;                     /* owned */
  unsigned references;
};

static void lock(struct registry *r) {
  CHECK_OBJ(r, REGISTRY_MAGIC);
  pthread_mutex_lock(&r->root->lock);
}

static void unlock(struct registry *r) { pthread_mutex_unlock(&r->root->lock); }

/* --- life ------------------------------------------------------------------------------------------------- */

static atomic_uint_fast64_t serials;

static struct registry *make(struct registry *root) {
  struct registry *r = memory_zalloc(sizeof *r);
  r->root = root ? root : r;
  r->references = 1;
  r->serial = atomic_fetch_add(&serials, 1) + 1;
  list_init(&r->named);
  OBJ_INIT(r, REGISTRY_MAGIC);
  return r;
}

struct registry *registry_new(void) {
  struct registry *r = make(NULL);
  pthread_mutex_init(&r->lock, NULL);
  return r;
}

struct registry *registry_stage(struct registry *root) {
  CHECK(root->root == root);
  return make(root);
}

uint64_t registry_serial(const struct registry *r) { return r->serial; }

struct registry *registry_hold(struct registry *r) {
  lock(r);
  CHECK(r->references > 0);
  r->references++;
  unlock(r);
  return r;
}

void registry_free(struct registry *r) {
  if (!r) return;
  lock(r);
  CHECK(r->references > 0);
  bool is_last = --r->references == 0;
  if (is_last && r->root->in_force == r) r->root->in_force = NULL;
  unlock(r);
  if (!is_last) return;
  CHECK(list_is_empty(&r->named));
  if (r->root == r) pthread_mutex_destroy(&r->lock);
  OBJ_END(r, REGISTRY_MAGIC);
  free(r);
}

/* --- names ------------------------------------------------------------------------------------------------ */

static struct registry_entry *find(struct registry *r, const struct registry_kind *kind, struct str name) {
  LIST_EACH(node, &r->named) {
    struct registry_entry *entry = LIST_ENTRY(node, struct registry_entry, link);
    if (entry->kind == kind && str_equal(entry->name, name)) return entry;
  }
  return NULL;
}

static struct registry_entry *add(struct registry *r, const struct registry_kind *kind, struct str name,
                                  const void *config) {
  struct registry_entry *entry = memory_zalloc(sizeof *entry);
  entry->kind = kind;
  entry->home = r;
  entry->name = str_own(name);
  entry->object = kind->make(config);
  if (r == r->root && kind->in_force) kind->in_force(entry->object);
  list_push_front(&r->named, &entry->link);
  OBJ_INIT(entry, ENTRY_MAGIC);
  return entry;
}

static struct registry_entry *find_fit(struct registry *r, const struct registry_kind *kind, struct str name,
                                       const void *config) {
  struct registry_entry *entry = find(r, kind, name);
  return entry && (!kind->fits || kind->fits(entry->object, config)) ? entry : NULL;
}

/* What has that name goes on to live without. */
static void take_name(struct registry *r, const struct registry_kind *kind, struct str name) {
  struct registry_entry *entry = find(r, kind, name);
  if (entry) list_remove(&entry->link);
}

/* Where what `r` makes is made: a stage in force, and a root, change the names in force. */
static struct registry *place_of(struct registry *r) { return r->root->in_force == r ? r->root : r; }

/* A policy that makes a name of what a client says must not use up all memory: nothing is freed before its VM. */
static bool has_place_for_name(struct registry *r, const struct registry_kind *kind) {
  unsigned count = 0;
  LIST_EACH(node, &r->named) count += LIST_ENTRY(node, struct registry_entry, link)->kind == kind;
  return count < REGISTRY_NAMES;
}

struct registry_entry *registry_get(struct registry *r, const struct registry_kind *kind, struct str name,
                                    const void *config) {
  lock(r);
  struct registry_entry *entry = find_fit(r, kind, name, config);
  if (!entry && r->root != r) entry = find_fit(r->root, kind, name, config);
  if (!entry && !has_place_for_name(place_of(r), kind)) {
    unlock(r);
    return NULL;
  }
  if (!entry) {
    take_name(place_of(r), kind, name);
    entry = add(place_of(r), kind, name, config);
  }
  entry->references++;
  unlock(r);
  return entry;
}

/* The oldest first, so that the order of names in the root is that in which they were made. */
void registry_merge(struct registry *stage) {
  struct registry *root = stage->root;
  CHECK(root != stage);
  lock(stage);
  while (!list_is_empty(&stage->named)) {
    struct registry_entry *entry = LIST_ENTRY(stage->named.prev, struct registry_entry, link);
    CHECK_OBJ(entry, ENTRY_MAGIC);
    CHECK(entry->home == stage);
    list_remove(&entry->link);
    take_name(root, entry->kind, entry->name);
    entry->home = root;
    if (entry->kind->in_force) entry->kind->in_force(entry->object);
    list_push_front(&root->named, &entry->link);
  }
  root->in_force = stage;
  unlock(stage);
}

bool registry_owns(struct registry *r, const struct registry_entry *entry) {
  lock(r);
  CHECK_OBJ(entry, ENTRY_MAGIC);
  bool owns = entry->home == place_of(r) || entry->home == r;
  unlock(r);
  return owns;
}

void registry_forget_names(struct registry *root) {
  CHECK(root->root == root);
  lock(root);
  while (!list_is_empty(&root->named)) list_remove(root->named.next);
  unlock(root);
}

void *registry_object(const struct registry_entry *entry) { return entry->object; }

struct str registry_name(const struct registry_entry *entry) {
  return entry->name;
}

struct registry_entry **registry_hold_all(struct registry *r, const char *kind, unsigned *count) {
  struct registry_entry **held = NULL;
  *count = 0;
  lock(r);
  for (struct list *node = r->named.prev; node != &r->named; node = node->prev) {
    struct registry_entry *entry = LIST_ENTRY(node, struct registry_entry, link);
    if (strcmp(entry->kind->name, kind) != 0) continue;
    held = memory_realloc(held, (*count + 1) * sizeof *held);
    held[(*count)++] = entry;
    entry->references++;
  }
  unlock(r);
  return held;
}

void registry_release(struct registry *r, struct registry_entry *entry) {
  lock(r);
  CHECK_OBJ(entry, ENTRY_MAGIC);
  CHECK(entry->references > 0);
  bool is_last = --entry->references == 0;
  if (is_last) list_remove(&entry->link);
  unlock(r);
  if (!is_last) return;
  entry->kind->free(entry->object);
  OBJ_END(entry, ENTRY_MAGIC);
  free((char *)entry->name.ptr);
  free(entry);
}
