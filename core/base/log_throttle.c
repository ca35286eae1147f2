// SPDX-License-Identifier: Apache-2.0
// log_throttle: a table of fixed size under one lock, which is held for some tens of instructions: never while a line
// is formatted or written. A key has its place in one row of the table. A place whose time is over and that has
// nothing to report is free. If a row is full, the line is judged by the last place of the table, which all such
// lines share: so memory and lines have a bound however many subjects there are, and no line is lost uncounted.
#include "base/log_throttle.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

enum { ROW = 16, ROWS = LOG_THROTTLE_KEYS / ROW };

struct place {
  uint64_t key; /* 0: never used */
  uint64_t since_ms;
  uint64_t left_out;
  unsigned passed;
  enum log_level level;
  char text[LOG_THROTTLE_TEXT];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct place places[LOG_THROTTLE_KEYS + 1]; /* the last: for all that find no place of their own */
static uint64_t total;                             /* lines left out, ever; under the lock */
static const struct clock *clock_used = &clock_system;

void log_set_clock(const struct clock *clock) {
  pthread_mutex_lock(&lock);
  clock_used = clock ? clock : &clock_system;
  memset(places, 0, sizeof places);
  pthread_mutex_unlock(&lock);
}

/* A clock that was set back (only a test's can be) counts as over, too. */
static bool is_over(const struct place *p, uint64_t now_ms) {
  return now_ms - p->since_ms >= LOG_THROTTLE_MS;
}

static bool is_free(const struct place *p, uint64_t now_ms) {
  return p->key == 0 || (p->left_out == 0 && is_over(p, now_ms));
}

static struct place *find(uint64_t key) {
  struct place *row = &places[key % ROWS * ROW];
  for (int i = 0; i < ROW; i++)
    if (row[i].key == key) return &row[i];
  return NULL;
}

static struct place *claim(uint64_t key, uint64_t now_ms) {
  struct place *row = &places[key % ROWS * ROW];
  for (int i = 0; i < ROW; i++) {
    if (!is_free(&row[i], now_ms)) continue;
    row[i] = (struct place){.key = key, .since_ms = now_ms};
    return &row[i];
  }
  return &places[LOG_THROTTLE_KEYS];
}

/* Reports what was left out, if anything, and begins anew. */
static void take(struct place *p, uint64_t now_ms, struct log_left_out *due) {
  *due = (struct log_left_out){.lines = p->left_out, .over_ms = now_ms - p->since_ms, .level = p->level};
  memcpy(due->text, p->text, sizeof due->text);
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
  return p->left_out++ == 0 ? LOG_WANTS_SAMPLE : LOG_COUNTED;
}

enum log_verdict log_throttle_judge(uint64_t key, enum log_level level, struct log_left_out *due) {
  CHECK(key != 0);
  due->lines = 0;
  pthread_mutex_lock(&lock);
  uint64_t now_ms = clock_now_ms(clock_used);
  struct place *p = find(key);
  if (!p) p = claim(key, now_ms);
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

void log_throttle_keep(uint64_t key, const char *text) {
  pthread_mutex_lock(&lock);
  struct place *p = find(key);
  if (!p) p = &places[LOG_THROTTLE_KEYS];
  if (!p->text[0]) snprintf(p->text, sizeof p->text, "%s", text);
  pthread_mutex_unlock(&lock);
}

bool log_throttle_next(unsigned *at, bool all, struct log_left_out *due) {
  due->lines = 0;
  pthread_mutex_lock(&lock);
  uint64_t now_ms = clock_now_ms(clock_used);
  while (*at <= LOG_THROTTLE_KEYS && due->lines == 0) {
    struct place *p = &places[(*at)++];
    if (p->left_out > 0 && (all || is_over(p, now_ms))) take(p, now_ms, due);
  }
  pthread_mutex_unlock(&lock);
  return due->lines > 0;
}
