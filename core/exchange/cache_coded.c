// SPDX-License-Identifier: Apache-2.0
// cache_coded: representations in a content coding. What the peer has sent is stored as it came; where a client is to
// get a hit of it in a coding, that is made once, in a thread that nobody waits for, and stored beside it. Until it is
// there, hits are encoded on their way, as without a cache.
//
// The key of a coded body is that of the response, with the coding on a line of its own. It is of one stored response:
// its head has the serial of that, so it ends with it, however that ends. What does not get smaller by the coding is
// remembered by an empty one.
#include <stdlib.h>

#include "base/memory.h"
#include "exchange/cache_parts.h"
#include "http/coding.h"
#include "shared/chores.h"

/* Larger ones are encoded on their way: one would keep the thread from all others for seconds. */
enum { CODED_MOST = 8 << 20, CODED_OUT = 16384, NAME_BYTES = 16 };

/* Made once, so the levels are higher than those for what is made for each client. */
static const unsigned levels[CODING_COUNT] = {[CODING_ZSTD] = 12, [CODING_BR] = 9, [CODING_GZIP] = 9};

enum { KIND_CODED = 0xc0ded };

/* The head in the store. */
struct coded_head {
  uint32_t kind, is_vain;
  uint64_t of; /* the serial of what it was made from */
};

static struct str key_of(struct str key, enum coding coding, char *bytes) {
  struct str name = coding_name(coding);
  char *at = mempcpy(bytes, key.ptr, key.len);
  *at++ = '\n';
  *at++ = '=';
  at = mempcpy(at, name.ptr, name.len);
  return (struct str){bytes, (size_t)(at - bytes)};
}

/* --- made ------------------------------------------------------------------------------------------------- */

struct coding_chore {
  struct chore chore;  /* first */
  struct cache *cache; /* borrowed: whose chores it is of */
  enum coding coding;
  uint64_t serial;
  struct str coded_key; /* `key` and what is behind it */
  size_t key_bytes;
  char key[];
};

static void end_chore(struct chore *chore) { free(chore); }

static struct store_writer *begin(struct coding_chore *c, bool is_vain) {
  struct coded_head head = {KIND_CODED, is_vain, c->serial};
  struct str row = {(const char *)&head, sizeof head};
  return store_begin(cache_store(c->cache), c->coded_key, row, is_vain ? 0 : STORE_LENGTH_UNKNOWN);
}

struct making {
  struct coder *coder;
  struct store_writer *writer;
  const atomic_bool *stops;
  struct buf out;
};

/* All of `in`. False: it cannot be, or need not be any more. */
static bool encode(struct making *m, struct str in, enum coding_flush flush) {
  enum coding_state state;
  do {
    if (atomic_load(m->stops)) return false;
    m->out.start = m->out.end = 0;
    state = coder_run(m->coder, &in, flush, CODED_OUT, &m->out);
    if (state == CODING_FAILED || !store_write(m->writer, buf_str(&m->out))) return false;
  } while (state == CODING_AGAIN || (flush == CODING_END && state != CODING_DONE));
  return true;
}

static bool encode_all(struct making *m, const struct store_lease *lease) {
  struct str nothing = {0};
  for (unsigned i = 0; i < lease->count; i++)
    if (!encode(m, (struct str){lease->pieces[i].bytes, (size_t)lease->pieces[i].length}, CODING_RUN))
      return false;
  return encode(m, nothing, CODING_END);
}

/* What gains less than a twentieth is not worth it. */
static bool publish(struct coding_chore *c, struct store_writer *w, uint64_t plain) {
  if (store_written(w) < plain - plain / 20) return store_finish(w);
  store_drop(w);
  w = begin(c, true);
  return w && store_finish(w);
}

