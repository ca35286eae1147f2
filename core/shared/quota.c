// SPDX-License-Identifier: Apache-2.0
// quota: a table of sets of eight entries, and a ring of those with unreported hits. The hash of a key chooses the set;
// an entry is never removed, only reused for another key. An entry is in the ring at most once, so the ring has room
// for all; its place stays in the ring when the entry is reused. The lock of a set is taken before that of the ring.
#include "shared/quota.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"

enum { WAYS = 8, LOCKS = 64 };
#define QUOTA_MAGIC 0x400a7a5eu
#define DEMAND_MS   1000.0 /* in which what was wanted fades to a third; as in the store's script */
#define ALMOST      1e-6   /* of a token: sums of parts are not exact */

struct entry {
  uint64_t hash;      /* 0: free */
  uint64_t at_ms;     /* of the level */
  uint64_t wanted_ms; /* of the demand */
  uint64_t barred_ms; /* until then */
  uint64_t open_ms;   /* of the oldest hit that no answer of the store covers; 0: there is none */
  double level;       /* tokens that may be used here */
  float share;
  float demand;    /* here; fades */
  unsigned hits;   /* not reported */
  unsigned wanted; /* since the last report */
  unsigned char length;
  bool is_listed; /* in the ring */
  char key[QUOTA_KEY_BYTES];
};

_Static_assert(sizeof(struct entry) <= QUOTA_ENTRY_BYTES, "what is said of the size");

struct lock {
  pthread_mutex_t mutex;
  struct quota_counts counts; /* under it */
};

struct ring {
  pthread_mutex_t mutex;
  uint64_t first, count;
  unsigned *entries; /* owned: numbers of entries */
};

struct quota {
  OBJ_MAGIC;
  struct quota_rules rules;
  const struct clock *clock; /* borrowed */
  uint64_t seed, sets;       /* a power of two */
  char node[17];
  double tokens_per_ms;
  atomic_uint nodes;
  atomic_bool is_failing; /* the last report was not answered */
  atomic_bool is_away;
  _Atomic uint64_t collected_ms, answered_ms;
  _Atomic uint64_t returned_ms; /* when the store came back; 0: it was not away */
  _Atomic uint64_t lost;
  struct lock locks[LOCKS];
  struct ring ring;
  struct entry *entries; /* owned */
};

struct quota *quota_new(const struct quota_rules *rules, const struct clock *clock) {
  uint64_t sets = 1, random[2];
  struct quota *q = memory_zalloc(sizeof *q);
  while (sets * WAYS < rules->keys) sets *= 2;
  if (!random_fill(random, sizeof random, 0)) abort(); /* sixteen bytes are never short */
  q->rules = *rules;
  q->clock = clock;
  q->sets = sets;
  q->seed = random[0];
  q->tokens_per_ms = (double)rules->max / rules->interval_ms;
  q->nodes = 1;
  q->answered_ms = q->collected_ms = clock_now_ms(clock);
  snprintf(q->node, sizeof q->node, "%016llx", (unsigned long long)random[1]);
  q->entries = memory_zalloc(sets * WAYS * sizeof *q->entries); /* no memory until a page of it is used */
  q->ring.entries = memory_zalloc(sets * WAYS * sizeof *q->ring.entries);
  pthread_mutex_init(&q->ring.mutex, NULL);
  for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&q->locks[i].mutex, NULL);
  OBJ_INIT(q, QUOTA_MAGIC);
  return q;
}

void quota_free(struct quota *q) {
  if (!q) return;
  CHECK_OBJ(q, QUOTA_MAGIC);
  for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&q->locks[i].mutex);
  pthread_mutex_destroy(&q->ring.mutex);
  free(q->entries);
  free(q->ring.entries);
  OBJ_END(q, QUOTA_MAGIC);
  free(q);
}

