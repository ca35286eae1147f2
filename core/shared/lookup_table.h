// SPDX-License-Identifier: Apache-2.0
// lookup_table: a large table that is filled once and only read from then on, by any number of threads, without locks.
// A key is found by itself, by the longest key that is its beginning (paths), or by the longest network that an
// address is in. Records lie one behind the other in one piece of memory, and a hash table has their places.
#ifndef PERILUNE_SHARED_LOOKUP_TABLE_H
#define PERILUNE_SHARED_LOOKUP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum lookup_kind {
  LOOKUP_TEXT,   /* the whole key */
  LOOKUP_PREFIX, /* its longest beginning that is a key */
  LOOKUP_NETWORK /* keys are LOOKUP_NETWORK_BYTES: an address, and how many of its bits count */
};
enum { LOOKUP_ADDRESS_BYTES = 16, LOOKUP_NETWORK_BYTES = 17, LOOKUP_PREFIX_MOST = 1024 };

struct lookup_table;

/* What was found: borrowed from the table. */
struct lookup_found {
  struct str key, value;
  char type; /* as it was given */
};

struct lookup_table *lookup_table_new(enum lookup_kind kind, size_t most_bytes);
/* NULL is harmless. */
void lookup_table_free(struct lookup_table *table);
/* A key that is there already gets the new value. NULL, or why it cannot be: a static sentence. */
const char *lookup_table_add(struct lookup_table *table, struct str key, char type, struct str value);
/* For LOOKUP_NETWORK, `key` is an address of LOOKUP_ADDRESS_BYTES. */
bool lookup_table_find(const struct lookup_table *table, struct str key, struct lookup_found *found);
size_t lookup_table_count(const struct lookup_table *table);
/* Of memory. */
size_t lookup_table_bytes(const struct lookup_table *table);

#endif
