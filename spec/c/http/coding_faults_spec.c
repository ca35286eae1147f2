// SPDX-License-Identifier: Apache-2.0
// Units for http/coding: what peers send that is not as it should be, and forms of it that are rare but right.
#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include "coded.h"
#include "unit.h"

static enum coding_fault fault_of(enum coding coding, struct str coded) {
  enum coding_fault fault, in_bytes;
  struct str whole = coded_decode(coding, coded, one_piece, &fault);
  struct str bytes = coded_decode(coding, coded, (struct cuts){1, 64, 0}, &in_bytes);
  CHECK(fault == in_bytes);
  CHECK(fault != CODING_FINE || str_equal(whole, bytes));
  return fault;
}

static struct str whole(const char *text) { return coded_join(str_of(text), STR("")); }

IT("takes no byte at all for an empty body") {
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++)
    CHECK(fault_of(coding, STR("")) == CODING_FINE);
  coded_free();
}

IT("finds a body that ends too early, wherever it ends") {
  struct str bodies[] = {whole("a"), coded_body(CODED_TEXT, 700), coded_body(CODED_NOISE, 300)};
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++)
    for (unsigned i = 0; i < 3; i++) {
      struct str coded = coded_encode(coding, bodies[i], one_piece);
      CHECK(fault_of(coding, coded) == CODING_FINE);
      for (size_t length = 1; length < coded.len; length++)
        CHECK(fault_of(coding, (struct str){coded.ptr, length}) == CODING_TRUNCATED);
    }
  coded_free();
}

IT("finds bytes behind the end") {
  struct str body = coded_body(CODED_TEXT, 700);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct str coded = coded_encode(coding, body, one_piece);
    CHECK(fault_of(coding, coded_join(coded, STR("xxxx"))) == CODING_TRAILING);
    CHECK(fault_of(coding, coded_join(coded, whole("\x01"))) != CODING_FINE);
    CHECK(fault_of(coding, coded_join(coded, (struct str){"\0\0\0\0\0\0\0\0", 8})) == CODING_TRAILING);
  }
  coded_free();
}

IT("decodes several members of gzip and several frames of zstd as one body, and no other coding so") {
  struct str a = coded_body(CODED_TEXT, 700), b = coded_body(CODED_NOISE, 300), both = coded_join(a, b);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct str coded = coded_join(coded_encode(coding, a, one_piece), coded_encode(coding, b, one_piece));
    bool may_join = coding == CODING_GZIP || coding == CODING_ZSTD;
    enum coding_fault fault;
    CHECK(fault_of(coding, coded) == (may_join ? CODING_FINE : CODING_TRAILING));
    if (may_join) CHECK(str_equal(coded_decode(coding, coded, one_piece, &fault), both));
    if (may_join) CHECK(fault_of(coding, (struct str){coded.ptr, coded.len - 1}) == CODING_TRUNCATED);
  }
  coded_free();
}

IT("finds what is not of the coding at all") {
  struct str texts[] = {STR("<html>no coding</html>"), STR("\xff\xff\xff\xff\xff\xff\xff\xff"),
                        STR("{\"a\":1}\n{\"a\":1}\n")};
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++)
    for (unsigned i = 0; i < 3; i++) CHECK(fault_of(coding, texts[i]) != CODING_FINE);
  coded_free();
}

/* Debian's library would decode them, by code that nobody looks after, and without a bound for the window. */
IT("takes no frame of the formats that zstd had before its first version, not even behind a frame of today") {
  struct str old = {"\x27\xb5\x2f\xfd\0\0\x40\0\3abc\xc0\0\0", 15};
  struct str today = coded_encode(CODING_ZSTD, coded_body(CODED_TEXT, 700), one_piece);
  CHECK(fault_of(CODING_ZSTD, old) == CODING_MALFORMED);
  CHECK(fault_of(CODING_ZSTD, coded_join(today, old)) == CODING_TRAILING);
  for (char first = 0x1e; first <= 0x27; first++) {
    struct str copy = coded_join(old, STR(""));
    *(char *)(uintptr_t)copy.ptr = first;
    CHECK(fault_of(CODING_ZSTD, copy) == CODING_MALFORMED);
  }
  coded_free();
}

