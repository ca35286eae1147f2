// SPDX-License-Identifier: Apache-2.0
// Units for http/chunked. Each body is decoded in one piece and in pieces of every small size; all must
// agree.
#include "http/chunked.h"

#include <stdio.h>
#include <stdlib.h>

#include "heads.h"
#include "unit.h"

struct decoded {
  enum chunked_state state;
  struct str payload, trailers;
  size_t used; /* of the whole input */
};

/* Feeds `step` bytes at a time, as a connection would: what was not used comes again, with more behind it. */
static struct decoded decode_in_steps(struct str body, size_t step) {
  struct decoded result = {0};
  struct chunked chunked = {0};
  char *payload = arena_alloc(heads_arena(), body.len), *pending = arena_alloc(heads_arena(), body.len);
  size_t kept = 0, count = 0;
  for (size_t at = 0; at < body.len && chunked.state < CHUNKED_DONE; at += count) {
    count = body.len - at < step ? body.len - at : step;
    char *bytes = malloc(kept + count); /* of its exact size, for the sanitizer */
    memcpy(bytes, pending, kept);
    memcpy(bytes + kept, body.ptr + at, count);
    size_t got, used = chunked_decode(&chunked, bytes, kept + count, &got, &result.trailers);
    memcpy(payload + result.payload.len, bytes, got);
    result.payload = (struct str){payload, result.payload.len + got};
    result.trailers = arena_dup(heads_arena(), result.trailers);
    result.used += used;
    kept = kept + count - used;
    memcpy(pending, bytes + used, kept);
    free(bytes);
  }
  result.state = chunked.state;
  return result;
}

static struct decoded decode(struct str body) {
  struct decoded whole = decode_in_steps(body, body.len);
  for (size_t step = 1; step < 9; step++) {
    struct decoded again = decode_in_steps(body, step);
    CHECK(again.state == whole.state);
    CHECK(whole.state == CHUNKED_BAD || str_equal(again.payload, whole.payload));
    CHECK(whole.state != CHUNKED_DONE || again.used == whole.used);
    CHECK(str_equal(again.trailers, whole.trailers));
  }
  return whole;
}

static enum chunked_state state_of(struct str body) {
  enum chunked_state state = decode(body).state;
  heads_free();
  return state;
}
#define STATE(text) state_of(STR(text))

static void check_payload(struct str body, const char *payload) {
  struct decoded result = decode(body);
  CHECK(result.state == CHUNKED_DONE);
  CHECK_STR(result.payload, payload);
  CHECK(result.used == body.len);
  heads_free();
}
#define PAYLOAD(body, payload) check_payload(STR(body), payload)

