// SPDX-License-Identifier: Apache-2.0
// Units for shared/lookup_table.
#include "shared/lookup_table.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { ROOM = 1 << 20 };

static bool finds(const struct lookup_table *table, struct str key, const char *wanted) {
  struct lookup_found found;
  if (!lookup_table_find(table, key, &found)) return wanted == NULL;
  return wanted && str_equal(found.value, str_of(wanted));
}

static void add(struct lookup_table *table, const char *key, const char *value) {
  CHECK(lookup_table_add(table, str_of(key), 's', str_of(value)) == NULL);
}

IT("finds a key by itself, with its type, and gives one that comes again its new value") {
  struct lookup_table *table = lookup_table_new(LOOKUP_TEXT, ROOM);
  struct lookup_found found;
  CHECK(finds(table, STR("a"), NULL));
  add(table, "a", "1");
  add(table, "ab", "2");
  add(table, "", "nothing");
  CHECK(lookup_table_add(table, STR("a\0b"), 'n', STR("3")) == NULL);
  add(table, "a", "another");
  CHECK(finds(table, STR("a"), "another") && finds(table, STR("ab"), "2") &&
        finds(table, STR(""), "nothing"));
  CHECK(finds(table, STR("abc"), NULL) && finds(table, STR("b"), NULL));
  CHECK(lookup_table_find(table, STR("a\0b"), &found) && found.type == 'n' && found.key.len == 3);
  CHECK(lookup_table_count(table) == 4);
  lookup_table_free(table);
}

IT("finds each of many keys, and none beside them") {
  struct lookup_table *table = lookup_table_new(LOOKUP_TEXT, 16 * ROOM);
  char key[32], value[32];
  for (int i = 0; i < 50000; i++) {
    snprintf(key, sizeof key, "key%d", i);
    snprintf(value, sizeof value, "%d", i * 7);
    add(table, key, value);
  }
  bool fine = lookup_table_count(table) == 50000;
  for (int i = 0; i < 50000; i += 7) {
    snprintf(key, sizeof key, "key%d", i);
    snprintf(value, sizeof value, "%d", i * 7);
    fine = fine && finds(table, str_of(key), value);
    snprintf(key, sizeof key, "key%d", 50000 + i);
    fine = fine && finds(table, str_of(key), NULL);
  }
  CHECK(fine);
  lookup_table_free(table);
}

IT("finds the longest beginning that is a key") {
  struct lookup_table *table = lookup_table_new(LOOKUP_PREFIX, ROOM);
  add(table, "/", "root");
  add(table, "/api", "api");
  add(table, "/api/v2/", "second");
  CHECK(finds(table, STR("/"), "root") && finds(table, STR("/ap"), "root"));
  CHECK(finds(table, STR("/api"), "api") && finds(table, STR("/api/v2"), "api"));
  CHECK(finds(table, STR("/api/v2/x"), "second"));
  CHECK(finds(table, STR("api"), NULL) && finds(table, STR(""), NULL));
  lookup_table_free(table);
}

static struct str network(char bytes[LOOKUP_NETWORK_BYTES], unsigned first, unsigned second, unsigned bits) {
  memset(bytes, 0, LOOKUP_NETWORK_BYTES);
  bytes[0] = (char)first;
  bytes[1] = (char)second;
  bytes[LOOKUP_ADDRESS_BYTES] = (char)bits;
  return (struct str){bytes, LOOKUP_NETWORK_BYTES};
}

IT("finds the longest network that an address is in") {
  struct lookup_table *table = lookup_table_new(LOOKUP_NETWORK, ROOM);
  char bytes[LOOKUP_NETWORK_BYTES];
  CHECK(lookup_table_add(table, network(bytes, 0x20, 0, 8), 's', STR("wide")) == NULL);
  CHECK(lookup_table_add(table, network(bytes, 0x20, 0x80, 9), 's', STR("half")) == NULL);
  CHECK(lookup_table_add(table, network(bytes, 0x20, 0x81, 128), 's', STR("one")) == NULL);
  struct str address = network(bytes, 0x20, 0x01, 0);
  address.len = LOOKUP_ADDRESS_BYTES;
  CHECK(finds(table, address, "wide"));
  network(bytes, 0x20, 0x81, 0);
  CHECK(finds(table, address, "one"));
  bytes[15] = 1;
  CHECK(finds(table, address, "half"));
  network(bytes, 0x21, 0, 0);
  CHECK(finds(table, address, NULL));
  CHECK(lookup_table_add(table, network(bytes, 0, 0, 0), 's', STR("all")) == NULL);
  network(bytes, 0x21, 0, 0);
  CHECK(finds(table, address, "all"));
  lookup_table_free(table);
}

IT("takes no more than its bytes, and says so") {
  struct lookup_table *table = lookup_table_new(LOOKUP_TEXT, 4096);
  char key[32];
  const char *why = NULL;
  int count = 0;
  for (; count < 1000 && !why; count++) {
    snprintf(key, sizeof key, "key%d", count);
    why = lookup_table_add(table, str_of(key), 's', STR("value"));
  }
  CHECK(why && count > 10);
  CHECK(finds(table, STR("key3"), "value"));
  CHECK(lookup_table_bytes(table) <= 4096 + 4096);
  lookup_table_free(table);
}
