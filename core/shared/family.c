// SPDX-License-Identifier: Apache-2.0
// family: a table of series for each worker. Only the worker uses its buckets; all series of a worker are also
// in a list that only grows, which a reader follows while the worker continues. Numbers are doubles, stored as
// the bits of an atomic word.
#include "shared/family.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/memory.h"
#include "shared/cell.h"

enum { BUCKETS = 64 };

struct series {
  struct series *next_in_bucket;
  _Atomic(struct series *) next; /* in the list of the worker's */
  uint64_t hash;
  struct str values[FAMILY_LABELS]; /* behind the counts */
  cell value;
  cell counts[]; /* of a histogram */
};

struct table {
  _Alignas(64) _Atomic(struct series *) first;
  struct series *last;
  unsigned count;
  struct series *buckets[BUCKETS];
  cell overflowed;
};

struct family {
  struct family_config config; /* text owned */
  pthread_mutex_t lock;        /* of a gauge */
  struct table tables[];       /* one for each worker; a gauge uses the first alone */
};

/* --- life ----------------------------------------------------------------------------------------------- */

struct family *family_new(const struct family_config *config) {
  struct family *f = memory_zalloc_lines(sizeof *f + (config->workers + 1) * sizeof f->tables[0]);
  f->config = *config;
  f->config.help = str_own(config->help);
  for (unsigned i = 0; i < config->label_count; i++) f->config.labels[i] = str_own(config->labels[i]);
  pthread_mutex_init(&f->lock, NULL);
  return f;
}

void family_free(struct family *f) {
  if (!f) return;
  for (unsigned i = 0; i <= f->config.workers; i++) {
    for (struct series *s = atomic_load(&f->tables[i].first), *next; s; s = next) {
      next = atomic_load(&s->next);
      free(s);
    }
  }
  for (unsigned i = 0; i < f->config.label_count; i++) free((void *)f->config.labels[i].ptr);
  free((void *)f->config.help.ptr);
  pthread_mutex_destroy(&f->lock);
  free(f);
}

bool family_fits(const struct family *f, const struct family_config *c) {
  const struct family_config *own_config = &f->config;
  if (own_config->kind != c->kind || own_config->label_count != c->label_count) return false;
  if (own_config->bound_count != c->bound_count || own_config->workers != c->workers) return false;
  for (unsigned i = 0; i < c->label_count; i++)
    if (!str_equal(own_config->labels[i], c->labels[i])) return false;
  for (unsigned i = 0; i < c->bound_count; i++)
    if (own_config->bounds[i] != c->bounds[i]) return false;
  return true;
}

const struct family_config *family_config(const struct family *f) { return &f->config; }

/* --- series --------------------------------------------------------------------------------------------- */

static struct str cut(struct str value) {
  if (value.len > FAMILY_VALUE_BYTES) value.len = FAMILY_VALUE_BYTES;
  return value;
}

static uint64_t hash_of(const struct family *f, const struct str *values) {
  uint64_t hash = f->config.label_count;
  for (unsigned i = 0; i < f->config.label_count; i++)
    hash = XXH3_64bits_withSeed(values[i].ptr, cut(values[i]).len, hash + i);
  return hash;
}

static bool is_of(const struct family *f, const struct series *s, const struct str *values) {
  for (unsigned i = 0; i < f->config.label_count; i++)
    if (!str_equal(s->values[i], cut(values[i]))) return false;
  return true;
}

static struct series *new_series(const struct family *f, const struct str *values) {
  unsigned counts = f->config.kind == FAMILY_HISTOGRAM ? f->config.bound_count + 1 : 0;
  size_t text = 0;
  for (unsigned i = 0; i < f->config.label_count; i++) text += cut(values[i]).len;
  struct series *s = memory_zalloc(sizeof *s + counts * sizeof s->counts[0] + text);
  char *at = (char *)&s->counts[counts];
  for (unsigned i = 0; i < f->config.label_count; i++) {
    s->values[i] = (struct str){at, cut(values[i]).len};
    if (s->values[i].len) memcpy(at, values[i].ptr, s->values[i].len);
    at += s->values[i].len;
  }
  return s;
}

