// SPDX-License-Identifier: Apache-2.0
// backends_report: visits the sets of the registry.
#include "runtime/observe/backends_report.h"

#include <stdlib.h>

#include "runtime/observe/json.h"
#include "shared/backends.h"
#include "shared/registry.h"

static struct backend_report entry_of(struct str set, const struct backends_view *view, unsigned index) {
  const struct backend *b = backends_at(view, index);
  uint64_t now_ms = backends_now_ms(view->set);
  return (struct backend_report){.set = set,
                                 .address = b->address,
                                 .healthy = atomic_load(&b->healthy),
                                 .enabled = backend_is_enabled(b),
                                 .off = atomic_load(&b->off),
                                 .ejected = backend_is_ejected(b, now_ms),
                                 .weight = view->list->entries[index].weight,
                                 .given_weight = view->list->entries[index].given,
                                 .tier = view->list->entries[index].tier,
                                 .in_flight = atomic_load(&b->in_flight),
                                 .latency_us = (unsigned)backend_latency_us(b, now_ms)};
}

const char *backend_report_state(const struct backend_report *entry) {
  if (entry->off & BACKEND_DISABLED) return "disabled";
  if (entry->off & BACKEND_DRAINED) return entry->in_flight ? "draining" : "drained";
  if (!entry->enabled) return "off"; /* by the policy */
  if (!entry->healthy) return "unhealthy";
  return entry->ejected ? "ejected" : "healthy";
}

void backend_report_put_json(const struct backend_report *b, struct json *j) {
  json_open(j, NULL, '{');
  json_text(j, "set", b->set);
  json_text(j, "address", b->address);
  json_text(j, "state", str_of(backend_report_state(b)));
  json_flag(j, "healthy", b->healthy);
  json_flag(j, "enabled", b->enabled);
  json_flag(j, "drained", b->off & BACKEND_DRAINED);
  json_flag(j, "disabled", b->off & BACKEND_DISABLED);
  json_flag(j, "ejected", b->ejected);
  json_number(j, "weight", b->weight);
  json_number(j, "policy_weight", b->given_weight);
  json_number(j, "tier", b->tier);
  json_number(j, "expected_latency_us", b->latency_us);
  json_number(j, "in_flight", b->in_flight);
  json_close(j, '}');
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
