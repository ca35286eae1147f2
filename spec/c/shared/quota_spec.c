// SPDX-License-Identifier: Apache-2.0
// Units for shared/quota, on a clock that stands still. A store is played by a number.
#include "shared/quota.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "threads.h"
#include "unit.h"

struct bench {
  struct clock_fake clock;
  struct quota *quota;
};

static void open(struct bench *b, unsigned max, unsigned burst) {
  struct quota_rules rules = {max, burst, 1000, 1024};
  clock_fake_init(&b->clock, 1000000);
  b->quota = quota_new(&rules, &b->clock.clock);
}

static struct quota_verdict take(struct bench *b) { return quota_take(b->quota, STR("key")); }

static unsigned pass(struct bench *b, unsigned tries) {
  unsigned passed = 0;
  for (unsigned i = 0; i < tries; i++) passed += take(b).passes;
  return passed;
}

static struct quota_report collect_one(struct bench *b) {
  struct quota_report reports[2];
  CHECK(quota_collect(b->quota, reports, 2) == 1);
  return reports[0];
}

IT("is a token bucket where there is one proxy") {
  struct bench b;
  open(&b, 10, 5);
  struct quota_verdict first = take(&b);
  CHECK(first.passes && first.remaining == 4 && first.reset_ms == 100 && first.retry_ms == 0);
  CHECK(pass(&b, 10) == 4);
  struct quota_verdict refused = take(&b);
  CHECK(!refused.passes && refused.remaining == 0 && refused.retry_ms == 100 && refused.reset_ms == 500);
  b.clock.ms += 99;
  CHECK(pass(&b, 10) == 0);
  b.clock.ms += 1;
  CHECK(pass(&b, 10) == 1);
  b.clock.ms += 3600000;
  CHECK(pass(&b, 10) == 5);
  quota_free(b.quota);
}

IT("gives a new key an equal part of the burst, and a first request always") {
  struct bench b;
  open(&b, 100, 100);
  quota_set_nodes(b.quota, 4);
  CHECK(pass(&b, 100) == 25);
  quota_free(b.quota);
  open(&b, 1, 1);
  quota_set_nodes(b.quota, 4);
  CHECK(pass(&b, 100) == 1);
  quota_free(b.quota);
}

IT("reports each hit once, and the keys in the order in which they were first hit") {
  struct bench b;
  struct quota_report reports[4];
  open(&b, 10, 3);
  pass(&b, 5);
  quota_take(b.quota, STR("other"));
  CHECK(quota_collect(b.quota, reports, 4) == 2);
  CHECK(reports[0].hits == 3 && reports[0].wanted == 5 && reports[0].length == 3);
  CHECK(memcmp(reports[0].key, "key", 3) == 0 && reports[1].hits == 1);
  CHECK(quota_collect(b.quota, reports, 4) == 0);
  pass(&b, 5); /* all refused: they cost the store nothing */
  CHECK(quota_collect(b.quota, reports, 4) == 0);
  quota_restore(b.quota, STR("key"), 3);
  CHECK(collect_one(&b).hits == 3);
  quota_free(b.quota);
}

IT("takes its share of the balance, and refuses until a debt is paid") {
  struct bench b;
  open(&b, 100, 100);
  quota_set_nodes(b.quota, 2);
  CHECK(pass(&b, 40) == 40);
  CHECK(collect_one(&b).wanted == 40);
  quota_settle(b.quota, STR("key"), 60, 40 * 4); /* a quarter of the demand, and at least a half */
  CHECK(pass(&b, 100) == 30);
  collect_one(&b);
  quota_settle(b.quota, STR("key"), -20, 140);
  struct quota_verdict refused = take(&b);
  CHECK(!refused.passes && refused.retry_ms == 210);
  b.clock.ms += 209;
  CHECK(!take(&b).passes);
  b.clock.ms += 1;
  CHECK(take(&b).passes);
  quota_free(b.quota);
}

IT("counts what passed during a report against its answer") {
  struct bench b;
  open(&b, 100, 100);
  CHECK(pass(&b, 10) == 10);
  collect_one(&b);
  CHECK(pass(&b, 5) == 5);
  quota_settle(b.quota, STR("key"), 20, 10);
  CHECK(pass(&b, 100) == 15);
  CHECK(collect_one(&b).hits == 20);
  quota_free(b.quota);
}