const struct quota_rules *quota_rules(const struct quota *q) { return &q->rules; }
const char *quota_node(const struct quota *q) { return q->node; }
void quota_set_nodes(struct quota *q, unsigned nodes) { q->nodes = nodes ? nodes : 1; }
unsigned quota_nodes(const struct quota *q) { return q->nodes; }
uint64_t quota_lost(struct quota *q) { return q->lost; }
size_t quota_bytes(const struct quota *q) {
  return sizeof *q + q->sets * WAYS * (sizeof *q->entries + sizeof *q->ring.entries);
}

/* --- the store ----------------------------------------------------------------------------------------- */

bool quota_is_away(const struct quota *q) {
  uint64_t answered_ms = q->answered_ms; /* before the time is read: it is not later */
  return q->is_away || clock_now_ms(q->clock) - answered_ms > QUOTA_SILENCE_MS;
}

bool quota_reported(struct quota *q, bool was_answered) {
  uint64_t answered_ms = q->answered_ms, now_ms = clock_now_ms(q->clock);
  bool is_away = !was_answered && now_ms - answered_ms >= QUOTA_PATIENCE_MS;
  q->is_failing = !was_answered;
  if (was_answered) q->answered_ms = now_ms;
  if (was_answered && q->is_away) q->returned_ms = now_ms;
  if (!was_answered && !is_away) return false;
  return atomic_exchange(&q->is_away, is_away) != is_away;
}

static double least_share(const struct quota *q) { return 1.0 / q->nodes; }

/* Its first answers come before it is known to be back. */
static bool is_just_back(const struct quota *q, uint64_t now_ms) {
  return q->is_away || (q->returned_ms && now_ms - q->returned_ms < QUOTA_RETURN_MS);
}

/* --- entries ------------------------------------------------------------------------------------------- */

/* A key's set, locked. */
struct visit {
  uint64_t hash, now_ms;
  struct str key;
  struct entry *set;
  struct lock *lock;
};

static struct visit enter(struct quota *q, struct str key) {
  CHECK_OBJ(q, QUOTA_MAGIC);
  CHECK(key.len <= QUOTA_KEY_BYTES);
  uint64_t hash = XXH3_64bits_withSeed(key.ptr, key.len, q->seed), set = hash & (q->sets - 1);
  struct visit v = {hash ? hash : 1, 0, key, &q->entries[set * WAYS], &q->locks[set % LOCKS]};
  pthread_mutex_lock(&v.lock->mutex);
  v.now_ms = clock_now_ms(q->clock); /* under the lock: no entry is of later */
  return v;
}

static void leave(const struct visit *v) { pthread_mutex_unlock(&v->lock->mutex); }

static struct entry *find(const struct visit *v) {
  for (int i = 0; i < WAYS; i++) {
    struct entry *entry = &v->set[i];
    if (entry->hash == v->hash && str_equal((struct str){entry->key, entry->length}, v->key)) return entry;
  }
  return NULL;
}

/* How much would be forgotten with it: first of all what is barred, then the part of its bucket that is used. */
static double weight_of(const struct quota *q, const struct entry *entry, uint64_t now_ms) {
  if (entry->hash == 0) return -1;
  double refilled = (double)(now_ms - entry->at_ms) * q->tokens_per_ms;
  double used = (double)entry->share * (q->rules.burst - refilled) - entry->level;
  return (entry->barred_ms > now_ms ? q->rules.burst : 0) + entry->hits + (used > 0 ? used : 0);
}

static void lose(struct quota *q, struct lock *lock, unsigned hits) {
  lock->counts.lost += hits;
  q->lost += hits;
}

/* The key's entry, or one that it takes over: with a whole share of a full bucket. */
static struct entry *find_or_make(struct quota *q, const struct visit *v) {
  struct entry *entry = find(v), *least = v->set;
  if (entry) return entry;
  for (int i = 1; i < WAYS; i++)
    if (weight_of(q, &v->set[i], v->now_ms) < weight_of(q, least, v->now_ms)) least = &v->set[i];
  lose(q, v->lock, least->hits);
  float share = (float)least_share(q);
  *least = (struct entry){.hash = v->hash,
                          .at_ms = v->now_ms,
                          .wanted_ms = v->now_ms,
                          .level = (double)share * q->rules.burst,
                          .share = share,
                          .length = (unsigned char)v->key.len,
                          .is_listed = least->is_listed};
  memcpy(least->key, v->key.ptr, v->key.len);
  return least;
}

