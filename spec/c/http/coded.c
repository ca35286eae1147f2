// SPDX-License-Identifier: Apache-2.0
// coded: see coded.h. Pieces are copied to memory of their exact size, so that a sanitizer sees a byte read beyond
// them.
#include "coded.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "unit.h"

static struct coding_pool pool;
static struct arena arena;

struct coding_pool *coded_pool(void) {
  if (!pool.most) coding_pool_init(&pool, 8, 4);
  return &pool;
}

void coded_free(void) {
  CHECK(pool.busy == 0);
  coding_pool_free(&pool);
  pool.most = 0;
  arena_free(&arena);
}

static unsigned next_random(unsigned *seed) {
  *seed = *seed * 1103515245u + 12345u;
  return *seed >> 8;
}

struct str coded_body(enum coded_kind kind, size_t bytes) {
  char *body = arena_zalloc(&arena, bytes);
  unsigned seed = 7;
  char item[80];
  for (size_t at = 0; kind == CODED_TEXT && at < bytes;) {
    int length =
        snprintf(item, sizeof item, "{\"id\":%u,\"name\":\"item %u\",\"price\":%u.%02u},\n", (unsigned)at,
                 next_random(&seed) % 1000, next_random(&seed) % 500, next_random(&seed) % 100);
    size_t part = (size_t)length < bytes - at ? (size_t)length : bytes - at;
    memcpy(body + at, item, part);
    at += part;
  }
  for (size_t at = 0; kind == CODED_NOISE && at < bytes; at++) body[at] = (char)next_random(&seed);
  return (struct str){body, bytes};
}

/* A call holds its bounds, whatever it is given. */
static enum coding_state run_piece(struct coder *coder, struct str *rest, size_t count,
                                   enum coding_flush flush, size_t most, struct buf *out) {
  char *copy = malloc(count ? count : 1);
  struct str piece = {copy, count};
  size_t had = buf_len(out);
  if (count) memcpy(copy, rest->ptr, count);
  enum coding_state state = coder_run(coder, &piece, flush, most, out);
  size_t used = count - piece.len;
  CHECK(used <= CODING_STEP && buf_len(out) - had <= most);
  CHECK(state != CODING_HUNGRY || piece.len == 0);
  *rest = str_from(*rest, used);
  free(copy);
  return state;
}

struct str coded_run(struct coding_wish wish, struct str body, struct cuts cuts, enum coding_fault *fault) {
  struct coder *coder = coder_take(coded_pool(), &wish);
  struct buf out = {0};
  struct str rest = body;
  enum coding_state state = CODING_HUNGRY;
  unsigned seed = cuts.seed;
  for (size_t calls = 0; state != CODING_DONE && state != CODING_FAILED; calls++) {
    size_t count = cuts.in ? cuts.in : next_random(&seed) % 3000,
           most = cuts.out ? cuts.out : 64 + next_random(&seed) % 4000;
    if (count > rest.len) count = rest.len;
    state = run_piece(coder, &rest, count, count == rest.len ? CODING_END : CODING_RUN, most, &out);
    if (!CHECK(calls < 10000000)) break;
  }
  CHECK(state == CODING_FAILED || (coder_taken(coder) == body.len && coder_given(coder) == buf_len(&out)));
  *fault = coder_fault(coder);
  struct str result = arena_dup(&arena, buf_len(&out) ? buf_str(&out) : STR(""));
  buf_release(&out);
  coder_give(coded_pool(), coder);
  return result;
}

struct str coded_encode(enum coding coding, struct str body, struct cuts cuts) {
  struct coding_wish wish = {.coding = coding, .length = body.len};
  enum coding_fault fault;
  struct str coded = coded_run(wish, body, cuts, &fault);
  CHECK(fault == CODING_FINE);
  return coded;
}

struct str coded_decode(enum coding coding, struct str body, struct cuts cuts, enum coding_fault *fault) {
  return coded_run((struct coding_wish){.coding = coding, .decodes = true}, body, cuts, fault);
}

size_t coded_memory(struct coding_wish wish, struct str body) {
  struct coder *coder = coder_take(coded_pool(), &wish);
  struct buf out = {0};
  size_t most = 0;
  enum coding_state state;
  do {
    state = coder_run(coder, &body, CODING_END, 65536, &out);
    if (coder_bytes(coder) > most) most = coder_bytes(coder);
    buf_consume(&out, buf_len(&out));
  } while (state == CODING_AGAIN);
  CHECK(state == CODING_DONE);
  buf_release(&out);
  coder_give(coded_pool(), coder);
  return most;
}

struct str coded_join(struct str a, struct str b) {
  char *both = arena_alloc(&arena, a.len + b.len);
  if (a.len) memcpy(both, a.ptr, a.len);
  if (b.len) memcpy(both + a.len, b.ptr, b.len);
  return (struct str){both, a.len + b.len};
}
