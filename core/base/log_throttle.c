// SPDX-License-Identifier: Apache-2.0
// log_throttle: a table of fixed size under one lock, which is held for some tens of instructions: never while a line
// is formatted or written. A key belongs to one row of the table. A place is free if its time is over and it has
// nothing to report. Clients can cause any number of subjects, while the number of kinds is that of log calls in the
// program; so kinds and subjects have separate places. If the row of a subject is full, the place of its kind decides.
// Thus memory and lines are bounded however many subjects there are, each suppressed line is counted, and no kind hides
// another.
#include "base/log_throttle.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

enum {
  ROW = 16,
  SUBJECTS_AT = 0,
  KINDS_AT = LOG_THROTTLE_KEYS,
  LAST = LOG_THROTTLE_KEYS + LOG_THROTTLE_KINDS
};

struct place {
  uint64_t key; /* 0: never used */
  uint64_t since_ms;
  uint64_t left_out;
  unsigned passed;
  enum log_level level;
  char text[LOG_THROTTLE_TEXT];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Of subjects, then of kinds; the last: for all that find none of their own. */
static struct place places[LAST + 1];
static uint64_t total;   /* lines left out, ever; under the lock */
static unsigned waiting; /* places that have some to report; under the lock */
static const struct clock *clock_used = &clock_system;

void log_set_clock(const struct clock *clock) {
  pthread_mutex_lock(&lock);
  clock_used = clock ? clock : &clock_system;
  memset(places, 0, sizeof places);
  waiting = 0;
  pthread_mutex_unlock(&lock);
}

/* A clock that was set back (only a test's can be) counts as over, too. */
static bool is_over(const struct place *p, uint64_t now_ms) {
  return now_ms - p->since_ms >= LOG_THROTTLE_MS;
}

static bool is_free(const struct place *p, uint64_t now_ms) {
  return p->key == 0 || (p->left_out == 0 && is_over(p, now_ms));
}

static struct place *row_of(uint64_t key, bool is_kind) {
  if (is_kind) return &places[KINDS_AT + key % (LOG_THROTTLE_KINDS / ROW) * ROW];
  return &places[SUBJECTS_AT + key % (LOG_THROTTLE_KEYS / ROW) * ROW];
}

static struct place *find_in(struct place *row, uint64_t key) {
  for (int i = 0; i < ROW; i++)
    if (row[i].key == key) return &row[i];
  return NULL;
}

static struct place *claim_in(struct place *row, uint64_t key, uint64_t now_ms) {
  for (int i = 0; i < ROW; i++) {
    if (!is_free(&row[i], now_ms)) continue;
    row[i] = (struct place){.key = key, .since_ms = now_ms};
    return &row[i];
  }
  return NULL;
}

/* Where it is judged: by its subject, else by its kind. */
static struct place *place_of(struct log_class line, uint64_t now_ms) {
  bool is_kind = line.key == line.kind;
  struct place *row = row_of(line.key, is_kind), *p = find_in(row, line.key);
  if (!p) p = claim_in(row, line.key, now_ms);
  if (p) return p;
  return is_kind ? &places[LAST] : place_of((struct log_class){line.kind, line.kind}, now_ms);
}

/* Reports how many lines were left out, if any, and resets the count. */
static void take(struct place *p, uint64_t now_ms, struct log_left_out *due) {
  *due = (struct log_left_out){.lines = p->left_out, .over_ms = now_ms - p->since_ms, .level = p->level};
  memcpy(due->text, p->text, sizeof due->text);
  waiting -= p->left_out > 0;
  p->since_ms = now_ms;
  p->left_out = 0;
  p->passed = 0;
  p->text[0] = '\0';
}

static enum log_verdict count(struct place *p, enum log_level level) {
  if (p->passed < LOG_THROTTLE_LINES) {
    p->passed++;
    return LOG_PASSES;
  }
  if (p->left_out == 0 || level > p->level) p->level = level;
  total++;
  waiting += p->left_out == 0;
  return p->left_out++ == 0 ? LOG_WANTS_SAMPLE : LOG_COUNTED;
}

enum log_verdict log_throttle_judge(struct log_class line, enum log_level level, struct log_left_out *due) {
  CHECK(line.key != 0 && line.kind != 0);
  due->lines = 0;
  pthread_mutex_lock(&lock);
  uint64_t now_ms = clock_now_ms(clock_used);
  struct place *p = place_of(line, now_ms);
  if (is_over(p, now_ms)) take(p, now_ms, due);
  enum log_verdict verdict = count(p, level);
  pthread_mutex_unlock(&lock);
  return verdict;
}

uint64_t log_throttle_total(void) {
  pthread_mutex_lock(&lock);
  uint64_t lines = total;
  pthread_mutex_unlock(&lock);
  return lines;
}

void log_throttle_keep(struct log_class line, const char *text) {
  pthread_mutex_lock(&lock);
  struct place *p = find_in(row_of(line.key, line.key == line.kind), line.key);
  if (!p) p = find_in(row_of(line.kind, true), line.kind);
  if (!p) p = &places[LAST];
  if (!p->text[0]) str_fit(p->text, sizeof p->text, (struct str){text, strcspn(text, "\n")});
  pthread_mutex_unlock(&lock);
}

bool log_throttle_next(unsigned *at, bool all, struct log_left_out *due) {
  due->lines = 0;
  pthread_mutex_lock(&lock);
  uint64_t now_ms = clock_now_ms(clock_used);
  while (waiting && *at <= LAST && due->lines == 0) {
    struct place *p = &places[(*at)++];
    if (p->left_out > 0 && (all || is_over(p, now_ms))) take(p, now_ms, due);
  }
  pthread_mutex_unlock(&lock);
  return due->lines > 0;
}
