// SPDX-License-Identifier: Apache-2.0
// live/recent: records are copied, so that the rings of the workers stay free.
#include "runtime/live/recent.h"

#include <stdlib.h>

#include "shared/live_record.h"

static void put(struct str *place, struct str record) {
  free((char *)place->ptr);
  *place = str_own(record);
}

static uint64_t duration_of(struct str record) {
  struct live_head head;
  struct live_item item = {.number = 0};
  struct str items;
  if (live_record_open(record, &head, &items)) live_record_find(items, LIVE_NUMBER, LIVE_DURATION_US, &item);
  return item.number;
}

static struct str hook_of(struct str record) {
  struct live_head head;
  struct live_item item = {.text = {"", 0}};
  struct str items;
  if (live_record_open(record, &head, &items)) live_record_find(items, LIVE_TEXT, LIVE_SLOW_HOOK, &item);
  return item.text;
}

/* The place of its hook, or a new one. */
static struct str *place_of(struct recent *r, struct str hook) {
  for (unsigned i = 0; i < r->hook_count; i++)
    if (str_equal(hook_of(r->hooks[i]), hook)) return &r->hooks[i];
  return r->hook_count < RECENT_HOOKS ? &r->hooks[r->hook_count++] : &r->hooks[0];
}

void recent_keep(struct recent *r, struct str record, struct str items) {
  struct live_item item, status;
  bool is_slow = live_record_find(items, LIVE_TEXT, LIVE_SLOW_HOOK, &item);
  struct str hook = item.text;
  live_record_find(items, LIVE_NUMBER, LIVE_STATUS, &status);
  struct str *place = is_slow ? place_of(r, hook) : NULL; /* each worker has a slowest one of its own */
  if (place && duration_of(record) >= duration_of(*place)) put(place, record);
  if (live_record_find(items, LIVE_TEXT, LIVE_ERROR, &item) || status.number >= 500)
    put(&r->failures[r->failure_count++ % RECENT_FAILURES], record);
}

void recent_free(struct recent *r) {
  for (unsigned i = 0; i < RECENT_FAILURES; i++) free((char *)r->failures[i].ptr);
  for (unsigned i = 0; i < RECENT_HOOKS; i++) free((char *)r->hooks[i].ptr);
}

bool recent_failure(const struct recent *r, unsigned age, struct str *record) {
  if (age >= r->failure_count || age >= RECENT_FAILURES) return false;
  *record = r->failures[(r->failure_count - 1 - age) % RECENT_FAILURES];
  return true;
}

bool recent_slow_hook(const struct recent *r, unsigned number, struct str *record) {
  if (number >= r->hook_count) return false;
  *record = r->hooks[number];
  return true;
}
