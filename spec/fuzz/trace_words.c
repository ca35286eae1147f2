// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: the words of `perilune trace`, as the command socket brings them. A wish that is taken has a rule that
// can be made and used; one that is refused says why, in a line without the command's own separator.
#include "runtime/live/rule.h"

#include "fuzz.h"
#include "net/cidr.h"

static void require_sound(const struct live_wish *wish) {
  struct live_rule rule = live_wish_rule(wish);
  REQUIRE(!rule.status_to || rule.status_from <= rule.status_to);
  REQUIRE(rule.status_to <= 999 && wish->count <= 1000000000);
  REQUIRE(!*wish->client == !rule.client);
  cidr_set_free(rule.client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str line = fuzz_copy(data, size);
  struct live_wish wish;
  char *why = NULL;
  if (live_wish_read(line, &wish, &why))
    require_sound(&wish);
  else
    REQUIRE(why && *why && !strchr(why, '\t'));
  free(why);
  free((char *)line.ptr);
  return 0;
}
