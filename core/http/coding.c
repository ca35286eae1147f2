// SPDX-License-Identifier: Apache-2.0
// coding: names, the pool of coders, and the loop around their steps, which holds all bounds. It knows no library.
#include "http/coding.h"

#include <stdlib.h>

#include "base/memory.h"
#include "http/coding_parts.h"

/* The least that a step is given to write to: a sync flush of zlib needs more than six bytes. */
enum { SPACE_LEAST = 64 };

static const struct {
  struct str name, other;
} codings[] = {
#define X(id, name, other) {STR_INIT(name), STR_INIT(other)},
    CODING_TABLE(X)
#undef X
};

static const struct coding_ops *const all_ops[][2] = {
    [CODING_ZSTD] = {&coding_zstd_encoder, &coding_zstd_decoder},
    [CODING_BR] = {&coding_brotli_encoder, &coding_brotli_decoder},
    [CODING_GZIP] = {&coding_zlib_encoder, &coding_zlib_decoder},
    [CODING_DEFLATE] = {&coding_zlib_encoder, &coding_zlib_decoder},
};
_Static_assert(sizeof all_ops / sizeof *all_ops == CODING_IDENTITY, "a coding without its ops");

/* --- names --- */

enum coding coding_of(struct str name) {
  for (enum coding id = 0; name.len && id < CODING_COUNT; id++)
    if (str_equal_nocase(name, codings[id].name) || str_equal_nocase(name, codings[id].other)) return id;
  return CODING_COUNT;
}

struct str coding_name(enum coding coding) {
  return codings[coding].name;
}

enum error coding_error(enum coding_fault fault, bool is_response) {
  switch (fault) {
  case CODING_FINE: return ERROR_NONE;
  case CODING_TRUNCATED: return is_response ? ERROR_RESPONSE_TRUNCATED : ERROR_REQUEST_TRUNCATED;
  case CODING_TOO_LARGE: return is_response ? ERROR_RESPONSE_TOO_LARGE : ERROR_BODY_TOO_LARGE;
  case CODING_SHORTAGE: return ERROR_LOCAL_SHORTAGE;
  case CODING_MALFORMED:
  case CODING_TRAILING: break;
  }
  return is_response ? ERROR_RESPONSE_CODING : ERROR_REQUEST_CODING;
}

const char *coding_fault_text(enum coding_fault fault) {
  static const char *const texts[] = {
      [CODING_FINE] = "no fault",
      [CODING_MALFORMED] = "the coded body is malformed",
      [CODING_TRUNCATED] = "the coded body ends too early",
      [CODING_TRAILING] = "bytes follow the end of the coded body",
      [CODING_TOO_LARGE] = "the decoded body is larger than allowed",
      [CODING_SHORTAGE] = "no memory is left",
  };
  return texts[fault];
}

/* --- the pool --- */

void coding_pool_init(struct coding_pool *pool, unsigned most, unsigned idle_most) {
  *pool = (struct coding_pool){.most = most, .idle_most = idle_most};
}

void *coding_alloc(struct coder *c, size_t bytes) {
  c->pool->allocations++;
  return memory_alloc(bytes);
}

enum coding_state coding_fail(struct coder *c, enum coding_fault fault) {
  c->fault = fault;
  return CODING_FAILED;
}

/* Its memory may have changed: the pool's sum follows. */
static void count_bytes(struct coder *c, bool is_there) {
  size_t bytes = is_there ? c->ops->bytes + c->ops->memory(c) : 0;
  c->pool->bytes += bytes - c->counted;
  c->counted = bytes;
}

static void free_coder(struct coder *c) {
  count_bytes(c, false);
  c->ops->free(c);
  OBJ_END(c, CODER_MAGIC);
  free(c);
}