/* The bucket of the store, and so many proxies that report in turn, each with a demand of its own. */
static unsigned simulate(const unsigned *demands, unsigned count, unsigned ms) {
  struct clock_fake clock;
  struct quota *proxies[8];
  struct quota_rules rules = {1000, 1000, 1000, 1024};
  double tokens = 1000, demand = 0;
  uint64_t at_ms = 0, now_ms;
  unsigned passed = 0;
  clock_fake_init(&clock, 1000);
  for (unsigned i = 0; i < count; i++) quota_set_nodes(proxies[i] = quota_new(&rules, &clock.clock), count);
  for (now_ms = 0; now_ms < ms; now_ms++, clock.ms++) {
    for (unsigned i = 0; i < count; i++) {
      struct quota_report report;
      for (unsigned n = 0; n < demands[i]; n++) passed += quota_take(proxies[i], STR("key")).passes;
      if ((now_ms + 23 * i) % 100 || quota_collect(proxies[i], &report, 1) == 0) continue;
      tokens = fmin(tokens + (double)(now_ms - at_ms), 1000) - report.hits;
      demand = demand * exp(-(double)(now_ms - at_ms) / 1000) + report.wanted;
      at_ms = now_ms;
      quota_settle(proxies[i], STR("key"), tokens, demand);
    }
  }
  for (unsigned i = 0; i < count; i++) quota_free(proxies[i]);
  return passed;
}

IT("keeps to the limit within 3 %, however the demand is spread over the proxies") {
  static const unsigned even[] = {4, 4, 4, 4}, odd[] = {40, 4, 4, 4}, one[] = {0, 0, 50, 0},
                        many[] = {9, 8, 7, 6, 5, 4, 3, 2};
  CHECK(fabs((double)simulate(even, 4, 10000) - 11000) < 330);
  CHECK(fabs((double)simulate(odd, 4, 10000) - 11000) < 330);
  CHECK(fabs((double)simulate(one, 4, 10000) - 11000) < 330);
  CHECK(fabs((double)simulate(many, 8, 10000) - 11000) < 330);
}

IT("keeps to an equal part while reports fail, and is away when they do for a second") {
  struct bench b;
  open(&b, 100, 100);
  quota_set_nodes(b.quota, 4);
  take(&b);
  collect_one(&b);
  quota_settle(b.quota, STR("key"), 99, 1); /* the whole of the demand */
  CHECK(!quota_reported(b.quota, false) && !quota_is_away(b.quota));
  CHECK(pass(&b, 100) == 25); /* 99 became a quarter of that, and what is left is a token in common */
  b.clock.ms += 1000;
  CHECK(quota_reported(b.quota, false) && quota_is_away(b.quota) && !quota_reported(b.quota, false));
  CHECK(pass(&b, 100) == 25);
  CHECK(quota_reported(b.quota, true) && !quota_is_away(b.quota) && !quota_reported(b.quota, true));
  b.clock.ms += QUOTA_SILENCE_MS + 1; /* nobody reports at all */
  CHECK(quota_is_away(b.quota));
  quota_free(b.quota);
}

IT("keeps to an equal part for a moment after the store is back, whose demand has not all proxies' so far") {
  struct bench b;
  open(&b, 100, 100);
  quota_set_nodes(b.quota, 4);
  b.clock.ms += QUOTA_PATIENCE_MS;
  CHECK(quota_reported(b.quota, false));
  take(&b);
  for (unsigned i = 0; i < 5; i++) {
    bool is_known = i == 4;
    collect_one(&b);
    quota_settle(b.quota, STR("key"), 100, 1);
    if (i == 0) CHECK(quota_reported(b.quota, true));
    CHECK(pass(&b, 200) == (is_known ? 100 : 25));
    b.clock.ms += QUOTA_RETURN_MS / 4 + 1;
  }
  quota_free(b.quota);
}

IT("keeps to an equal part while an answer is late") {
  struct bench b;
  open(&b, 1000, 100);
  quota_set_nodes(b.quota, 4);
  take(&b);
  collect_one(&b);
  quota_settle(b.quota, STR("key"), 0, 1); /* the whole of the demand */
  b.clock.ms += 100;
  CHECK(pass(&b, 200) == 100);
  collect_one(&b); /* whose answer does not come */
  b.clock.ms += 100;
  CHECK(pass(&b, 200) == 100);
  b.clock.ms += QUOTA_LATE_MS - 100;
  CHECK(pass(&b, 200) == 100);
  for (unsigned i = 0; i < 4; i++) {
    b.clock.ms += 100;
    CHECK(pass(&b, 200) <= 25);
  }
  quota_settle(b.quota, STR("key"), 50, 1);
  CHECK(pass(&b, 200) == 0); /* more than that has passed since */
  quota_free(b.quota);
}

