// SPDX-License-Identifier: Apache-2.0
// limiter: a table of sets of eight entries; the hash of a key chooses the set. An entry is never removed, only
// reused for another key.
#include "shared/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/memory.h"
#include "base/random.h"

enum { WAYS = 8, LOCKS = 64 };

struct entry {
  uint64_t key; /* 0: free */
  union {
    uint64_t full_us; /* bucket: when it will be full, on the clock */
    uint64_t window;  /* window: the number of the current one */
  };
  uint32_t previous, current; /* window: requests in it, and in the one before */
};

struct limiter {
  struct limiter_rules rules;
  const struct clock *clock; /* borrowed */
  uint64_t seed, sets;       /* a power of two */
  pthread_mutex_t locks[LOCKS];
  uint64_t forgotten[LOCKS]; /* each under its lock */
  struct entry entries[];
};

struct limiter *limiter_new(const struct limiter_rules *rules, const struct clock *clock) {
  uint64_t sets = 1;
  while (sets * WAYS < rules->keys) sets *= 2;
  struct limiter *l = memory_zalloc(sizeof *l + sets * WAYS * sizeof l->entries[0]);
  l->rules = *rules;
  l->clock = clock;
  l->sets = sets;
  if (!random_fill(&l->seed, sizeof l->seed, GRND_NONBLOCK)) l->seed = (uint64_t)(uintptr_t)l;
  for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&l->locks[i], NULL);
  return l;
}

void limiter_free(struct limiter *limiter) {
  if (!limiter) return;
  for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&limiter->locks[i]);
  free(limiter);
}

const struct limiter_rules *limiter_rules(const struct limiter *limiter) { return &limiter->rules; }

size_t limiter_bytes(const struct limiter *l) { return sizeof *l + l->sets * WAYS * sizeof l->entries[0]; }

uint64_t limiter_forgotten(struct limiter *l) {
  uint64_t sum = 0;
  for (int i = 0; i < LOCKS; i++) {
    pthread_mutex_lock(&l->locks[i]);
    sum += l->forgotten[i];
    pthread_mutex_unlock(&l->locks[i]);
  }
  return sum;
}

/* --- entries ----------------------------------------------------------------------------------------- */

/* The more, the longer its limit is not whole: times and window numbers both grow. */
static uint64_t age_of(const struct limiter *l, const struct entry *entry) {
  return l->rules.kind == LIMITER_BUCKET ? entry->full_us : entry->window << 32 | entry->current;
}

/* Does it matter yet, what it knows? */
static bool is_whole(const struct limiter *l, const struct entry *entry) {
  uint64_t now_ms = clock_now_ms(l->clock);
  if (entry->key == 0) return true;
  if (l->rules.kind == LIMITER_BUCKET) return entry->full_us <= now_ms * 1000;
  return entry->window + 1 < now_ms / l->rules.interval_ms;
}

/* The key's entry, or one that it takes over. */
static struct entry *entry_of(struct limiter *l, uint64_t key) {
  struct entry *set = &l->entries[(key & (l->sets - 1)) * WAYS], *oldest = set;
  for (int i = 0; i < WAYS; i++) {
    if (set[i].key == key) return &set[i];
    if (oldest->key == 0) continue;
    if (set[i].key == 0 || age_of(l, &set[i]) < age_of(l, oldest)) oldest = &set[i];
  }
  l->forgotten[(key & (l->sets - 1)) % LOCKS] += !is_whole(l, oldest);
  *oldest = (struct entry){.key = key};
  return oldest;
}

/* --- bucket ------------------------------------------------------------------------------------------ */

static struct limiter_verdict take_from_bucket(const struct limiter *l, struct entry *entry) {
  uint64_t now_us = clock_now_ms(l->clock) * 1000, interval_us = (uint64_t)l->rules.interval_ms * 1000;
  uint64_t each_us = interval_us / l->rules.max ? interval_us / l->rules.max : 1;
  uint64_t whole_us = each_us * l->rules.burst, full_us = entry->full_us > now_us ? entry->full_us : now_us;
  struct limiter_verdict verdict = {.passes = full_us + each_us <= now_us + whole_us};
  if (verdict.passes) entry->full_us = full_us += each_us;
  uint64_t left_us = now_us + whole_us - full_us;
  verdict.remaining = (unsigned)(left_us / each_us);
  verdict.reset_ms = (full_us - now_us + 999) / 1000;
  if (left_us < each_us) verdict.retry_ms = (each_us - left_us + 999) / 1000;
  return verdict;
}

/* --- window ------------------------------------------------------------------------------------------ */

static void turn(struct entry *entry, uint64_t window) {
  if (entry->window == window) return;
  entry->previous = entry->window + 1 == window ? entry->current : 0;
  entry->current = 0;
  entry->window = window;
}

/* How much of a window must be over until only `wanted` of its `count` requests still count. */
static double share_until(double count, double wanted) { return count <= wanted ? 0 : 1 - wanted / count; }

/* While the window runs the one before fades; where that is not enough, this one must fade in the next. */
static uint64_t ms_until_next(const struct limiter *l, const struct entry *entry, uint64_t past_ms) {
  double room = (double)l->rules.max - 1, interval_ms = l->rules.interval_ms;
  double at_ms = entry->current <= room ? share_until(entry->previous, room - entry->current) * interval_ms
                                        : interval_ms + share_until(entry->current, room) * interval_ms;
  return at_ms > (double)past_ms ? (uint64_t)(at_ms - (double)past_ms) + 1 : 0;
}

static struct limiter_verdict take_from_window(const struct limiter *l, struct entry *entry) {
  uint64_t now_ms = clock_now_ms(l->clock), past_ms = now_ms % l->rules.interval_ms;
  turn(entry, now_ms / l->rules.interval_ms);
  double fading = 1 - (double)past_ms / l->rules.interval_ms;
  double used = entry->previous * fading + entry->current;
  struct limiter_verdict verdict = {.passes = used + 1 <= l->rules.max};
  if (verdict.passes) {
    entry->current++;
    used++;
  }
  verdict.remaining = used < l->rules.max ? (unsigned)(l->rules.max - used) : 0;
  verdict.reset_ms = l->rules.interval_ms - past_ms;
  if (verdict.remaining == 0) verdict.retry_ms = ms_until_next(l, entry, past_ms);
  return verdict;
}

struct limiter_verdict limiter_take(struct limiter *limiter, struct str key) {
  uint64_t hash = XXH3_64bits_withSeed(key.ptr, key.len, limiter->seed);
  pthread_mutex_t *lock = &limiter->locks[(hash & (limiter->sets - 1)) % LOCKS];
  struct limiter_verdict verdict = {0};
  pthread_mutex_lock(lock);
  struct entry *entry = entry_of(limiter, hash ? hash : 1);
  switch (limiter->rules.kind) {
  case LIMITER_WINDOW: verdict = take_from_window(limiter, entry); break;
  case LIMITER_BUCKET: verdict = take_from_bucket(limiter, entry); break;
  }
  pthread_mutex_unlock(lock);
  return verdict;
}
