// SPDX-License-Identifier: Apache-2.0
// Units for shared/stacks.
#include "shared/stacks.h"

#include <stdlib.h>

#include "unit.h"

static char *written(const struct stacks *s, size_t most) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  stacks_write(s, most, out);
  fclose(out);
  return text;
}

IT("adds up by stack, and writes those with most time first") {
  struct stacks s = {0}, sum = {0};
  stacks_add(&s, STR("a;b"), 10);
  stacks_add(&s, STR("a"), 30);
  stacks_add(&s, STR("a;b"), 15);
  stacks_merge(&sum, &s, 2);
  stacks_merge(&sum, &s, 1);
  char *text = written(&sum, 10000);
  CHECK_STR(str_of(text), "a 90\na;b 75\n");
  free(text);
  stacks_free(&s);
  stacks_free(&sum);
}

IT("keeps a bounded number of stacks, and loses no time") {
  struct stacks s = {0};
  char name[32];
  for (unsigned i = 0; i < STACKS_MOST + 100; i++) {
    snprintf(name, sizeof name, "stack %u", i);
    stacks_add(&s, str_of(name), 2);
  }
  CHECK(s.count <= STACKS_MOST + 1);
  char *text = written(&s, 1000);
  CHECK(strlen(text) < 1100);
  unsigned long long sum = 0, us;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
    if (sscanf(strrchr(line, ' '), "%llu", &us) == 1) sum += us;
  CHECK(sum == 2 * (STACKS_MOST + 100));
  free(text);
  stacks_free(&s);
}
