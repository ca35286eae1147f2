// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: content codings. The first byte says which, and into which pieces the rest is cut. As a coded body it
// is decoded to the same bytes or the same fault however it is cut, within the bounds that were given; as a plain
// body it is encoded, with a flush here and there, and decoded to itself.
#include "http/coding.h"

#include "fuzz.h"

enum { MOST = 3 << 20, CALLS_MOST = 1 << 20 };

static struct coding_pool pool = {.most = 2, .idle_most = 2};

struct outcome {
  enum coding_fault fault;
  struct buf out;
};

/* `piece` bytes at a time, at most `most` out; every so many pieces a flush. */
static struct outcome run(struct coding_wish wish, struct str body, size_t piece, size_t most,
                          unsigned flushes) {
  struct coder *coder = coder_take(&pool, &wish);
  struct outcome outcome = {0};
  enum coding_state state = CODING_HUNGRY;
  REQUIRE(coder);
  for (unsigned calls = 0; state != CODING_DONE && state != CODING_FAILED; calls++) {
    size_t count = piece < body.len ? piece : body.len, had = buf_len(&outcome.out);
    enum coding_flush flush = count == body.len                 ? CODING_END
                              : flushes && calls % flushes == 0 ? CODING_FLUSH
                                                                : CODING_RUN;
    struct str part = fuzz_copy(body.ptr, count), rest = part;
    state = coder_run(coder, &rest, flush, most, &outcome.out);
    REQUIRE(count - rest.len <= CODING_STEP && buf_len(&outcome.out) - had <= most);
    REQUIRE(state != CODING_HUNGRY || rest.len == 0);
    REQUIRE(state != CODING_HUNGRY || flush != CODING_END);
    body = str_from(body, count - rest.len);
    free((char *)part.ptr);
    REQUIRE(calls < CALLS_MOST);
  }
  outcome.fault = coder_fault(coder);
  REQUIRE((state == CODING_FAILED) == (outcome.fault != CODING_FINE));
  coder_give(&pool, coder);
  REQUIRE(pool.bytes < 64 << 20);
  return outcome;
}

static struct str bytes_of(const struct outcome *outcome) {
  return buf_len(&outcome->out) ? buf_str(&outcome->out) : STR("");
}

static void require_one_result(enum coding coding, struct str body, size_t piece) {
  struct coding_wish wish = {
      .coding = coding, .decodes = true, .most_bytes = MOST, .most_ratio = CODING_RATIO_USUAL};
  struct outcome whole = run(wish, body, SIZE_MAX, 65536, 0),
                 pieces = run(wish, body, piece, 64 + piece * 9, 2);
  struct str a = bytes_of(&whole), b = bytes_of(&pieces);
  REQUIRE(a.len <= MOST + 65536);
  REQUIRE(whole.fault == pieces.fault);
  REQUIRE(whole.fault != CODING_FINE || str_equal(a, b));
  /* What came out before a fault may be less of the same. */
  size_t shorter = a.len < b.len ? a.len : b.len;
  REQUIRE(memcmp(a.ptr, b.ptr, shorter) == 0);
  buf_release(&whole.out);
  buf_release(&pieces.out);
}

static void require_round_trip(enum coding coding, struct str body, size_t piece, unsigned level) {
  struct coding_wish encoding = {.coding = coding, .level = level, .length = body.len},
                     decoding = {.coding = coding, .decodes = true};
  struct outcome coded = run(encoding, body, piece, 64 + piece, 3);
  REQUIRE(coded.fault == CODING_FINE);
  struct outcome decoded = run(decoding, bytes_of(&coded), piece, 64 + piece, 0);
  REQUIRE(decoded.fault == CODING_FINE && str_equal(bytes_of(&decoded), body));
  buf_release(&coded.out);
  buf_release(&decoded.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  enum coding coding = data[0] % CODING_IDENTITY;
  size_t piece = 1 + data[0] / CODING_IDENTITY * 3;
  struct str body = {(const char *)data + 2, size - 2};
  require_one_result(coding, body, piece);
  if (data[1] < 64) require_round_trip(coding, body, piece, data[1] % 6);
  return 0;
}
