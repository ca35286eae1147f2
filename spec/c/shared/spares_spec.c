// SPDX-License-Identifier: Apache-2.0
// Units for shared/spares.
#include "shared/spares.h"

#include <stdlib.h>

#include "threads.h"
#include "unit.h"

static const unsigned avoiding_none[THREADS];

IT("gives the same identity the same entry, another one another") {
  struct spares_board *board = spares_board_new(2);
  int here, there;
  struct spares *first = spares_join(board, STR("a\0b"), 0, &here);
  struct spares *same = spares_join(board, STR("a\0b"), 1, &there);
  struct spares *other = spares_join(board, STR("a\0c"), 0, &here);
  CHECK(first == same && first != other);
  CHECK(spares_owner(first, 0) == &here && spares_owner(first, 1) == &there);
  spares_leave(first, 0);
  CHECK(spares_owner(first, 0) == NULL && spares_owner(first, 1) == &there);
  spares_leave(same, 1);
  spares_leave(other, 0);
  spares_board_free(board);
}

IT("names the other worker that has most, and none that is avoided or has none") {
  struct spares_board *board = spares_board_new(4);
  struct spares *spares = spares_join(board, STR("peer"), 0, board);
  CHECK(spares_richest(spares, 0, avoiding_none) == SPARES_NOBODY);
  spares_state(spares, 0, 9);
  CHECK(spares_richest(spares, 0, avoiding_none) == SPARES_NOBODY);
  spares_state(spares, 1, 2);
  spares_state(spares, 3, 3);
  CHECK(spares_richest(spares, 0, avoiding_none) == 3);
  CHECK(spares_richest(spares, 3, avoiding_none) == 0);
  unsigned late[] = {0, 0, 0, 1};
  CHECK(spares_richest(spares, 0, late) == 1);
  spares_leave(spares, 0);
  spares_board_free(board);
}

IT("asks equal ones in turn, each worker another one first") {
  struct spares_board *board = spares_board_new(4);
  struct spares *spares = spares_join(board, STR("peer"), 0, board);
  for (unsigned i = 0; i < 4; i++) spares_state(spares, i, 1);
  for (unsigned i = 0; i < 4; i++) CHECK(spares_richest(spares, i, avoiding_none) == (int)(i + 1) % 4);
  spares_leave(spares, 0);
  spares_board_free(board);
}

IT("keeps an entry as long as anybody has it") {
  struct spares_board *board = spares_board_new(2);
  struct spares *spares = spares_join(board, STR("peer"), 0, board);
  spares_hold(spares);
  spares_leave(spares, 0);
  CHECK(spares_join(board, STR("peer"), 1, board) == spares);
  spares_leave(spares, 1);
  CHECK(spares_owner(spares, 1) == NULL);
  spares_release(spares);
  spares_board_free(board);
}

static void come_and_go(void *argument, unsigned index) {
  for (int i = 0; i < 5000; i++) {
    struct spares *spares = spares_join(argument, STR("peer"), index, argument);
    spares_state(spares, index, 1);
    spares_hold(spares);
    spares_leave(spares, index);
    if (spares_richest(spares, index, avoiding_none) == (int)index) abort();
    spares_release(spares);
  }
}

IT("lets workers come and go at once") {
  struct spares_board *board = spares_board_new(THREADS);
  threads_run(come_and_go, board);
  spares_board_free(board);
}
