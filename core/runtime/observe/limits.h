// SPDX-License-Identifier: Apache-2.0
// limits: the tables behind the limits of the policy in force, as status and metrics show them.
#ifndef PERILUNE_RUNTIME_LIMITS_H
#define PERILUNE_RUNTIME_LIMITS_H

#include <stdint.h>

#include "base/str.h"

struct registry;

struct limits_entry {
  struct str name;  /* borrowed for the call */
  const char *kind; /* "window", "sliding", "bucket", "cluster", "concurrency" */
  unsigned keys;    /* how many there is room for */
  size_t bytes;
  uint64_t overflowed; /* times that there was no room: a count was forgotten, or a new key not counted */
};

/* Calls `each` for every table. Thread-safe. */
void limits_read(struct registry *registry, void (*each)(const struct limits_entry *entry, void *context),
                 void *context);

#endif