void coding_pool_free(struct coding_pool *pool) {
  CHECK(pool->busy == 0);
  for (unsigned kind = 0; kind < CODING_KINDS; kind++)
    for (struct coder *c; (c = pool->idle[kind]); free_coder(c)) pool->idle[kind] = c->next;
  CHECK(pool->bytes == 0);
  *pool = (struct coding_pool){
      .most = pool->most, .idle_most = pool->idle_most, .reserved_most = pool->reserved_most};
}

static struct coder *new_coder(struct coding_pool *pool, const struct coding_wish *wish, unsigned kind) {
  const struct coding_ops *ops = all_ops[wish->coding][wish->decodes];
  struct coder *c = memory_zalloc(ops->bytes);
  c->ops = ops;
  c->pool = pool;
  c->kind = kind;
  c->coding = wish->coding;
  OBJ_INIT(c, CODER_MAGIC);
  return c;
}

/* What the hash tables of brotli take from level 5 on: 16 entries in a bucket, and twice as many at each level more. */
static size_t brotli_tables(unsigned level) {
  if (level < 5) return 0;
  return ((size_t)4 << (level < 7 ? 14 : 15)) << (level - 1);
}

/* What it may come to need, which it does not take at once. */
static size_t expected_bytes(const struct coding_wish *wish, bool is_small) {
  enum { KIB = 1024 };
  if (wish->coding == CODING_GZIP || wish->coding == CODING_DEFLATE)
    return wish->decodes ? 48 * KIB : (is_small ? 80 : 300) * KIB;
  if (wish->decodes) return 1024 * KIB;
  if (wish->coding == CODING_BR) return (is_small ? 700 : 3072) * KIB + brotli_tables(wish->level);
  return wish->level > 5 ? 3072 * KIB : (is_small ? 200 : 1792) * KIB;
}

static bool is_small(const struct coding_wish *wish) {
  return !wish->decodes && wish->length <= CODING_SMALL;
}

bool coding_claim(struct coding_pool *pool, const struct coding_wish *wish, struct coding_claim *claim) {
  CHECK(wish->coding < CODING_IDENTITY);
  size_t reserved = expected_bytes(wish, is_small(wish));
  bool is_full = pool->reserved_most && pool->reserved + reserved > pool->reserved_most;
  *claim = (struct coding_claim){.wish = *wish, .reserved = reserved};
  if (pool->busy >= pool->most || is_full) return false;
  claim->is_held = true;
  pool->busy++;
  pool->reserved += reserved;
  return true;
}

static void end_claim(struct coding_pool *pool, size_t reserved) {
  CHECK(pool->busy > 0 && pool->reserved >= reserved);
  pool->busy--;
  pool->reserved -= reserved;
}

void coding_claim_drop(struct coding_pool *pool, struct coding_claim *claim) {
  if (claim->is_held) end_claim(pool, claim->reserved);
  claim->is_held = false;
}

static struct coder *idle_or_new(struct coding_pool *pool, const struct coding_wish *wish) {
  unsigned kind = wish->coding * 4 + wish->decodes * 2 + is_small(wish);
  struct coder *c = pool->idle[kind];
  if (!c) return new_coder(pool, wish, kind);
  CHECK_OBJ(c, CODER_MAGIC);
  pool->idle[kind] = c->next;
  pool->idle_count[kind]--;
  return c;
}

struct coder *coding_claim_use(struct coding_pool *pool, struct coding_claim *claim) {
  CHECK(claim->is_held);
  const struct coding_wish *wish = &claim->wish;
  struct coder *c = idle_or_new(pool, wish);
  c->is_small = is_small(wish);
  c->state = CODING_HUNGRY;
  c->fault = CODING_FINE;
  c->has_flush = false;
  c->taken = c->given = 0;
  c->most_bytes = wish->most_bytes;
  c->most_ratio = wish->most_ratio;
  bool has_begun = c->ops->begin(c, wish);
  count_bytes(c, true);
  if (!has_begun) {
    coding_claim_drop(pool, claim);
    free_coder(c);
    return NULL;
  }
  c->reserved = claim->reserved;
  claim->is_held = false;
  return c;
}

