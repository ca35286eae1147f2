// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: what an older process hands over of `perilune backend`. Whatever could be read is written as the same
// again, whole, and nothing else is kept.
#include "shared/orders.h"

#include "fuzz.h"

static void forget_all(void) { orders_forget((struct str){NULL, 0}, (struct str){NULL, 0}); }

static struct str write_all(void) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  REQUIRE(out);
  orders_write(out);
  fclose(out);
  return (struct str){text, bytes};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str text = fuzz_copy(data, size);
  orders_read(text);
  struct str first = write_all();
  forget_all();
  REQUIRE(orders_read(first));
  struct str second = write_all();
  REQUIRE(str_equal(first, second));
  forget_all();
  free((char *)first.ptr);
  free((char *)second.ptr);
  free((char *)text.ptr);
  return 0;
}
