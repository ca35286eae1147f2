// SPDX-License-Identifier: Apache-2.0
// set: a set of backends with one view of it, on a clock that stands still, for units.
#ifndef PERILUNE_SPEC_SET_H
#define PERILUNE_SPEC_SET_H

#include "shared/choose.h"
#include "shared/lease.h"

struct set_under_test {
  struct clock_fake clock;
  struct backends *set;
  struct backends_view *view;
};

/* Choices by chance are the same in each run. The time is 1000 s. */
void set_open(struct set_under_test *t, const struct backend_spec *specs, unsigned count);
void set_close(struct set_under_test *t);
/* The position chosen, with nothing excluded, after a look for a new list. */
int set_choose(struct set_under_test *t, enum algorithm algorithm, const char *key);

/* Three as in Pingora's tests, and where b1, b2 and b3 of those stand in the list. */
extern const struct backend_spec set_plain[3], set_weighted[3];
enum { B2, B3, B1 };
#define SET_PLAIN    set_plain, 3
#define SET_WEIGHTED set_weighted, 3

#endif
