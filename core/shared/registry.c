// SPDX-License-Identifier: Apache-2.0
// registry: the list of named objects. The one hard problem is replacement: an object that does not fit what
// a reload asks for gives its name to a new one, and goes on to live nameless until its last holder lets go.
#include "shared/registry.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

struct registry {
  pthread_mutex_t lock;
  struct list named; /* of entries; a name of a kind is here once */
};

struct registry_entry {
  struct list link;                 /* in registry.named, or in no list: replaced */
  const struct registry_kind *kind; /* borrowed for ever: a constant */
  struct str name;                  /* owned */
  void *object;                     /* owned */
  unsigned references;
};

struct registry *registry_new(void) {
  struct registry *r = memory_zalloc(sizeof *r);
  pthread_mutex_init(&r->lock, NULL);
  list_init(&r->named);
  return r;
}

void registry_free(struct registry *r) {
  if (!r) return;
  CHECK(list_is_empty(&r->named));
  pthread_mutex_destroy(&r->lock);
  free(r);
}

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
  entry->name = (struct str){str_to_cstring(name), name.len};
  entry->object = kind->make(config);
  list_push_front(&r->named, &entry->link);
  return entry;
}

struct registry_entry *registry_get(struct registry *r, const struct registry_kind *kind, struct str name,
                                    const void *config) {
  pthread_mutex_lock(&r->lock);
  struct registry_entry *entry = find(r, kind, name);
  if (entry && kind->fits && !kind->fits(entry->object, config)) {
    list_remove(&entry->link);
    entry = NULL;
  }
  if (!entry) entry = add(r, kind, name, config);
  entry->references++;
  pthread_mutex_unlock(&r->lock);
  return entry;
}

void *registry_object(const struct registry_entry *entry) { return entry->object; }

struct str registry_name(const struct registry_entry *entry) {
  return entry->name;
}

struct registry_entry **registry_hold_all(struct registry *r, const char *kind, unsigned *count) {
  struct registry_entry **held = NULL;
  *count = 0;
  pthread_mutex_lock(&r->lock);
  for (struct list *node = r->named.prev; node != &r->named; node = node->prev) {
    struct registry_entry *entry = LIST_ENTRY(node, struct registry_entry, link);
    if (strcmp(entry->kind->name, kind) != 0) continue;
    held = memory_realloc(held, (*count + 1) * sizeof *held);
    held[(*count)++] = entry;
    entry->references++;
  }
  pthread_mutex_unlock(&r->lock);
  return held;
}

void registry_release(struct registry *r, struct registry_entry *entry) {
  pthread_mutex_lock(&r->lock);
  bool is_last = --entry->references == 0;
  if (is_last) list_remove(&entry->link);
  pthread_mutex_unlock(&r->lock);
  if (!is_last) return;
  entry->kind->free(entry->object);
  free((char *)entry->name.ptr);
  free(entry);
}
