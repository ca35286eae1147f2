// SPDX-License-Identifier: Apache-2.0
// chronicle: a ring of entries.
#include "runtime/observe/chronicle.h"

#include <stdio.h>
#include <string.h>

void chronicle_note(struct chronicle *c, unsigned generation, bool fine, const char *text) {
  struct chronicle_entry *entry = &c->entries[(c->fine + c->failed) % CHRONICLE_ENTRIES];
  *entry = (struct chronicle_entry){.at = time(NULL), .generation = generation, .fine = fine};
  snprintf(entry->text, sizeof entry->text, "%.*s", (int)strcspn(text, "\n"), text);
  if (fine)
    c->fine++;
  else
    c->failed++;
}

const struct chronicle_entry *chronicle_entry(const struct chronicle *c, unsigned age) {
  unsigned count = c->fine + c->failed;
  if (age >= count || age >= CHRONICLE_ENTRIES) return NULL;
  return &c->entries[(count - 1 - age) % CHRONICLE_ENTRIES];
}
