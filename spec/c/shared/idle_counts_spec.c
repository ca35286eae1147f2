// SPDX-License-Identifier: Apache-2.0
// Units for shared/idle_counts.
#include "shared/idle_counts.h"

#include <stdlib.h>

#include "threads.h"
#include "unit.h"

static const unsigned avoiding_none[THREADS];

IT("gives the same identity the same entry, another one another") {
  struct idle_counts_table *table = idle_counts_table_new(2);
  int here, there;
  struct idle_counts *first = idle_counts_join(table, STR("a\0b"), 0, &here);
  struct idle_counts *same = idle_counts_join(table, STR("a\0b"), 1, &there);
  struct idle_counts *other = idle_counts_join(table, STR("a\0c"), 0, &here);
  CHECK(first == same && first != other);
  CHECK(idle_counts_owner(first, 0) == &here && idle_counts_owner(first, 1) == &there);
  idle_counts_leave(first, 0);
  CHECK(idle_counts_owner(first, 0) == NULL && idle_counts_owner(first, 1) == &there);
  idle_counts_leave(same, 1);
  idle_counts_leave(other, 0);
  idle_counts_table_free(table);
}

IT("names the other worker that has most, and none that is avoided or has none") {
  struct idle_counts_table *table = idle_counts_table_new(4);
  struct idle_counts *counts = idle_counts_join(table, STR("peer"), 0, table);
  CHECK(idle_counts_most(counts, 0, avoiding_none) == IDLE_COUNTS_NOBODY);
  idle_counts_state(counts, 0, 9);
  CHECK(idle_counts_most(counts, 0, avoiding_none) == IDLE_COUNTS_NOBODY);
  idle_counts_state(counts, 1, 2);
  idle_counts_state(counts, 3, 3);
  CHECK(idle_counts_most(counts, 0, avoiding_none) == 3);
  CHECK(idle_counts_most(counts, 3, avoiding_none) == 0);
  unsigned late[] = {0, 0, 0, 1};
  CHECK(idle_counts_most(counts, 0, late) == 1);
  idle_counts_leave(counts, 0);
  idle_counts_table_free(table);
}

IT("asks equal ones in turn, each worker another one first") {
  struct idle_counts_table *table = idle_counts_table_new(4);
  struct idle_counts *counts = idle_counts_join(table, STR("peer"), 0, table);
  for (unsigned i = 0; i < 4; i++) idle_counts_state(counts, i, 1);
  for (unsigned i = 0; i < 4; i++) CHECK(idle_counts_most(counts, i, avoiding_none) == (int)(i + 1) % 4);
  idle_counts_leave(counts, 0);
  idle_counts_table_free(table);
}

IT("keeps an entry as long as anybody has it") {
  struct idle_counts_table *table = idle_counts_table_new(2);
  struct idle_counts *counts = idle_counts_join(table, STR("peer"), 0, table);
  idle_counts_hold(counts);
  idle_counts_leave(counts, 0);
  CHECK(idle_counts_join(table, STR("peer"), 1, table) == counts);
  idle_counts_leave(counts, 1);
  CHECK(idle_counts_owner(counts, 1) == NULL);
  idle_counts_release(counts);
  idle_counts_table_free(table);
}

static void come_and_go(void *argument, unsigned index) {
  for (int i = 0; i < 5000; i++) {
    struct idle_counts *counts = idle_counts_join(argument, STR("peer"), index, argument);
    idle_counts_state(counts, index, 1);
    idle_counts_hold(counts);
    idle_counts_leave(counts, index);
    if (idle_counts_most(counts, index, avoiding_none) == (int)index) abort();
    idle_counts_release(counts);
  }
}

IT("lets workers come and go at once") {
  struct idle_counts_table *table = idle_counts_table_new(THREADS);
  threads_run(come_and_go, table);
  idle_counts_table_free(table);
}
