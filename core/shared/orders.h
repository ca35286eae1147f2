// SPDX-License-Identifier: Apache-2.0
// orders: what people have said of single backends by `perilune backend`: to drain it, to disable it, another weight.
// One table for the process, by the name of the set and the address: it outlives lists, sets and policies, and goes to
// a successor as text. Thread-safe. Sets read it when they come to know a backend, and when the table changes
// (backends_take_orders).
#ifndef PERILUNE_SHARED_ORDERS_H
#define PERILUNE_SHARED_ORDERS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"

enum order_use {
  ORDER_USE,    /* as the policy says */
  ORDER_DRAIN,  /* it gets no new requests; somebody waits for the end of those it has */
  ORDER_DISABLE /* it gets no new requests */
};

struct order {
  enum order_use use;
  unsigned weight; /* 0: the policy's */
};

enum { ORDERS_MOST = 4096 };

/* None is {ORDER_USE, 0}. */
struct order orders_find(struct str set, struct str address);
/* Takes the place of what was said before; {ORDER_USE, 0} forgets it. False: there are ORDERS_MOST already. */
bool orders_put(struct str set, struct str address, struct order order);
/* Forgets those of a set (`set.ptr` NULL: of all), and there of one address (NULL: of all). Returns how many. */
unsigned orders_forget(struct str set, struct str address);
/* Calls `each` for every order of that set, or of all (`set.ptr` NULL), under the table's lock. */
void orders_each(struct str set,
                 void (*each)(struct str set, struct str address, struct order order, void *context),
                 void *context);
/* As text, for a successor; and from there. False: it is not whole; what could be read is kept. */
void orders_write(FILE *out);
bool orders_read(struct str text);
/* "drained", "disabled"; NULL: neither. */
const char *order_name(enum order_use use);

#endif