IT("passes over frames of zstd that are to be skipped") {
  struct str skipped = {"\x5f\x2a\x4d\x18\3\0\0\0abc", 11};
  struct str body = coded_body(CODED_TEXT, 700), coded = coded_encode(CODING_ZSTD, body, one_piece);
  struct str between = coded_join(coded_join(skipped, coded), coded_join(skipped, coded));
  enum coding_fault fault;
  CHECK(fault_of(CODING_ZSTD, between) == CODING_FINE);
  CHECK(str_equal(coded_decode(CODING_ZSTD, between, one_piece, &fault), coded_join(body, body)));
  coded_free();
}

IT("finds each changed bit of gzip's and zlib's content and checks") {
  struct str body = coded_body(CODED_TEXT, 400);
  static const enum coding checked[] = {CODING_GZIP, CODING_DEFLATE};
  for (unsigned i = 0; i < 2; i++) {
    struct str coded = coded_encode(checked[i], body, one_piece);
    /* Of gzip's head, time, flags and system may be anything. */
    for (size_t at = checked[i] == CODING_GZIP ? 10 : 0; at < coded.len; at++)
      for (unsigned bit = 0; bit < 8; bit++) {
        struct str copy = coded_join(coded, STR(""));
        enum coding_fault fault;
        ((char *)(uintptr_t)copy.ptr)[at] ^= (char)(1 << bit);
        struct str decoded = coded_decode(checked[i], copy, one_piece, &fault);
        CHECK(fault != CODING_FINE || str_equal(decoded, body));
      }
    coded_free();
    body = coded_body(CODED_TEXT, 400);
  }
  coded_free();
}

IT("reads a head of gzip with all its optional parts, and checks its checksum (RFC 1952 section 2.3)") {
  struct str body = coded_body(CODED_TEXT, 300), plain = coded_encode(CODING_GZIP, body, one_piece);
  static const char head[] = "\x1f\x8b\x08\x1e\x01\x02\x03\x04\x00\x03\x03\x00xyzname\0comment";
  struct str parts = coded_join((struct str){head, sizeof head}, STR(""));
  unsigned long sum = crc32(0, (const unsigned char *)parts.ptr, (unsigned)parts.len) & 0xffff;
  char check[2] = {(char)(sum & 0xff), (char)(sum >> 8)};
  struct str coded = coded_join(coded_join(parts, (struct str){check, 2}), str_from(plain, 10));
  enum coding_fault fault;
  CHECK(str_equal(coded_decode(CODING_GZIP, coded, (struct cuts){1, 64, 0}, &fault), body) &&
        fault == CODING_FINE);
  check[0] ^= 1;
  CHECK(fault_of(CODING_GZIP, coded_join(coded_join(parts, (struct str){check, 2}), str_from(plain, 10))) ==
        CODING_MALFORMED);
  coded_free();
}

/* As zlib does it, with these window bits: 15 for RFC 1950, -15 for RFC 1951. */
static struct str zlib_of(struct str body, int window) {
  static unsigned char coded[4000];
  z_stream z = {0};
  deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  z.next_in = (unsigned char *)(uintptr_t)body.ptr;
  z.avail_in = (unsigned)body.len;
  z.next_out = coded;
  z.avail_out = sizeof coded;
  CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
  size_t length = z.total_out;
  deflateEnd(&z);
  return coded_join((struct str){(char *)coded, length}, STR(""));
}

IT("decodes both forms that are sent as deflate, the one with zlib's head and the bare one") {
  struct str bodies[] = {whole(""), whole("a"), coded_body(CODED_TEXT, 900), coded_body(CODED_NOISE, 900)};
  static const int windows[] = {15, 9, -15, -9};
  for (unsigned i = 0; i < 4; i++)
    for (unsigned w = 0; w < 4; w++) {
      struct str coded = zlib_of(bodies[i], windows[w]);
      for (size_t piece = 1; piece < 5; piece++) {
        enum coding_fault fault;
        struct str decoded = coded_decode(CODING_DEFLATE, coded, (struct cuts){piece, 64, 0}, &fault);
        CHECK(fault == CODING_FINE && str_equal(decoded, bodies[i]));
      }
      CHECK(fault_of(CODING_DEFLATE, coded_join(coded, STR("x"))) == CODING_TRAILING);
    }
  coded_free();
}