static void list(struct quota *q, struct entry *entry) {
  struct ring *ring = &q->ring;
  if (entry->is_listed) return;
  entry->is_listed = true;
  pthread_mutex_lock(&ring->mutex);
  CHECK(ring->count < q->sets * WAYS);
  ring->entries[(ring->first + ring->count++) % (q->sets * WAYS)] = (unsigned)(entry - q->entries);
  pthread_mutex_unlock(&ring->mutex);
}

/* --- deciding ------------------------------------------------------------------------------------------ */

/* Shares may be more than one together, which the store corrects. Where it does not, or not soon, they are equal parts:
 * then they are one together. */
static bool is_corrected(const struct quota *q, const struct entry *entry, uint64_t now_ms) {
  bool is_late = entry->open_ms && now_ms - entry->open_ms > QUOTA_LATE_MS;
  return !is_late && !q->is_failing && !quota_is_away(q);
}

static void refill(const struct quota *q, struct entry *entry, uint64_t now_ms) {
  double least = least_share(q), share = (double)entry->share;
  if (share > least && !is_corrected(q, entry, now_ms)) {
    entry->level *= least / share;
    entry->share = (float)least;
    share = (double)entry->share;
  }
  entry->level += share * q->tokens_per_ms * (double)(now_ms - entry->at_ms);
  if (entry->level > share * q->rules.burst) entry->level = share * q->rules.burst;
  entry->at_ms = now_ms;
}

/* Until the level has risen by `tokens`. */
static uint64_t ms_for(const struct quota *q, const struct entry *entry, double tokens) {
  double ms = tokens / ((double)entry->share * q->tokens_per_ms);
  return ms <= 0 ? 0 : ms > 1e15 ? (uint64_t)1e15 : (uint64_t)ceil(ms - ALMOST);
}

/* A request passes where there is a whole token in the common bucket, by what is known here: there, a token is what
 * here is a share of one. So a proxy with a small share gets its turn as soon as the others do. */
struct quota_verdict quota_take(struct quota *q, struct str key) {
  struct visit v = enter(q, key);
  struct entry *entry = find_or_make(q, &v);
  refill(q, entry, v.now_ms);
  double needed = (double)entry->share - ALMOST, full = (double)entry->share * q->rules.burst;
  struct quota_verdict verdict = {.passes = entry->level >= needed};
  entry->wanted++;
  if (verdict.passes) {
    entry->level--;
    entry->hits++;
    if (entry->open_ms == 0) entry->open_ms = v.now_ms;
    v.lock->counts.passed++;
    list(q, entry);
  } else {
    v.lock->counts.refused++;
  }
  if (entry->level >= needed)
    verdict.remaining = (unsigned)(entry->level - needed) + 1;
  else
    verdict.retry_ms = ms_for(q, entry, (double)entry->share - entry->level);
  verdict.reset_ms = ms_for(q, entry, full - entry->level);
  leave(&v);
  return verdict;
}

void quota_bar(struct quota *q, struct str key, uint64_t ms) {
  struct visit v = enter(q, key);
  find_or_make(q, &v)->barred_ms = v.now_ms + ms;
  leave(&v);
}

uint64_t quota_barred(struct quota *q, struct str key) {
  struct visit v = enter(q, key);
  const struct entry *entry = find(&v);
  uint64_t left_ms = entry && entry->barred_ms > v.now_ms ? entry->barred_ms - v.now_ms : 0;
  v.lock->counts.refused += left_ms > 0;
  leave(&v);
  return left_ms;
}

/* --- reporting ----------------------------------------------------------------------------------------- */

/* True for one caller at a time: the last collection was `ms` ago. */
static bool claim(struct quota *q, uint64_t ms) {
  uint64_t last_ms = q->collected_ms, now_ms = clock_now_ms(q->clock);
  return now_ms - last_ms >= ms && atomic_compare_exchange_strong(&q->collected_ms, &last_ms, now_ms);
}

