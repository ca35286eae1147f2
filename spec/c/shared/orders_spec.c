// SPDX-License-Identifier: Apache-2.0
// Units for shared/orders and what sets make of them.
#include "shared/orders.h"

#include <stdlib.h>

#include "set.h"
#include "unit.h"

static const struct str all = {NULL, 0};
#define FIRST STR("1.0.0.1:80")

static void order(struct set_under_test *t, struct str address, enum order_use use, unsigned weight) {
  CHECK(orders_put(STR("app"), address, (struct order){use, weight}));
  backends_take_orders(t->set);
  backends_look(t->view);
}

static void open_named(struct set_under_test *t, const struct backend_spec *specs, unsigned count) {
  set_open(t, specs, count);
  backends_name(t->set, STR("app"));
}

static void close_named(struct set_under_test *t) {
  set_close(t);
  orders_forget(all, all);
}

IT("goes to a successor as text, whatever bytes are in a name") {
  char *text = NULL;
  size_t bytes;
  CHECK(orders_put(STR("a \n1"), STR("x:80"), (struct order){ORDER_DRAIN, 0}));
  CHECK(orders_put(STR("b"), STR("y:80"), (struct order){ORDER_USE, 7}));
  FILE *out = open_memstream(&text, &bytes);
  orders_write(out);
  fclose(out);
  CHECK(orders_forget(all, all) == 2 && orders_find(STR("b"), STR("y:80")).weight == 0);
  CHECK(orders_read((struct str){text, bytes}));
  CHECK(orders_find(STR("a \n1"), STR("x:80")).use == ORDER_DRAIN);
  CHECK(orders_find(STR("b"), STR("y:80")).weight == 7 && orders_forget(all, all) == 2);
  for (size_t cut = 1; cut < bytes; cut++) { /* what is whole is kept, and nothing else */
    bool is_between = text[cut - 1] == '\n' && text[cut] == '0';
    CHECK(orders_read((struct str){text, cut}) == is_between);
    CHECK(orders_forget(all, all) <= 1);
  }
  CHECK(!orders_read(STR("1 0 99999999999999999999 1 a\n")) && !orders_read(STR("9 0 1 1 ab\n")));
  CHECK(!orders_read(STR("1 0 18446744073709551615 18446744073709551615 ab\n")) && !orders_read(STR("\n")));
  free(text);
}

IT("has a bound, and takes changes of what it has beyond it") {
  char address[16];
  for (unsigned i = 0; i < ORDERS_MOST; i++) {
    sprintf(address, "%u:80", i);
    CHECK(orders_put(STR("s"), str_of(address), (struct order){ORDER_DISABLE, 0}));
  }
  CHECK(!orders_put(STR("s"), STR("one more:80"), (struct order){ORDER_DISABLE, 0}));
  CHECK(orders_put(STR("s"), STR("7:80"), (struct order){ORDER_DRAIN, 0}));
  CHECK(orders_forget(STR("t"), all) == 0 && orders_forget(STR("s"), STR("7:80")) == 1);
  CHECK(orders_forget(STR("s"), all) == ORDERS_MOST - 1);
}

IT("keeps a drained backend out of all choices, over new lists and after it was away") {
  struct set_under_test t;
  open_named(&t, SET_PLAIN);
  order(&t, FIRST, ORDER_DRAIN, 0);
  for (int i = 0; i < 30; i++)
    for (enum algorithm a = 0; a <= ALGORITHM_least_latency; a++) CHECK(set_choose(&t, a, "key") != 0);
  CHECK(backends_ready_count(t.view) == 2);
  backends_publish(t.set, set_plain + 1, 2);
  backends_look(t.view);
  backends_publish(t.set, SET_PLAIN);
  backends_look(t.view);
  CHECK(backends_ready_count(t.view) == 2 && !backend_is_enabled(backends_at(t.view, 0)));
  order(&t, FIRST, ORDER_USE, 0);
  CHECK(backends_ready_count(t.view) == 3);
  close_named(&t);
}

IT("leaves out what the policy has taken out, when people put it back") {
  struct set_under_test t;
  open_named(&t, SET_PLAIN);
  backend_set_enabled(backends_at(t.view, 0), false);
  order(&t, FIRST, ORDER_DISABLE, 0);
  order(&t, FIRST, ORDER_USE, 0);
  CHECK(!backend_is_enabled(backends_at(t.view, 0)));
  backend_set_enabled(backends_at(t.view, 0), true);
  CHECK(backend_is_enabled(backends_at(t.view, 0)));
  close_named(&t);
}

IT("gives a backend that people put back its share slowly, as one that was ill") {
  struct set_under_test t;
  open_named(&t, SET_PLAIN);
  struct backend_rules rules = {.slow_start_ms = 10000};
  order(&t, FIRST, ORDER_DRAIN, 0);
  order(&t, FIRST, ORDER_USE, 0);
  CHECK(backend_ramp(backends_at(t.view, 0), &rules, 1005000) == 0.5);
  CHECK(backend_ramp(backends_at(t.view, 1), &rules, 1005000) == 1);
  close_named(&t);
}

static unsigned share(struct set_under_test *t, int index, unsigned of) {
  unsigned chosen = 0;
  for (unsigned i = 0; i < of; i++) chosen += set_choose(t, ALGORITHM_round_robin, "") == index;
  return chosen;
}

IT("gives a backend the weight that people say, in this list and in those that follow, until they forget "
   "it") {
  struct set_under_test t;
  open_named(&t, SET_PLAIN);
  set_choose(&t, ALGORITHM_consistent, "key"); /* there are circles, too */
  order(&t, FIRST, ORDER_USE, 8);
  CHECK(t.view->list->entries[0].weight == 8 && t.view->list->entries[0].given == 1);
  CHECK(share(&t, 0, 100) == 80);
  backends_publish(t.set, SET_PLAIN);
  backends_look(t.view);
  CHECK(t.view->list->entries[0].weight == 8);
  CHECK(orders_forget(STR("app"), all) == 1);
  backends_take_orders(t.set);
  backends_look(t.view);
  CHECK(t.view->list->entries[0].weight == 1);
  close_named(&t);
}

IT("knows a policy's list again when people have changed a weight in it") {
  struct set_under_test t;
  open_named(&t, SET_WEIGHTED);
  order(&t, FIRST, ORDER_USE, 2);
  struct backends_view *again = backends_stage(t.set, SET_WEIGHTED, NULL, 1);
  CHECK(!again->is_staged && again->list->entries[0].weight == 2);
  struct backends_view *other = backends_stage(t.set, set_plain, 2, NULL, 1);
  order(&t, FIRST, ORDER_USE, 3); /* while the other is only tried */
  backends_commit(other);
  CHECK(other->list->entries[0].weight == 3 && backends_count(other) == 2);
  backends_view_release(again);
  backends_view_release(other);
  close_named(&t);
}

IT("holds for a set that comes later, and for no other") {
  struct set_under_test t, other;
  CHECK(orders_put(STR("app"), FIRST, (struct order){ORDER_DISABLE, 5}));
  set_open(&t, SET_PLAIN);
  set_open(&other, SET_PLAIN);
  backends_name(t.set, STR("app"));
  backends_name(other.set, STR("other"));
  backends_look(t.view);
  CHECK(backends_ready_count(t.view) == 2 && t.view->list->entries[0].weight == 5);
  CHECK(backends_ready_count(other.view) == 3);
  set_close(&other);
  close_named(&t);
}
