// SPDX-License-Identifier: Apache-2.0
// reload_log: a ring of entries.
#include "runtime/observe/reload_log.h"

#include <stdio.h>
#include <string.h>

void reload_log_note(struct reload_log *log, unsigned generation, bool fine, const char *text) {
  struct reload_log_entry *entry = &log->entries[(log->fine + log->failed) % RELOAD_LOG_ENTRIES];
  *entry = (struct reload_log_entry){.at = time(NULL), .generation = generation, .fine = fine};
  snprintf(entry->text, sizeof entry->text, "%.*s", (int)strcspn(text, "\n"), text);
  if (fine)
    log->fine++;
  else
    log->failed++;
}

const struct reload_log_entry *reload_log_entry(const struct reload_log *log, unsigned age) {
  unsigned count = log->fine + log->failed;
  if (age >= count || age >= RELOAD_LOG_ENTRIES) return NULL;
  return &log->entries[(count - 1 - age) % RELOAD_LOG_ENTRIES];
}
