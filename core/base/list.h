// SPDX-License-Identifier: Apache-2.0
// list: an intrusive, circular, doubly linked list. A node may be removed without knowing its list; a node
// that is in no list points at itself once list_init or list_remove was called on it.
#ifndef PERILUNE_BASE_LIST_H
#define PERILUNE_BASE_LIST_H

#include <stdbool.h>

#include "base/check.h"
#include "base/container.h"

struct list {
  struct list *next, *prev;
};

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
/* Safe against removal of the current node. */
#define LIST_EACH(node, head)                                                                                \
  for (struct list *node = (head)->next, *node##_next = node->next; node != (head);                          \
       node = node##_next, node##_next = node->next)

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_is_empty(const struct list *l) { return l->next == l; }

static inline void list_insert_after(struct list *at, struct list *node) {
  CHECK(at != node && at->next->prev == at);
  node->prev = at;
  node->next = at->next;
  at->next->prev = node;
  at->next = node;
}
static inline void list_push_front(struct list *l, struct list *node) { list_insert_after(l, node); }
static inline void list_push_back(struct list *l, struct list *node) { list_insert_after(l->prev, node); }

static inline void list_remove(struct list *node) {
  CHECK(node->prev->next == node && node->next->prev == node);
  node->prev->next = node->next;
  node->next->prev = node->prev;
  list_init(node);
}

#endif
