// SPDX-License-Identifier: Apache-2.0
// registry: shared objects by kind and name. Every worker's VM runs the same policy and asks for the same
// names, so all get one object; and a reload that asks for a name again finds what was there.
// Reference-counted: an object is freed when the last holder releases it. A lock is held during lookups and
// while an object is made: `make` and `fits` must not call the registry; `free` may.
//
// Words. root: the registry whose names are in force; status and metrics are read from it. stage: a generation's
// registry on top of a root. It uses the objects of the root that fit; an object that does not fit or does not exist
// is made in the stage, and no name of the root changes. registry_merge puts the names of a stage into the root when
// its generation comes into force; a stage that is dropped before that leaves no trace. So a generation that is
// refused, tried or retired cannot take a name away from the one in force.
#ifndef PERILUNE_SHARED_REGISTRY_H
#define PERILUNE_SHARED_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

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
  /* Its name is in force from now on: once for each object, and never for one that is dropped before. NULL: that is
   * all the same to it. */
  void (*in_force)(void *object);
};

/* A root, with one reference. */
struct registry *registry_new(void);
/* A stage of a root, with one reference; the root must outlive it. */
struct registry *registry_stage(struct registry *root);
struct registry *registry_hold(struct registry *r);
/* Lets go of a reference. With the last one all its entries must have been released. NULL is fine. */
void registry_free(struct registry *r);
/* The stage's generation is in force: its names are the root's from now on, and what it makes is made there, until
 * another stage is merged. Objects that lose their name live on until their last holder lets go. */
void registry_merge(struct registry *stage);
/* A number that no other registry of the process has had. */
uint64_t registry_serial(const struct registry *r);
/* Is the entry `r`'s own to change? False: it is in force, and `r` is a stage that is not. */
bool registry_owns(struct registry *r, const struct registry_entry *entry);
/* Finds or makes; the caller holds a reference until registry_release. */
/* NULL: there is no object of that name, and where it would be made (the stage, or what is in force) its kind has
 * REGISTRY_NAMES names already. */
enum { REGISTRY_NAMES = 1000 };
struct registry_entry *registry_get(struct registry *r, const struct registry_kind *kind, struct str name,
                                    const void *config);
/* No object has its name any more, as if all had been replaced: each lives on until its last holder lets go. */
void registry_forget_names(struct registry *root);
void *registry_object(const struct registry_entry *entry);
/* As it was given; lives as long as the reference. */
struct str registry_name(const struct registry_entry *entry);
/* A reference to every object that has its name and a kind of that name, oldest first: malloc'd, `*count` of
 * them, each to be released. */
struct registry_entry **registry_hold_all(struct registry *r, const char *kind, unsigned *count);
void registry_release(struct registry *r, struct registry_entry *entry);

#endif
