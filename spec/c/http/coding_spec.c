// SPDX-License-Identifier: Apache-2.0
// Units for http/coding: streams that are as they should be.
#include "http/coding.h"

#include "coded.h"
#include "unit.h"

static void check_round_trip(enum coding coding, struct str body, struct cuts encoding,
                             struct cuts decoding) {
  enum coding_fault fault;
  struct str coded = coded_encode(coding, body, encoding);
  struct str decoded = coded_decode(coding, coded, decoding, &fault);
  CHECK(fault == CODING_FINE);
  CHECK(str_equal(decoded, body));
}

IT("gives back what went in, for bodies of each kind and of many sizes") {
  static const size_t sizes[] = {0, 1, 2, 3, 63, 64, 65, 1000, CODING_SMALL, CODING_SMALL + 1, 70000, 200000};
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++)
    for (enum coded_kind kind = 0; kind < CODED_KINDS; kind++)
      for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_round_trip(coding, coded_body(kind, sizes[i]), one_piece, one_piece);
  coded_free();
}

IT("does not care into which pieces the bytes are cut, from one byte on") {
  struct str body = coded_body(CODED_TEXT, 1500), noise = coded_body(CODED_NOISE, 300);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    for (size_t piece = 1; piece <= 150; piece++)
      check_round_trip(coding, body, (struct cuts){piece, 64, 0}, (struct cuts){piece, 64 + piece, 0});
    for (size_t piece = 1; piece <= 20; piece++)
      check_round_trip(coding, noise, (struct cuts){piece, 64 + piece, 0}, (struct cuts){piece, 64, 0});
  }
  coded_free();
}

IT("does not care about random cuts and bounds") {
  struct str text = coded_body(CODED_TEXT, 60000), noise = coded_body(CODED_NOISE, 40000);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++)
    for (unsigned seed = 1; seed <= 12; seed++)
      check_round_trip(coding, seed % 3 ? text : noise, (struct cuts){0, 0, seed},
                       (struct cuts){0, 0, seed + 100});
  coded_free();
}

IT("makes text smaller, at the usual and at other levels") {
  struct str body = coded_body(CODED_TEXT, 20000);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    size_t usual = coded_encode(coding, body, one_piece).len;
    CHECK(usual < body.len / 3);
    for (unsigned level = 1; level <= 22; level += 3) {
      struct coding_wish wish = {.coding = coding, .level = level, .length = body.len};
      enum coding_fault fault;
      struct str coded = coded_run(wish, body, one_piece, &fault), decoded;
      CHECK(fault == CODING_FINE && coded.len < body.len / 2);
      decoded = coded_decode(coding, coded, one_piece, &fault);
      CHECK(str_equal(decoded, body));
    }
  }
  coded_free();
}

IT("does not need to know the length, nor to know it right") {
  static const uint64_t lengths[] = {0, 1, CODING_SMALL, 1 << 20, UINT64_C(1) << 40, CODING_LENGTH_UNKNOWN};
  struct str body = coded_body(CODED_TEXT, 50000);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++)
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
      enum coding_fault fault;
      struct coding_wish wish = {.coding = coding, .length = lengths[i]};
      struct str coded = coded_run(wish, body, one_piece, &fault);
      CHECK(fault == CODING_FINE);
      struct str decoded = coded_decode(coding, coded, one_piece, &fault);
      CHECK(fault == CODING_FINE && str_equal(decoded, body));
    }
  coded_free();
}

/* Runs until it wants more or ends. */
static enum coding_state drain(struct coder *coder, struct str in, enum coding_flush flush, size_t most,
                               struct buf *out) {
  enum coding_state state;
  do state = coder_run(coder, &in, flush, most, out);
  while (state == CODING_AGAIN);
  return state;
}

