// SPDX-License-Identifier: Apache-2.0
// backends_report: visits the sets of the registry.
#include "runtime/observe/backends_report.h"

#include <stdlib.h>

#include "shared/backends.h"
#include "shared/registry.h"

static struct backend_report entry_of(struct str set, const struct backends_view *view, unsigned index) {
  const struct backend *b = backends_at(view, index);
  uint64_t now_ms = backends_now_ms(view->set);
  return (struct backend_report){.set = set,
                                 .address = b->address,
                                 .healthy = atomic_load(&b->healthy),
                                 .enabled = atomic_load(&b->enabled),
                                 .ejected = backend_is_ejected(b, now_ms),
                                 .weight = view->list->entries[index].weight,
                                 .tier = view->list->entries[index].tier,
                                 .in_flight = atomic_load(&b->in_flight),
                                 .latency_us = (unsigned)backend_latency_us(b, now_ms)};
}

void backends_report_read(struct registry *registry,
                          void (*each)(const struct backend_report *entry, void *context), void *context) {
  unsigned count;
  struct registry_entry **sets = registry_hold_all(registry, "backends", &count);
  for (unsigned i = 0; i < count; i++) {
    struct backends_view *view = backends_watch(registry_object(sets[i]));
    for (unsigned k = 0; view && k < backends_count(view); k++) {
      struct backend_report entry = entry_of(registry_name(sets[i]), view, k);
      each(&entry, context);
    }
    if (view) backends_view_release(view);
    registry_release(registry, sets[i]);
  }
  free(sets);
}
