// SPDX-License-Identifier: Apache-2.0
// Units for relay/encoding and relay/decoding: when a coder gives what it has, what is undone in which order, and the
// memory of ten thousand streams at a time.
#include <stdlib.h>

#include "exchange/codings.h"
#include "http/coded.h"
#include "relay/decoding.h"
#include "relay/encoding.h"
#include "unit.h"

enum { STREAMS = 10000 };

static struct encoding begin(enum coding coding) {
  struct coding_wish wish = {.coding = coding, .length = CODING_LENGTH_UNKNOWN};
  struct coding_claim claim;
  struct encoding e;
  CHECK(coding_claim(coded_pool(), &wish, &claim));
  encoding_begin(&e, coded_pool(), &claim);
  return e;
}

/* The same call until all went in, as the filter of a body does. */
static void put(struct encoding *e, struct str text, enum coding_flush flush) {
  do encoding_run(e, &text, flush);
  while (e->state == CODING_AGAIN && buf_len(&e->out) < ENCODING_FULL);
}

IT("holds a little back until there is enough, or it is flushed, or the end") {
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct encoding e = begin(coding);
    put(&e, STR("an event"), CODING_RUN);
    CHECK(e.holds && !encoding_give(&e).len);
    put(&e, (struct str){0}, CODING_FLUSH);
    CHECK(!e.holds && encoding_give(&e).len && !encoding_give(&e).len);
    put(&e, STR("another"), CODING_RUN);
    CHECK(e.holds && !encoding_give(&e).len);
    put(&e, (struct str){0}, CODING_END);
    CHECK(e.state == CODING_DONE && !e.holds && encoding_give(&e).len);
    encoding_end(&e);
  }
  coded_free();
}

IT("gives what is worth sending before its end") {
  struct str noise = coded_body(CODED_NOISE, 200000);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct encoding e = begin(coding);
    size_t given = 0, rounds = 0;
    e.state = CODING_AGAIN;
    while ((noise.len || e.state == CODING_AGAIN) && rounds++ < 1000) {
      encoding_run(&e, &noise, CODING_RUN);
      struct str piece = encoding_give(&e);
      CHECK(!piece.len || piece.len >= ENCODING_FULL);
      given += piece.len;
    }
    CHECK(given > 4 * ENCODING_FULL);
    encoding_end(&e);
    noise = coded_body(CODED_NOISE, 200000);
  }
  coded_free();
}

/* The whole text of a body that comes in pieces. False: d->fault. */
static bool undo(struct decoding *d, struct str body, size_t part, struct buf *text) {
  struct decoded_text decoded = {.has_more = false};
  bool is_fine = true;
  for (size_t at = 0; is_fine && at < body.len; at += part) {
    struct str piece = {body.ptr + at, body.len - at < part ? body.len - at : part};
    decoding_give(d, piece, at + part >= body.len);
    do {
      is_fine = decoding_take(d, &decoded);
      CHECK(decoded.text.len <= DECODING_STEP);
      if (is_fine) buf_append_str(text, decoded.text);
    } while (is_fine && decoded.has_more);
  }
  return is_fine && decoded.is_last;
}

IT("undoes two codings in the order that is the reverse of theirs, in pieces of any size") {
  struct str body = coded_body(CODED_TEXT, 50000);
  for (enum coding first = 0; first < CODING_IDENTITY; first++)
    for (enum coding second = 0; second < CODING_IDENTITY; second++) {
      const enum coding both[] = {first, second};
      struct str coded = coded_encode(second, coded_encode(first, body, one_piece), one_piece);
      for (size_t part = 7; part < 100000; part *= 31) {
        struct decoding d;
        struct buf text = {0};
        decoding_begin(&d, coded_pool(), both, 2, 0);
        CHECK(undo(&d, coded, part, &text) && str_equal(buf_str(&text), body));
        decoding_end(&d);
        buf_release(&text);
      }
    }
  coded_free();
}

