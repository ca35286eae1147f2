// SPDX-License-Identifier: Apache-2.0
// discovery: what is known of a source of backends: how old its last list is, and what went wrong last. It lives as
// long as a policy names the source, over reloads. The control worker's task that asks the source writes it, status
// and metrics read it. Thread-safe.
#ifndef PERILUNE_SHARED_DISCOVERY_H
#define PERILUNE_SHARED_DISCOVERY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "shared/registry.h"

enum { DISCOVERY_WHY_BYTES = 200 };

struct discovery;

/* Which source fills which set: "etcd", "http://10.0.0.1:2379 /services/app/", "round_robin". */
struct discovery_name {
  struct str kind, source, set;
};
/* Its configuration is a struct discovery_name, which is copied. */
extern const struct registry_kind discovery_kind;

struct discovery_facts {
  struct discovery_name name; /* borrowed from the object */
  uint64_t backends;          /* of the list in use */
  uint64_t changes;           /* lists that were taken and differed from the last one */
  uint64_t failures;
  uint64_t skipped;   /* entries of the last list that nobody could use */
  struct moment made; /* when the first policy named it */
  struct moment good; /* when the source last said that the list is right; or (is_kept) as the file says */
  bool is_kept;       /* the list comes from the file that the last process left */
  bool is_down;       /* the source could not be asked, or its list was not taken */
  char why[DISCOVERY_WHY_BYTES]; /* of the last failure */
};

struct discovery_facts discovery_read(struct discovery *d);
/* The list is right, as it was before. */
void discovery_note_alive(struct discovery *d);
/* The same, and it has so many backends; `skipped` more could not be used. */
void discovery_note_list(struct discovery *d, uint64_t backends, uint64_t skipped, bool is_change);
void discovery_note_failure(struct discovery *d, struct str why);
/* Backends of a file, that were right at that time. */
void discovery_note_kept(struct discovery *d, uint64_t backends, time_t good_at);

/* Seconds since good_at, or since it was first asked where it never was. */
double discovery_age(const struct discovery_facts *facts);

#endif