IT("reports after a failure no more than its own bucket misses") {
  struct bench b;
  open(&b, 100, 10);
  quota_reported(b.quota, false);
  for (int i = 0; i < 50; i++, b.clock.ms += 10) CHECK(pass(&b, 1) == 1);
  CHECK(pass(&b, 1) == 1);
  CHECK(collect_one(&b).hits == 1); /* 51 have passed, and 50 have been refilled */
  quota_free(b.quota);
}

IT("lets one at a time report, and says when nobody has for long") {
  struct bench b;
  open(&b, 10, 10);
  CHECK(!quota_begin(b.quota) && !quota_is_overdue(b.quota));
  b.clock.ms += QUOTA_REPORT_MS;
  CHECK(quota_begin(b.quota) && !quota_begin(b.quota));
  b.clock.ms += QUOTA_OVERDUE_MS;
  CHECK(quota_is_overdue(b.quota) && !quota_is_overdue(b.quota));
  quota_free(b.quota);
}

IT("forgets other keys before one that is barred") {
  struct bench b;
  struct quota_rules rules = {10, 5, 1000, 8}; /* one set */
  clock_fake_init(&b.clock, 1000000);
  b.quota = quota_new(&rules, &b.clock.clock);
  quota_bar(b.quota, STR("key"), 50);
  for (char name = 'a'; name <= 'z'; name++) CHECK(quota_take(b.quota, (struct str){&name, 1}).passes);
  CHECK(quota_barred(b.quota, STR("key")) == 50 && quota_lost(b.quota) == 26 - 7);
  quota_free(b.quota);
}

IT("refuses what was barred until its time") {
  struct bench b;
  open(&b, 10, 10);
  CHECK(quota_barred(b.quota, STR("key")) == 0);
  quota_bar(b.quota, STR("key"), 50);
  b.clock.ms += 20;
  CHECK(quota_barred(b.quota, STR("key")) == 30 && quota_barred(b.quota, STR("other")) == 0);
  b.clock.ms += 30;
  CHECK(quota_barred(b.quota, STR("key")) == 0);
  CHECK(quota_take_counts(b.quota).refused == 1 && quota_take_counts(b.quota).refused == 0);
  quota_free(b.quota);
}

IT("says what it has lost when there are more keys than room") {
  struct bench b;
  struct quota_report reports[64];
  char key[16];
  open(&b, 10, 10);
  for (unsigned i = 0; i < 4096; i++)
    quota_take(b.quota, (struct str){key, (size_t)snprintf(key, sizeof key, "%u", i)});
  unsigned kept = 0, count;
  while ((count = quota_collect(b.quota, reports, 64))) kept += count;
  CHECK(kept <= 1024 && kept + quota_lost(b.quota) == 4096);
  quota_free(b.quota);
}

/* --- threads ---------------------------------------------------------------------------------------------- */

struct crowd {
  struct quota *quota;
  atomic_uint passed, reported;
};

static void collect(struct crowd *crowd) {
  struct quota_report reports[16];
  unsigned count = quota_collect(crowd->quota, reports, 16);
  for (unsigned k = 0; k < count; k++) {
    atomic_fetch_add(&crowd->reported, reports[k].hits);
    quota_settle(crowd->quota, (struct str){reports[k].key, reports[k].length}, 1000, 10);
  }
}

static void rush(void *argument, unsigned thread) {
  struct crowd *crowd = argument;
  for (unsigned i = 0; i < 5000; i++) {
    char key[8];
    struct str name = {key, (size_t)snprintf(key, sizeof key, "%u", i % 40)};
    atomic_fetch_add(&crowd->passed, quota_take(crowd->quota, name).passes);
    if (thread == 0 && i % 50 == 0) collect(crowd);
  }
}

IT("reports each hit once where several threads count and one collects") {
  struct quota_rules rules = {1000000, 1000000, 1000, 1024};
  struct crowd crowd = {.quota = quota_new(&rules, &clock_system)};
  threads_run(rush, &crowd);
  for (unsigned i = 0; i < 40; i++) collect(&crowd);
  CHECK(crowd.passed == crowd.reported && crowd.reported > 0);
  quota_free(crowd.quota);
}
