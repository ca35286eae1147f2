// SPDX-License-Identifier: Apache-2.0
// set: see set.h.
#include "set.h"

const struct backend_spec set_plain[3] = {
    {STR_INIT("1.0.0.1:80"), 1, 0}, {STR_INIT("1.0.0.255:80"), 1, 0}, {STR_INIT("1.1.1.1:80"), 1, 0}};
const struct backend_spec set_weighted[3] = {
    {STR_INIT("1.0.0.1:80"), 8, 0}, {STR_INIT("1.0.0.255:80"), 1, 0}, {STR_INIT("1.1.1.1:80"), 1, 0}};

void set_open(struct set_under_test *t, const struct backend_spec *specs, unsigned count) {
  clock_fake_init(&t->clock, 1000000);
  t->set = backends_new(&t->clock.clock);
  t->view = backends_view(t->set, specs, count, NULL, 0);
}

void set_close(struct set_under_test *t) {
  backends_view_release(t->view);
  backends_free(t->set);
}

int set_choose(struct set_under_test *t, enum algorithm algorithm, const char *key) {
  struct choice choice = {.key = str_of(key)};
  backends_look(t->view);
  return backends_choose(t->view, algorithm, &choice);
}