bool quota_is_overdue(struct quota *q) { return claim(q, QUOTA_OVERDUE_MS); }

/* A little early is in time: timers are not exact. */
bool quota_begin(struct quota *q) { return claim(q, QUOTA_REPORT_MS * 9 / 10); }

static double faded(double demand, uint64_t ms) { return demand * exp(-(double)ms / DEMAND_MS); }

/* After a time without answers the bucket of the store has refilled, too: no more is reported than is missing in the
 * bucket here. */
static unsigned hits_of(const struct quota *q, struct entry *entry, uint64_t now_ms) {
  if (!q->is_failing) return entry->hits;
  refill(q, entry, now_ms);
  double missing = ceil((double)entry->share * q->rules.burst - entry->level);
  return missing < entry->hits ? (unsigned)missing : entry->hits;
}

static bool report(const struct quota *q, struct entry *entry, struct quota_report *out) {
  uint64_t now_ms = clock_now_ms(q->clock);
  *out = (struct quota_report){.length = entry->length, .wanted = entry->wanted};
  out->hits = hits_of(q, entry, now_ms);
  entry->hits = 0;
  if (out->hits == 0) return false;
  memcpy(out->key, entry->key, entry->length);
  entry->demand = (float)(faded((double)entry->demand, now_ms - entry->wanted_ms) + entry->wanted);
  entry->wanted_ms = now_ms;
  entry->wanted = 0;
  return true;
}

static struct entry *next_listed(struct quota *q) {
  struct ring *ring = &q->ring;
  struct entry *entry = NULL;
  pthread_mutex_lock(&ring->mutex);
  if (ring->count) {
    entry = &q->entries[ring->entries[ring->first]];
    ring->first = (ring->first + 1) % (q->sets * WAYS);
    ring->count--;
  }
  pthread_mutex_unlock(&ring->mutex);
  return entry;
}

unsigned quota_collect(struct quota *q, struct quota_report *reports, unsigned most) {
  unsigned count = 0;
  struct entry *entry;
  while (count < most && (entry = next_listed(q))) {
    pthread_mutex_t *lock = &q->locks[(uint64_t)(entry - q->entries) / WAYS % LOCKS].mutex;
    pthread_mutex_lock(lock);
    CHECK(entry->is_listed);
    entry->is_listed = false;
    count += report(q, entry, &reports[count]);
    pthread_mutex_unlock(lock);
  }
  return count;
}

void quota_settle(struct quota *q, struct str key, double balance, double demand) {
  struct visit v = enter(q, key);
  struct entry *entry = find(&v);
  if (entry) {
    double least = least_share(q), own = faded((double)entry->demand, v.now_ms - entry->wanted_ms);
    double share = is_just_back(q, v.now_ms) ? least : demand > 0 ? own / demand : 1;
    entry->share = (float)(share > 1 ? 1 : share < least ? least : share);
    entry->level = (double)entry->share * (balance < q->rules.burst ? balance : q->rules.burst) - entry->hits;
    entry->at_ms = v.now_ms;
    entry->open_ms = entry->hits ? v.now_ms : 0;
  }
  leave(&v);
}

void quota_restore(struct quota *q, struct str key, unsigned hits) {
  struct visit v = enter(q, key);
  struct entry *entry = find(&v);
  if (entry) {
    entry->hits += hits;
    list(q, entry);
  } else {
    lose(q, v.lock, hits);
  }
  leave(&v);
}

struct quota_counts quota_take_counts(struct quota *q) {
  struct quota_counts sum = {0};
  for (int i = 0; i < LOCKS; i++) {
    pthread_mutex_lock(&q->locks[i].mutex);
    sum.passed += q->locks[i].counts.passed;
    sum.refused += q->locks[i].counts.refused;
    sum.lost += q->locks[i].counts.lost;
    q->locks[i].counts = (struct quota_counts){0};
    pthread_mutex_unlock(&q->locks[i].mutex);
  }
  return sum;
}