struct coder *coder_take(struct coding_pool *pool, const struct coding_wish *wish) {
  struct coding_claim claim;
  return coding_claim(pool, wish, &claim) ? coding_claim_use(pool, &claim) : NULL;
}

void coder_give(struct coding_pool *pool, struct coder *c) {
  CHECK_OBJ(c, CODER_MAGIC);
  CHECK(pool == c->pool);
  end_claim(pool, c->reserved);
  if (pool->idle_count[c->kind] >= pool->idle_most) {
    free_coder(c);
    return;
  }
  if (c->ops->rest) c->ops->rest(c);
  count_bytes(c, true);
  c->next = pool->idle[c->kind];
  pool->idle[c->kind] = c;
  pool->idle_count[c->kind]++;
}

/* --- a stream --- */

static bool is_too_large(const struct coder *c) {
  if (c->most_bytes && c->given > c->most_bytes) return true;
  return c->most_ratio && c->given > CODING_RATIO_FREE + c->taken * c->most_ratio;
}

/* One step into the free part of `out`, which has room for at least SPACE_LEAST. */
static enum coding_state step(struct coder *c, struct str *in, enum coding_flush flush, size_t most,
                              struct buf *out) {
  size_t had = in->len, space;
  buf_reserve(out, most);
  space = most;
  enum coding_state state = c->ops->step(c, in, flush, buf_tail(out), &space);
  CHECK(space <= most && in->len <= had);
  CHECK(state != CODING_AGAIN || space || in->len < had || c->has_flush);
  buf_commit(out, space);
  c->taken += had - in->len;
  c->given += space;
  if (state != CODING_FAILED && is_too_large(c)) state = coding_fail(c, CODING_TOO_LARGE);
  CHECK((state == CODING_FAILED) == (c->fault != CODING_FINE));
  return state;
}

/* A flush that has begun is all out before more goes in: that is what the libraries ask for. */
static enum coding_state run(struct coder *c, struct str *in, enum coding_flush flush, size_t most,
                             struct buf *out) {
  size_t from = buf_len(out);
  enum coding_state state = CODING_AGAIN;
  while (state == CODING_AGAIN && most - (buf_len(out) - from) >= SPACE_LEAST) {
    struct str nothing = {in->ptr, 0};
    bool has_flush = c->has_flush;
    enum coding_flush now = has_flush ? CODING_FLUSH : flush;
    state = step(c, has_flush ? &nothing : in, now, most - (buf_len(out) - from), out);
    c->has_flush = now == CODING_FLUSH && state == CODING_AGAIN;
    if (has_flush && state == CODING_HUNGRY && (in->len || flush == CODING_END)) state = CODING_AGAIN;
  }
  return state;
}

enum coding_state coder_run(struct coder *c, struct str *in, enum coding_flush flush, size_t out_bytes,
                            struct buf *out) {
  CHECK_OBJ(c, CODER_MAGIC);
  CHECK(out_bytes >= SPACE_LEAST);
  if (c->state == CODING_FAILED) return c->state;
  if (c->state == CODING_DONE && !in->len) return c->state;
  struct str part = {in->ptr, in->len < CODING_STEP ? in->len : CODING_STEP};
  bool is_all = part.len == in->len;
  c->state = run(c, &part, is_all ? flush : CODING_RUN, out_bytes, out);
  size_t used = (is_all ? in->len : CODING_STEP) - part.len;
  *in = (struct str){in->ptr + used, in->len - used};
  if (c->state == CODING_HUNGRY && in->len) c->state = CODING_AGAIN;
  if (c->state == CODING_HUNGRY || c->state == CODING_DONE) count_bytes(c, true);
  return c->state;
}

enum coding_fault coder_fault(const struct coder *c) { return c->fault; }
uint64_t coder_taken(const struct coder *c) { return c->taken; }
uint64_t coder_given(const struct coder *c) { return c->given; }
size_t coder_bytes(const struct coder *c) { return c->ops->bytes + c->ops->memory(c); }