static void check_events(enum coding coding, size_t most, size_t bytes) {
  struct coding_wish encoding = {.coding = coding, .length = CODING_LENGTH_UNKNOWN},
                     decoding = {.coding = coding, .decodes = true};
  struct coder *encoder = coder_take(coded_pool(), &encoding), *decoder = coder_take(coded_pool(), &decoding);
  struct buf coded = {0}, decoded = {0};
  for (unsigned i = 0; i < 20; i++) {
    struct str event = coded_body(i % 2 ? CODED_TEXT : CODED_NOISE, bytes + i);
    CHECK(drain(encoder, event, CODING_FLUSH, most, &coded) == CODING_HUNGRY);
    CHECK(drain(decoder, buf_str(&coded), CODING_RUN, most, &decoded) == CODING_HUNGRY);
    CHECK(str_equal(buf_str(&decoded), event));
    buf_consume(&coded, buf_len(&coded));
    buf_consume(&decoded, buf_len(&decoded));
    /* Without an event in between, a flush adds little or nothing. */
    CHECK(drain(encoder, STR(""), CODING_FLUSH, most, &coded) == CODING_HUNGRY && buf_len(&coded) < 16);
    CHECK(drain(decoder, buf_len(&coded) ? buf_str(&coded) : STR(""), CODING_RUN, most, &decoded) ==
          CODING_HUNGRY);
    CHECK(buf_len(&decoded) == 0);
    buf_consume(&coded, buf_len(&coded));
  }
  CHECK(drain(encoder, STR(""), CODING_END, most, &coded) == CODING_DONE);
  CHECK(drain(decoder, buf_len(&coded) ? buf_str(&coded) : STR(""), CODING_END, most, &decoded) ==
        CODING_DONE);
  CHECK(buf_len(&decoded) == 0);
  buf_release(&coded);
  buf_release(&decoded);
  coder_give(coded_pool(), encoder);
  coder_give(coded_pool(), decoder);
}

IT("brings out with a flush all that went in, so that events are read at once") {
  static const size_t bounds[] = {64, 65, 100, 4096, 65536};
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    for (unsigned i = 0; i < sizeof bounds / sizeof *bounds; i++) check_events(coding, bounds[i], 50);
    check_events(coding, 200, 30000);
    for (size_t bytes = 40; bytes < 80; bytes++) check_events(coding, 64, bytes);
  }
  coded_free();
}

IT("finishes a flush that a bound has cut before it takes more, although the caller goes on") {
  struct str noise = coded_body(CODED_NOISE, 5000), more = coded_body(CODED_TEXT, 3000);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct coding_wish wish = {.coding = coding, .length = CODING_LENGTH_UNKNOWN};
    struct coder *encoder = coder_take(coded_pool(), &wish);
    struct buf coded = {0};
    struct str rest = noise;
    enum coding_fault fault;
    CHECK(coder_run(encoder, &rest, CODING_FLUSH, 100, &coded) == CODING_AGAIN);
    struct str both = coded_join(rest, more);
    CHECK(drain(encoder, both, CODING_END, 100, &coded) == CODING_DONE);
    CHECK(str_equal(coded_decode(coding, buf_str(&coded), one_piece, &fault), coded_join(noise, more)));
    buf_release(&coded);
    coder_give(coded_pool(), encoder);
  }
  coded_free();
}

IT("appends behind what is in the buffer, and no more than it may") {
  struct str body = coded_body(CODED_ZEROS, 500000), coded, rest;
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct coding_wish wish = {.coding = coding, .decodes = true};
    struct buf out = {0};
    coded = rest = coded_encode(coding, body, one_piece);
    struct coder *decoder = coder_take(coded_pool(), &wish);
    buf_append_str(&out, STR("before"));
    CHECK(coder_run(decoder, &rest, CODING_END, 1000, &out) == CODING_AGAIN);
    CHECK(buf_len(&out) <= 1006 && buf_len(&out) > 900 && str_starts_with(buf_str(&out), STR("before")));
    CHECK(coder_given(decoder) == buf_len(&out) - 6 && coder_taken(decoder) <= coded.len);
    buf_release(&out);
    coder_give(coded_pool(), decoder);
  }
  coded_free();
}