static enum coding_fault limited(enum coding coding, struct str coded, uint64_t most_bytes,
                                 unsigned most_ratio, size_t *decoded) {
  struct coding_wish wish = {
      .coding = coding, .decodes = true, .most_bytes = most_bytes, .most_ratio = most_ratio};
  enum coding_fault fault;
  *decoded = coded_run(wish, coded, one_piece, &fault).len;
  return fault;
}

IT("ends a bomb soon after its bounds, by size and by ratio") {
  struct str bomb = coded_body(CODED_ZEROS, 5 << 20), text = coded_body(CODED_TEXT, 5 << 18);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    size_t decoded;
    struct str coded = coded_encode(coding, bomb, one_piece);
    CHECK(coded.len < 10000);
    CHECK(limited(coding, coded, 0, 0, &decoded) == CODING_FINE && decoded == bomb.len);
    CHECK(limited(coding, coded, 0, CODING_RATIO_USUAL, &decoded) == CODING_TOO_LARGE);
    CHECK(decoded <= CODING_RATIO_FREE + coded.len * CODING_RATIO_USUAL + (1 << 16));
    CHECK(limited(coding, coded, 100000, 0, &decoded) == CODING_TOO_LARGE && decoded <= 100000 + (1 << 16));
    CHECK(limited(coding, coded, bomb.len, 0, &decoded) == CODING_FINE);
    CHECK(limited(coding, coded, bomb.len - 1, 0, &decoded) == CODING_TOO_LARGE);
    /* What is no bomb is not taken for one: text, and little of anything. */
    CHECK(limited(coding, coded_encode(coding, text, one_piece), 0, CODING_RATIO_USUAL, &decoded) ==
          CODING_FINE);
    struct str some = coded_encode(coding, (struct str){bomb.ptr, 1 << 20}, one_piece);
    CHECK(limited(coding, some, 0, CODING_RATIO_USUAL, &decoded) == CODING_FINE && decoded == 1 << 20);
  }
  coded_free();
}

/* As zstd does it with that window. */
static struct str zstd_of(struct str body, int window) {
  static char coded[20000];
  ZSTD_CCtx *context = ZSTD_createCCtx();
  ZSTD_inBuffer in = {body.ptr, body.len, 0};
  ZSTD_outBuffer out = {coded, sizeof coded, 0};
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  CHECK(ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush) == 0);
  CHECK(ZSTD_compressStream2(context, &out, &in, ZSTD_e_end) == 0);
  ZSTD_freeCCtx(context);
  return coded_join((struct str){coded, out.pos}, STR(""));
}

IT("refuses a window of zstd above 8 MiB, and takes one of 8 MiB (RFC 9659 section 3)") {
  struct str body = coded_body(CODED_TEXT, 5000);
  CHECK(fault_of(CODING_ZSTD, zstd_of(body, 23)) == CODING_FINE);
  CHECK(fault_of(CODING_ZSTD, zstd_of(body, 24)) == CODING_MALFORMED);
  CHECK(fault_of(CODING_ZSTD, zstd_of(body, 27)) == CODING_MALFORMED);
  coded_free();
}

