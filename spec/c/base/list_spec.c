// SPDX-License-Identifier: Apache-2.0
// Units for base/list.
#include "base/list.h"

#include "unit.h"

struct item {
  int number;
  struct list node;
};

/* The numbers of a list as the digits of one number. */
static int digits_of(struct list *list) {
  int digits = 0;
  LIST_EACH(node, list) digits = digits * 10 + LIST_ENTRY(node, struct item, node)->number;
  return digits;
}

IT("keeps the order of what is pushed to its ends") {
  struct list list;
  struct item one = {.number = 1}, two = {.number = 2}, three = {.number = 3};
  list_init(&list);
  CHECK(list_is_empty(&list));
  list_push_back(&list, &two.node);
  list_push_back(&list, &three.node);
  list_push_front(&list, &one.node);
  CHECK(digits_of(&list) == 123);
  CHECK(!list_is_empty(&list));
}

IT("inserts behind a node") {
  struct list list;
  struct item one = {.number = 1}, two = {.number = 2}, three = {.number = 3};
  list_init(&list);
  list_push_back(&list, &one.node);
  list_push_back(&list, &three.node);
  list_insert_after(&one.node, &two.node);
  CHECK(digits_of(&list) == 123);
}

IT("lets go of a node that does not know its list, once or more often") {
  struct list list;
  struct item one = {.number = 1}, two = {.number = 2}, three = {.number = 3};
  list_init(&list);
  list_push_back(&list, &one.node);
  list_push_back(&list, &two.node);
  list_push_back(&list, &three.node);
  list_remove(&two.node);
  CHECK(digits_of(&list) == 13);
  CHECK(list_is_empty(&two.node));
  list_remove(&two.node);
  CHECK(digits_of(&list) == 13);
  list_remove(&one.node);
  list_remove(&three.node);
  CHECK(list_is_empty(&list));
}

IT("may lose the current node while it is walked") {
  struct list list;
  struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
  list_init(&list);
  for (int i = 0; i < 4; i++) list_push_back(&list, &items[i].node);
  LIST_EACH(node, &list) {
    if (LIST_ENTRY(node, struct item, node)->number % 2 == 0) list_remove(node);
  }
  CHECK(digits_of(&list) == 13);
}
