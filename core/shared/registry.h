// SPDX-License-Identifier: Apache-2.0
// registry: shared objects by kind and name. Every worker's VM runs the same policy and asks for the same
// names, so all get one object; and a reload that asks for a name again finds what was there.
// Reference-counted: an object is freed when the last holder lets go. A lock is held while looking up and
// making: make and fits must not call the registry; free may.
#ifndef PERILUNE_SHARED_REGISTRY_H
#define PERILUNE_SHARED_REGISTRY_H

#include "base/str.h"

struct registry;
struct registry_entry;

struct registry_kind {
  const char *name;                  /* "rate", "backends", ... */
  void *(*make)(const void *config); /* never NULL */
  void (*free)(void *object);
  /* May `object` serve where `config` was asked for? false: a new object takes its name. NULL: it always may.
   */
  bool (*fits)(const void *object, const void *config);
};

struct registry *registry_new(void);
/* All entries must have been released. */
void registry_free(struct registry *r);
/* Finds or makes; the caller holds a reference until registry_release. */
struct registry_entry *registry_get(struct registry *r, const struct registry_kind *kind, struct str name,
                                    const void *config);
void *registry_object(const struct registry_entry *entry);
/* As it was given; lives as long as the reference. */
struct str registry_name(const struct registry_entry *entry);
/* A reference to every object that has its name and a kind of that name, oldest first: malloc'd, `*count` of
 * them, each to be released. */
struct registry_entry **registry_hold_all(struct registry *r, const char *kind, unsigned *count);
void registry_release(struct registry *r, struct registry_entry *entry);

#endif