IT("makes zstd and gzip whose windows any client can take") {
  struct str body = coded_body(CODED_TEXT, 300000);
  static const uint64_t lengths[] = {0, 300000, UINT64_C(1) << 33, CODING_LENGTH_UNKNOWN};
  for (unsigned i = 0; i < 4; i++)
    for (unsigned level = 0; level < 23; level += 11) {
      struct coding_wish wish = {.coding = CODING_ZSTD, .length = lengths[i], .level = level};
      enum coding_fault fault;
      struct str coded = coded_run(wish, body, one_piece, &fault);
      /* RFC 8878 section 3.1.1: magic number, descriptor, window: not a single segment. */
      CHECK(coded.len > 6 && memcmp(coded.ptr, "\x28\xb5\x2f\xfd", 4) == 0 && (coded.ptr[4] & 0x20) == 0);
      CHECK((unsigned char)coded.ptr[5] >> 3 <= 17 - 10);
    }
  struct str coded = coded_encode(CODING_GZIP, body, one_piece);
  CHECK(memcmp(coded.ptr, "\x1f\x8b\x08\0\0\0\0\0", 8) == 0);
  coded_free();
}

/* Also what the pool keeps of it. */
static size_t memory_after(enum coding coding, struct str coded, size_t *kept) {
  size_t most = coded_memory((struct coding_wish){.coding = coding, .decodes = true}, coded);
  *kept = coded_pool()->bytes;
  return most;
}

IT("bounds the memory that the largest windows take, and keeps none of it") {
  static uint8_t coded[200000];
  struct str body = coded_body(CODED_ZEROS, 17 << 20);
  size_t length = sizeof coded, kept;
  CHECK(
      BrotliEncoderCompress(5, 24, BROTLI_MODE_GENERIC, body.len, (const uint8_t *)body.ptr, &length, coded));
  CHECK(memory_after(CODING_BR, (struct str){(char *)coded, length}, &kept) <= 17 << 20);
  CHECK(kept <= 1 << 20);
  coding_pool_free(coded_pool());
  CHECK(memory_after(CODING_ZSTD, zstd_of(body, 23), &kept) <= 9 << 20);
  CHECK(kept <= 2 << 20);
  coded_free();
}

IT("says the same fault again, and takes a coder back in any state") {
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct coding_wish wish = {.coding = coding, .decodes = true};
    struct coder *coder = coder_take(coded_pool(), &wish);
    struct buf out = {0};
    struct str bad = STR("nothing of the kind"), more = STR("more");
    CHECK(coder_run(coder, &bad, CODING_RUN, 100, &out) == CODING_FAILED);
    CHECK(coder_run(coder, &more, CODING_END, 100, &out) == CODING_FAILED && more.len == 4);
    CHECK(coder_fault(coder) == CODING_MALFORMED && buf_len(&out) == 0);
    buf_release(&out);
    coder_give(coded_pool(), coder);
    /* The next one of its kind knows nothing of that. */
    struct str body = coded_body(CODED_TEXT, 300), coded = coded_encode(coding, body, one_piece);
    coder = coder_take(coded_pool(), &wish);
    bad = (struct str){coded.ptr, coded.len / 2};
    CHECK(coder_run(coder, &bad, CODING_RUN, 1000, &out) == CODING_HUNGRY);
    coder_give(coded_pool(), coder);
    buf_release(&out);
    CHECK(fault_of(coding, coded) == CODING_FINE);
  }
  coded_free();
}

IT("names each fault for the log and for the table of errors") {
  CHECK(coding_error(CODING_FINE, true) == ERROR_NONE);
  CHECK(coding_error(CODING_MALFORMED, true) == ERROR_RESPONSE_CODING);
  CHECK(coding_error(CODING_TRAILING, false) == ERROR_REQUEST_CODING);
  CHECK(coding_error(CODING_TRUNCATED, true) == ERROR_RESPONSE_TRUNCATED);
  CHECK(coding_error(CODING_TRUNCATED, false) == ERROR_REQUEST_TRUNCATED);
  CHECK(coding_error(CODING_TOO_LARGE, true) == ERROR_RESPONSE_TOO_LARGE);
  CHECK(coding_error(CODING_TOO_LARGE, false) == ERROR_BODY_TOO_LARGE);
  CHECK(coding_error(CODING_SHORTAGE, true) == ERROR_LOCAL_SHORTAGE);
  for (enum coding_fault fault = CODING_FINE; fault <= CODING_SHORTAGE; fault++)
    CHECK(coding_fault_text(fault)[0]);
}