IT("joins chunks (RFC 9112 section 7.1)") {
  PAYLOAD("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
  PAYLOAD("0\r\n\r\n", "");
  PAYLOAD("1\r\n\n\r\n2\r\n\r\n\r\n0\r\n\r\n", "\n\r\n");
}

IT("reads sizes in hex of either case, with leading zeros") {
  PAYLOAD("A\r\n0123456789\r\n0\r\n\r\n", "0123456789");
  PAYLOAD("a\r\n0123456789\r\n000\r\n\r\n", "0123456789");
  PAYLOAD("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x");
  CHECK(STATE("00000000000000001\r\nx\r\n0\r\n\r\n") == CHUNKED_DONE);
  CHECK(STATE("00000000000000000\r\n\r\n") == CHUNKED_DONE);
}

IT("leaves what follows the body alone") {
  struct decoded result = decode(STR("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n"));
  CHECK(result.state == CHUNKED_DONE);
  CHECK(result.used == strlen("3\r\nabc\r\n0\r\n\r\n"));
  CHECK_STR(result.payload, "abc");
  heads_free();
}

IT("needs more until the last CRLF is there") {
  struct str body = STR("3;a=\"b\"\r\nabc\r\n0\r\nT: x\r\n\r\n");
  for (size_t count = 1; count < body.len; count++)
    CHECK(state_of((struct str){body.ptr, count}) < CHUNKED_DONE);
}

IT("refuses sizes with sign, prefix, space, separators, or no digit") {
  CHECK(STATE("+3\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("-3\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0x3\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE(" 3\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3 \r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\t\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1_0\r\n") == CHUNKED_BAD);
  CHECK(STATE("3,3\r\n") == CHUNKED_BAD);
  CHECK(STATE("3g\r\n") == CHUNKED_BAD);
  CHECK(STATE("\r\n") == CHUNKED_BAD);
  CHECK(STATE(";a\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\0\r\n") == CHUNKED_BAD);
}

IT("refuses sizes whose sum could wrap (RFC 9112 section 7.1)") {
  CHECK(STATE("7fffffffffffffff\r\n") == CHUNKED_DATA);
  CHECK(STATE("8000000000000000\r\n") == CHUNKED_BAD);
  CHECK(STATE("ffffffffffffffff\r\n") == CHUNKED_BAD);
  CHECK(STATE("10000000000000003\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
}

IT("refuses line ends other than CRLF wherever one stands (RFC 9112 section 7.1)") {
  CHECK(STATE("3\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\nabc\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\nabc\r\n0\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\nabc\r\n0\r\n\n") == CHUNKED_BAD);
  CHECK(STATE("3\rabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\nabc\r0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3;a\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3;a=\"\n\"\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3;a\rb\r\nabc\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\nT: x\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\nT: x\ry\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\n\rX") == CHUNKED_BAD);
}

IT("refuses data that is longer or shorter than its size") {
  CHECK(STATE("3\r\nabcd\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\nab\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("3\r\nabc0\r\n\r\n") == CHUNKED_BAD);
}

static enum chunked_state ends_in(const char *text, bool takes_padding) {
  struct chunked chunked = {.takes_padding = takes_padding};
  char bytes[64];
  size_t payload, count = strlen(text);
  memcpy(bytes, text, count);
  chunked_decode(&chunked, bytes, count, &payload, NULL);
  return chunked.state;
}

IT("takes white space that pads a size, or behind an extension, only where that is allowed") {
  static const char *const padded[] = {"5  \r\nhello\r\n0\t\r\n\r\n",
                                       "5;a=b \r\nhello\r\n0;c=\"d\" \r\n\r\n"};
  static const char *const broken[] = {" 5\r\nhello\r\n0\r\n\r\n", "5 \nhello\r\n0\r\n\r\n",
                                       "5 5\r\nhello\r\n0\r\n\r\n", "5;a= \r\nhello\r\n0\r\n\r\n"};
  for (int i = 0; i < 2; i++) {
    CHECK(ends_in(padded[i], true) == CHUNKED_DONE);
    CHECK(ends_in(padded[i], false) == CHUNKED_BAD);
  }
  for (int i = 0; i < 4; i++) CHECK(ends_in(broken[i], true) == CHUNKED_BAD);
}

IT("drops extensions: names, tokens, quoted strings, white space around them (RFC 9112 section 7.1.1)") {
  PAYLOAD("1;a\r\nx\r\n0;b=c;d\r\n\r\n", "x");
  PAYLOAD("1;a=\"b;\\\"\\\\ \t\xff\";c\r\nx\r\n0\r\n\r\n", "x");
  PAYLOAD("1;a=\"\"\r\nx\r\n0\r\n\r\n", "x");
  PAYLOAD("1 ; a = b\t;\tc = \"d\" ; e\r\nx\r\n0\r\n\r\n", "x");
}

IT("refuses malformed extensions") {
  CHECK(STATE("1;\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1; \r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a;\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;;a\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a= \r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;=b\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a b\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a \r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=b \r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=b c\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=b=c\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=\"b\"c\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=\"b\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=\"\x01\"\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;a=\"\\\x7f\"\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("1;\xff\r\nx\r\n0\r\n\r\n") == CHUNKED_BAD);
}

/* A chunk of `data` bytes whose extension has `extension`. */
static struct str chunk_of(size_t data, size_t extension) {
  char *fill = arena_alloc(heads_arena(), data + extension + 1);
  memset(fill, 'x', data + extension + 1);
  return arena_printf(heads_arena(), "%zx;%.*s\r\n%.*s\r\n", data, (int)extension, fill, (int)data, fill);
}

IT("bounds the extensions of one chunk") {
  CHECK(decode_in_steps(chunk_of(1, CHUNKED_LINE_BYTES - 2), 8192).state == CHUNKED_SIZE);
  CHECK(decode_in_steps(chunk_of(1, CHUNKED_LINE_BYTES), 8192).state == CHUNKED_BAD);
  heads_free();
}

static unsigned chunks_until_bad(size_t data, size_t extension) {
  struct chunked chunked = {0};
  struct str chunk = chunk_of(data, extension);
  unsigned count = 0;
  for (; count < 10000 && chunked.state != CHUNKED_BAD; count++) {
    size_t payload;
    char *copy = arena_alloc(heads_arena(), chunk.len);
    memcpy(copy, chunk.ptr, chunk.len);
    chunked_decode(&chunked, copy, chunk.len, &payload, NULL);
  }
  heads_free();
  return count;
}

IT("bounds what a body spends on extensions, by what its data justifies") {
  CHECK(chunks_until_bad(1, 1000) < 30);     /* a flood */
  CHECK(chunks_until_bad(1, 20) == 10000);   /* small ones are free */
  CHECK(chunks_until_bad(100, 85) == 10000); /* a signature per chunk */
}

IT("gives the trailer section, empty line included (RFC 9112 section 7.1.2)") {
  struct decoded result = decode(STR("3\r\nabc\r\n0\r\nA: x\r\nB:\ty\r\n\r\nnext"));
  CHECK(result.state == CHUNKED_DONE);
  CHECK_STR(result.trailers, "A: x\r\nB:\ty\r\n\r\n");
  CHECK_STR(result.payload, "abc");
  heads_free();
  result = decode(STR("0\r\n\r\n"));
  CHECK(result.trailers.len == 0);
  heads_free();
}

IT("looks at each byte of a trailer section once, though it comes again until it is whole") {
  struct chunked chunked = {0};
  char bytes[] = "0\r\nA: x\r\nB: yyyy";
  size_t payload, used = chunked_decode(&chunked, bytes, 12, &payload, NULL);
  CHECK(used == 3 && chunked.state == CHUNKED_TRAILER && chunked.trailer_bytes == 9);
  CHECK(chunked_decode(&chunked, bytes + 3, sizeof bytes - 4, &payload, NULL) == 0);
  CHECK(chunked.trailer_bytes == sizeof bytes - 4);
}

IT("refuses trailers that are no field lines") {
  CHECK(STATE("0\r\nA\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\nA : x\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\n A: x\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\nA: x\r\n y: z\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\n: x\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\nA: \x01\r\n\r\n") == CHUNKED_BAD);
  CHECK(STATE("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n") == CHUNKED_BAD);
}

IT("bounds the trailer section") {
  char *body = arena_alloc(heads_arena(), 2 * CHUNKED_TRAILER_BYTES);
  memset(body, 'x', 2 * CHUNKED_TRAILER_BYTES);
  memcpy(body, "0\r\nA:", 5);
  memcpy(body + 3 + CHUNKED_TRAILER_BYTES - 4, "\r\n\r\n", 4);
  CHECK(decode_in_steps((struct str){body, 2 * CHUNKED_TRAILER_BYTES}, 5000).state == CHUNKED_DONE);
  memcpy(body + 3 + CHUNKED_TRAILER_BYTES - 4, "x\r\n\r\n", 5);
  CHECK(decode_in_steps((struct str){body, 2 * CHUNKED_TRAILER_BYTES}, 5000).state == CHUNKED_BAD);
  CHECK(decode_in_steps((struct str){body, 2 * CHUNKED_TRAILER_BYTES}, 100000).state == CHUNKED_BAD);
  heads_free();
}

IT("does not go on behind the end, nor after a fault") {
  struct chunked chunked = {.state = CHUNKED_DONE};
  char bytes[] = "3\r\nabc";
  size_t payload = 9;
  CHECK(chunked_decode(&chunked, bytes, 6, &payload, NULL) == 0);
  CHECK(payload == 0);
  chunked.state = CHUNKED_BAD;
  CHECK(chunked_decode(&chunked, bytes, 6, &payload, NULL) == 0);
  CHECK(chunked.state == CHUNKED_BAD);
}

IT("writes the line before a chunk, up to the largest size") {
  char room[CHUNKED_HEAD_BYTES + 1] = "";
  char *end = room + CHUNKED_HEAD_BYTES;
  CHECK_STR(str_of(chunked_head(end, 1)), "1\r\n");
  CHECK_STR(str_of(chunked_head(end, 0x1a2b)), "1a2b\r\n");
  CHECK_STR(str_of(chunked_head(end, 0)), "0\r\n");
  char *start = chunked_head(end, SIZE_MAX);
  CHECK_STR(str_of(start), "ffffffffffffffff\r\n");
  CHECK(start >= room);
}