IT("fails where a body is cut, is none, or becomes more than it may") {
  struct str body = coded_body(CODED_TEXT, 50000);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct str coded = coded_encode(coding, body, one_piece);
    const struct {
      struct str body;
      uint64_t most;
      enum coding_fault fault;
    } cases[] = {{{coded.ptr, coded.len / 2}, 0, CODING_TRUNCATED}, {coded, 49999, CODING_TOO_LARGE}};
    for (unsigned i = 0; i < 2; i++) {
      struct decoding d;
      struct buf text = {0};
      decoding_begin(&d, coded_pool(), &coding, 1, cases[i].most);
      CHECK(!undo(&d, cases[i].body, 1000, &text) && d.fault == cases[i].fault);
      decoding_end(&d);
      buf_release(&text);
    }
  }
  coded_free();
}

IT("fails, and takes nothing, where no coder is left") {
  struct coding_pool pool;
  struct decoding d;
  struct decoded_text decoded;
  const enum coding both[] = {CODING_GZIP, CODING_BR};
  coding_pool_init(&pool, 1, 0);
  decoding_begin(&d, &pool, both, 2, 0);
  decoding_give(&d, STR("x"), true);
  CHECK(!decoding_take(&d, &decoded) && d.fault == CODING_SHORTAGE);
  decoding_end(&d);
  CHECK(pool.busy == 0);
  coding_pool_free(&pool);
}

/* As a worker has them: docs/compression.md says how many fit. */
IT("has ten thousand streams at a time within the memory of a worker's coders, and each that gets one "
   "works") {
  static const unsigned fit[CODING_COUNT] = {[CODING_ZSTD] = 36, [CODING_BR] = 21, [CODING_GZIP] = 218};
  static struct encoding streams[STREAMS];
  for (enum coding coding = 0; coding < CODING_DEFLATE; coding++) {
    struct coding_pool pool;
    struct coding_wish wish = {.coding = coding, .length = CODING_LENGTH_UNKNOWN};
    unsigned coded = 0;
    coding_pool_init(&pool, CODERS_MOST, CODERS_IDLE);
    pool.reserved_most = CODERS_BYTES;
    for (unsigned i = 0; i < STREAMS; i++) {
      struct coding_claim claim;
      streams[i] = (struct encoding){0};
      if (!coding_claim(&pool, &wish, &claim)) continue;
      encoding_begin(&streams[i], &pool, &claim);
      coded++;
      put(&streams[i], STR("data: an event\n\n"), CODING_FLUSH);
      CHECK(encoding_give(&streams[i]).len);
      CHECK(pool.bytes <= CODERS_BYTES && pool.reserved <= CODERS_BYTES);
    }
    CHECK(coded == fit[coding]);
    for (unsigned i = 0; i < STREAMS; i++) encoding_end(&streams[i]);
    CHECK(pool.busy == 0 && pool.reserved == 0);
    coding_pool_free(&pool);
  }
}

IT("has the memory of a coder from its first bytes on, and as much counted from its claim on") {
  struct coding_pool pool;
  struct coding_wish wish = {.coding = CODING_GZIP, .length = CODING_LENGTH_UNKNOWN};
  struct coding_claim claims[4], other;
  struct encoding streams[4];
  coding_pool_init(&pool, 4, 1);
  for (unsigned i = 0; i < 4; i++) {
    CHECK(coding_claim(&pool, &wish, &claims[i]));
    encoding_begin(&streams[i], &pool, &claims[i]);
  }
  size_t reserved = pool.reserved;
  CHECK(!coding_claim(&pool, &wish, &other) && reserved && pool.bytes == 0);
  put(&streams[0], STR("text"), CODING_END);
  CHECK(encoding_give(&streams[0]).len && pool.bytes > 200000);
  size_t bytes = pool.bytes;
  encoding_end(&streams[0]);
  put(&streams[1], STR("text"), CODING_END);
  CHECK(pool.bytes == bytes && pool.reserved == reserved / 4 * 3); /* the same memory */
  for (unsigned i = 1; i < 4; i++) encoding_end(&streams[i]);
  CHECK(pool.busy == 0 && pool.reserved == 0);
  coding_pool_free(&pool);
}