static struct series *add(const struct family *f, struct table *table, uint64_t hash,
                          const struct str *values) {
  if (table->count >= FAMILY_SERIES) {
    cell_add(&table->overflowed, 1);
    return NULL;
  }
  struct series *s = new_series(f, values);
  s->hash = hash;
  s->next_in_bucket = table->buckets[hash % BUCKETS];
  table->buckets[hash % BUCKETS] = s;
  table->count++;
  atomic_store_explicit(table->last ? &table->last->next : &table->first, s, memory_order_release);
  table->last = s;
  return s;
}

static struct series *find_or_add(const struct family *f, struct table *table, const struct str *values) {
  uint64_t hash = hash_of(f, values);
  for (struct series *s = table->buckets[hash % BUCKETS]; s; s = s->next_in_bucket)
    if (s->hash == hash && is_of(f, s, values)) return s;
  return add(f, table, hash, values);
}

struct series *family_series(struct family *f, unsigned worker, const struct str *values) {
  if (f->config.kind != FAMILY_GAUGE) return find_or_add(f, &f->tables[worker], values);
  pthread_mutex_lock(&f->lock);
  struct series *s = find_or_add(f, &f->tables[0], values);
  pthread_mutex_unlock(&f->lock);
  return s;
}

/* --- numbers -------------------------------------------------------------------------------------------- */

static double number_of(uint64_t bits) {
  double number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

static uint64_t bits_of(double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits;
}

static void add_to(cell *value, double n) { cell_set(value, bits_of(number_of(cell_get(value)) + n)); }

void family_add(struct family *f, struct series *s, double n) {
  if (f->config.kind == FAMILY_GAUGE) pthread_mutex_lock(&f->lock);
  add_to(&s->value, n);
  if (f->config.kind == FAMILY_GAUGE) pthread_mutex_unlock(&f->lock);
}

void family_set(struct family *f, struct series *s, double value) {
  pthread_mutex_lock(&f->lock);
  cell_set(&s->value, bits_of(value));
  pthread_mutex_unlock(&f->lock);
}

void family_observe(struct family *f, struct series *s, double value) {
  unsigned bucket = 0;
  while (bucket < f->config.bound_count && value > f->config.bounds[bucket]) bucket++;
  cell_add(&s->counts[bucket], 1);
  add_to(&s->value, value);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void add_up(const struct family *f, const struct series *s, struct family_sum *sum) {
  unsigned counts = f->config.kind == FAMILY_HISTOGRAM ? f->config.bound_count + 1 : 0;
  sum->value += number_of(cell_get(&s->value));
  for (unsigned i = 0; i < counts; i++) sum->counts[i] += cell_get(&s->counts[i]);
}

static const struct series *first_of(const struct table *table) {
  return atomic_load_explicit(&table->first, memory_order_acquire);
}

static const struct series *next_of(const struct series *s) {
  return atomic_load_explicit(&s->next, memory_order_acquire);
}

static const struct series *find_in(const struct family *f, const struct table *table,
                                    const struct series *wanted) {
  for (const struct series *s = first_of(table); s; s = next_of(s))
    if (s->hash == wanted->hash && is_of(f, s, wanted->values)) return s;
  return NULL;
}

static bool was_before(const struct family *f, unsigned worker, const struct series *wanted) {
  for (unsigned i = 0; i < worker; i++)
    if (find_in(f, &f->tables[i], wanted)) return true;
  return false;
}

/* A combination is summed up where it comes first. */
void family_read(const struct family *f, void (*each)(const struct family_sum *sum, void *context),
                 void *context) {
  for (unsigned worker = 0; worker <= f->config.workers; worker++) {
    for (const struct series *s = first_of(&f->tables[worker]); s; s = next_of(s)) {
      if (was_before(f, worker, s)) continue;
      struct family_sum sum = {0};
      memcpy(sum.values, s->values, sizeof sum.values);
      add_up(f, s, &sum);
      for (unsigned i = worker + 1; i <= f->config.workers; i++) {
        const struct series *other = find_in(f, &f->tables[i], s);
        if (other) add_up(f, other, &sum);
      }
      each(&sum, context);
    }
  }
}

unsigned long long family_overflowed(const struct family *f) {
  unsigned long long sum = 0;
  for (unsigned i = 0; i <= f->config.workers; i++) sum += cell_get(&f->tables[i].overflowed);
  return sum;
}