static bool make(struct coding_chore *c, const struct store_lease *lease, const atomic_bool *stops) {
  struct coding_pool pool;
  struct coding_wish wish = {.coding = c->coding, .level = levels[c->coding], .length = lease->length};
  coding_pool_init(&pool, 1, 0);
  struct making m = {.coder = coder_take(&pool, &wish), .writer = begin(c, false), .stops = stops};
  bool is_made = m.coder && m.writer && encode_all(&m, lease);
  if (m.coder) coder_give(&pool, m.coder);
  coding_pool_free(&pool);
  buf_release(&m.out);
  if (is_made) return publish(c, m.writer, lease->length);
  if (m.writer) store_drop(m.writer);
  return false;
}

/* What has been replaced since is no failure. */
static bool run_chore(struct chore *chore, const atomic_bool *stops) {
  struct coding_chore *c = (struct coding_chore *)chore;
  struct store *store = cache_store(c->cache);
  struct store_lease lease;
  bool is_done = true;
  if (!store_find(store, (struct str){c->key, c->key_bytes}, &lease)) return true;
  if (lease.serial == c->serial) is_done = make(c, &lease, stops);
  if (lease.serial == c->serial && is_done) cache_count(c->cache, coded, 1);
  store_release(store, &lease);
  return is_done;
}

static void ask_for(const struct cache_visit *v, enum coding coding, struct str coded_key) {
  struct chores *chores = cache_chores(visit_cache(v));
  uint64_t id = (store_hash(coded_key) ^ v->lease.serial) | 1;
  if (v->lease.length > CODED_MOST || !chores_may_add(chores, id)) return;
  struct coding_chore *c = memory_alloc(sizeof *c + coded_key.len);
  *c = (struct coding_chore){.chore = {.id = id, .run = run_chore, .end = end_chore},
                             .cache = visit_cache(v),
                             .coding = coding,
                             .serial = v->lease.serial,
                             .coded_key = {c->key, coded_key.len},
                             .key_bytes = v->object_key.len};
  memcpy(c->key, coded_key.ptr, coded_key.len);
  chores_add(chores, &c->chore);
}

/* --- served ----------------------------------------------------------------------------------------------- */

static void serve(struct cache_visit *v, const struct store_lease *lease) {
  struct exchange *x = v->exchange;
  v->coded = arena_alloc(&x->arena, sizeof *v->coded);
  *v->coded = *lease;
  v->body.pieces[0] = (struct cache_piece){.first = 0, .bytes = lease->length};
  x->response.body = x->response.announced = x->heads.stated = (struct body){FRAMING_LENGTH, lease->length};
  cache_count(visit_cache(v), served_coded, 1);
}

/* All of what is stored, as the peer has sent it. */
static bool is_whole(const struct cache_visit *v) {
  const struct body *body = &v->exchange->response.body;
  return v->state == VISIT_READS && v->has_lease && v->body.count == 1 && !v->body.pieces[0].text.ptr &&
         v->exchange->response.status == 200 && body->framing == FRAMING_LENGTH &&
         body->length == v->lease.length && v->body.pieces[0].bytes == v->lease.length;
}

enum cache_coded cache_take_coded(struct exchange *x, enum coding coding) {
  struct cache_visit *v = x->cache;
  struct store_lease lease;
  struct coded_head head;
  if (!is_whole(v) || v->coded) return CACHE_CODED_NONE;
  char *bytes = arena_alloc(&x->arena, v->object_key.len + NAME_BYTES);
  struct str key = key_of(v->object_key, coding, bytes);
  struct store *store = cache_store(visit_cache(v));
  if (store_find(store, key, &lease)) {
    if (lease.head.len == sizeof head) memcpy(&head, lease.head.ptr, sizeof head);
    bool is_of_it = lease.head.len == sizeof head && head.kind == KIND_CODED && head.of == v->lease.serial;
    if (is_of_it && !head.is_vain) {
      serve(v, &lease);
      return CACHE_CODED_TAKEN;
    }
    store_release(store, &lease);
    if (is_of_it) return CACHE_CODED_VAIN;
  }
  if (v->result == CACHE_RESULT_HIT) ask_for(v, coding, key);
  return CACHE_CODED_NONE;
}