IT("says again that it is done") {
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct coding_wish wish = {.coding = coding};
    struct coder *encoder = coder_take(coded_pool(), &wish);
    struct buf out = {0};
    CHECK(drain(encoder, STR("a"), CODING_END, 100, &out) == CODING_DONE);
    size_t had = buf_len(&out);
    CHECK(drain(encoder, STR(""), CODING_END, 100, &out) == CODING_DONE && buf_len(&out) == had);
    buf_release(&out);
    coder_give(coded_pool(), encoder);
  }
  coded_free();
}

IT("keeps coders for the next stream of their kind: in steady state nothing is allocated") {
  struct str body = coded_body(CODED_TEXT, 20000), small = coded_body(CODED_TEXT, 500);
  enum coding_fault fault;
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    for (unsigned round = 0; round < 2; round++) {
      coded_decode(coding, coded_encode(coding, body, one_piece), one_piece, &fault);
      coded_decode(coding, coded_encode(coding, small, one_piece), one_piece, &fault);
    }
    uint64_t allocations = coded_pool()->allocations;
    size_t bytes = coded_pool()->bytes;
    for (unsigned round = 0; round < 10; round++) {
      coded_decode(coding, coded_encode(coding, body, one_piece), one_piece, &fault);
      coded_decode(coding, coded_encode(coding, small, one_piece), one_piece, &fault);
    }
    CHECK(coded_pool()->allocations == allocations && coded_pool()->bytes == bytes);
  }
  coded_free();
}

IT("has no more coders than it may, keeps no more than it may, and knows their memory") {
  struct coding_pool pool;
  struct coder *coders[3];
  struct coding_wish wish = {.coding = CODING_GZIP, .length = CODING_LENGTH_UNKNOWN};
  coding_pool_init(&pool, 3, 1);
  for (unsigned i = 0; i < 3; i++) CHECK((coders[i] = coder_take(&pool, &wish)) != NULL);
  CHECK(!coder_take(&pool, &wish) && pool.busy == 3);
  size_t bytes = pool.bytes;
  CHECK(bytes == coder_bytes(coders[0]) + coder_bytes(coders[1]) + coder_bytes(coders[2]));
  coder_give(&pool, coders[0]);
  CHECK(pool.bytes == bytes && pool.busy == 2);
  coder_give(&pool, coders[1]);
  CHECK(pool.bytes == bytes / 3 * 2);
  CHECK(coder_take(&pool, &wish) == coders[0]);
  coder_give(&pool, coders[0]);
  coder_give(&pool, coders[2]);
  CHECK(pool.busy == 0 && pool.bytes == bytes / 3);
  coding_pool_free(&pool);
  CHECK(pool.bytes == 0 && pool.most == 3);
}

IT("takes no more memory for a stream than the header says") {
  enum { KIB = 1024 };
  static const size_t large[] = {
      [CODING_ZSTD] = 1792, [CODING_BR] = 3072, [CODING_GZIP] = 300, [CODING_DEFLATE] = 300};
  static const size_t small[] = {
      [CODING_ZSTD] = 200, [CODING_BR] = 700, [CODING_GZIP] = 80, [CODING_DEFLATE] = 80};
  static const size_t decoding[] = {
      [CODING_ZSTD] = 1024, [CODING_BR] = 1024, [CODING_GZIP] = 48, [CODING_DEFLATE] = 48};
  for (enum coded_kind kind = 0; kind < CODED_KINDS; kind++)
    for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
      struct str body = coded_body(kind, 700000), short_body = coded_body(kind, CODING_SMALL);
      struct coding_wish wish = {.coding = coding, .length = CODING_LENGTH_UNKNOWN};
      CHECK(coded_memory(wish, body) <= large[coding] * KIB);
      wish.length = short_body.len;
      CHECK(coded_memory(wish, short_body) <= small[coding] * KIB);
      struct str coded = coded_encode(coding, body, one_piece);
      CHECK(coded_memory((struct coding_wish){.coding = coding, .decodes = true}, coded) <=
            decoding[coding] * KIB);
      coded_free();
    }
}
