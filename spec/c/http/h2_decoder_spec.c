// SPDX-License-Identifier: Apache-2.0
// h2_decoder: nghttp2's encoder and decoder, which others wrote, are the judges of what it reads.
#include "http/h2_decoder.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h2_huffman.h"
#include "unit.h"

enum { FIELDS = 8, ROOM = 20000 };

static nghttp2_nv pair(const char *name, size_t name_bytes, const char *value, size_t value_bytes,
                       bool never) {
  return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, name_bytes, value_bytes,
                      never ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

static bool is_field(const struct h2_read_field *field, const nghttp2_nv *nv) {
  return str_equal(field->name, (struct str){(char *)nv->name, nv->namelen}) &&
         str_equal(field->value, (struct str){(char *)nv->value, nv->valuelen});
}

/* All come out as they went in. */
static bool pass(struct h2_decoder *d, nghttp2_hd_deflater *deflater, const nghttp2_nv *items, size_t count) {
  static uint8_t room[ROOM];
  ssize_t bytes = nghttp2_hd_deflate_hd(deflater, room, sizeof room, items, count);
  CHECK(bytes > 0);
  uint8_t *exact = memcpy(malloc((size_t)bytes), room, (size_t)bytes);
  struct h2_coded block = {.at = exact, .end = exact + bytes};
  struct h2_read_field field;
  size_t seen = 0;
  enum h2_read result;
  while ((result = h2_decoder_next(d, &block, &field)) == H2_READ_FIELD) {
    bool is_never = items[seen].flags & NGHTTP2_NV_FLAG_NO_INDEX;
    if (seen == count || !is_field(&field, &items[seen]) || field.is_sensitive != is_never) break;
    seen++;
  }
  free(exact);
  return result == H2_READ_END && seen == count && d->bytes <= H2_DECODER_BYTES;
}

static nghttp2_nv random_field(char *text, size_t room) {
  static const char *const names[] = {":path", "etag", "content-type", "x-some-longer-name",
                                      "date",  "a",    "x-a"};
  size_t most = rand() % 10 ? 40 : room, length = (size_t)rand() % most;
  const char *name = names[rand() % 7];
  memset(text, 'a' + rand() % 3, length);
  for (size_t i = 0; length && i < 4; i++) text[(size_t)rand() % length] = (char)rand();
  return pair(name, strlen(name), text, length, rand() % 20 == 0);
}

IT("reads any row of fields, whatever size the other side gives its table") {
  static char texts[FIELDS][2048];
  srand(7541);
  for (size_t most = 0; most <= H2_DECODER_BYTES; most += most < 256 ? 32 : 768) {
    struct h2_decoder d = {0};
    nghttp2_hd_deflater *deflater;
    CHECK(nghttp2_hd_deflate_new(&deflater, most) == 0);
    for (int turn = 0; turn < 500; turn++) {
      nghttp2_nv items[FIELDS];
      for (int i = 0; i < FIELDS; i++) items[i] = random_field(texts[i], sizeof *texts);
      if (turn % 100 == 99) nghttp2_hd_deflate_change_table_size(deflater, (size_t)rand() % (most + 1));
      if (!CHECK(pass(&d, deflater, items, FIELDS))) break;
    }
    nghttp2_hd_deflate_del(deflater);
    h2_decoder_free(&d);
  }
}

IT("keeps beside a field of its table what was found of it") {
  static const uint8_t literal[] = {0x40, 1, 'x', 1, 'y'}, again[] = {0x80 | 62}, method[] = {0x82};
  struct h2_decoder d = {0};
  struct h2_read_field field;
  struct h2_coded first = {.at = literal, .end = literal + sizeof literal};
  CHECK(h2_decoder_next(&d, &first, &field) == H2_READ_FIELD && field.found && !field.found->has_value);
  field.found->has_value = true;
  CHECK(h2_decoder_next(&d, &first, &field) == H2_READ_END);
  struct h2_coded second = {.at = again, .end = again + sizeof again};
  CHECK(h2_decoder_next(&d, &second, &field) == H2_READ_FIELD && field.found && field.found->has_value);
  CHECK_STR(field.name, "x");
  CHECK_STR(field.value, "y");
  struct h2_coded third = {.at = method, .end = method + sizeof method};
  CHECK(h2_decoder_next(&d, &third, &field) == H2_READ_FIELD && field.found);
  CHECK_STR(field.value, "GET");
  h2_decoder_free(&d);
}

/* Reads it as nghttp2 does: the same fields, and the same end. */
static bool agrees(struct h2_decoder *d, nghttp2_hd_inflater *inflater, const uint8_t *bytes, size_t count,
                   bool *is_fault) {
  const uint8_t *at = bytes, *stop = bytes + count;
  struct h2_coded block = {.at = bytes, .end = stop};
  for (;;) {
    struct h2_read_field field;
    nghttp2_nv nv;
    int flags = 0;
    do {
      ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, (size_t)(stop - at), 1);
      *is_fault = used < 0;
      if (used > 0) at += used;
    } while (!*is_fault && !(flags & (NGHTTP2_HD_INFLATE_FINAL | NGHTTP2_HD_INFLATE_EMIT)));
    enum h2_read result = h2_decoder_next(d, &block, &field);
    if (*is_fault) return result == H2_READ_FAULT;
    if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
      return result == H2_READ_END && nghttp2_hd_inflate_end_headers(inflater) == 0;
    if (result != H2_READ_FIELD || !is_field(&field, &nv)) return false;
  }
}

/* Of the kinds of octets that begin something, and others. */
static size_t random_block(uint8_t *bytes, size_t most) {
  static const uint8_t begins[] = {0x82, 0xbe, 0xbf, 0xff, 0x40, 0x41, 0x7f,
                                   0x00, 0x10, 0x0f, 0x20, 0x3f, 0x3e, 0x80};
  static const uint8_t lengths[] = {0x00, 0x01, 0x05, 0x81, 0x82, 0x85, 0x7f, 0xff, 0x1f};
  size_t count = 1 + (size_t)rand() % most;
  for (size_t i = 0; i < count; i++) {
    int kind = rand() % 4;
    bytes[i] = kind == 0   ? begins[(size_t)rand() % sizeof begins]
               : kind == 1 ? lengths[(size_t)rand() % sizeof lengths]
                           : (uint8_t)rand();
  }
  return count;
}

IT("finds a fault where nghttp2 does, in blocks of any octets") {
  srand(1);
  unsigned faults = 0, fine = 0;
  for (int connection = 0; connection < 20000; connection++) {
    struct h2_decoder d = {0};
    nghttp2_hd_inflater *inflater;
    CHECK(nghttp2_hd_inflate_new(&inflater) == 0);
    bool is_fault = false;
    for (int i = 0; i < 8 && !is_fault; i++) {
      uint8_t bytes[24];
      size_t count = random_block(bytes, connection % 2 ? 4 : sizeof bytes);
      if (!CHECK(agrees(&d, inflater, bytes, count, &is_fault))) is_fault = true;
      faults += is_fault;
      fine += !is_fault;
    }
    nghttp2_hd_inflate_del(inflater);
    h2_decoder_free(&d);
  }
  CHECK(faults > 1000 && fine > 1000);
}

static enum h2_read read_all(const char *bytes, size_t count) {
  struct h2_decoder d = {0};
  struct h2_read_field field;
  uint8_t *exact = memcpy(malloc(count), bytes, count);
  struct h2_coded block = {.at = exact, .end = exact + count};
  enum h2_read result;
  while ((result = h2_decoder_next(&d, &block, &field)) == H2_READ_FIELD) continue;
  h2_decoder_free(&d);
  free(exact);
  return result;
}
#define READ(text) read_all(text, sizeof(text) - 1)

IT("refuses what RFC 7541 has no meaning for (sections 2.3.3, 4.2, 5.1, 5.2, 6.1)") {
  CHECK(READ("\x82\x20") == H2_READ_FAULT);           /* a size update behind a field */
  CHECK(READ("\x3f\xe2\x1f") == H2_READ_FAULT);       /* larger than 4096 */
  CHECK(READ("\x3f\xe1\x1f\x20\x82") == H2_READ_END); /* as large, and then 0 */
  CHECK(READ("\x80") == H2_READ_FAULT &&
        READ("\xbe") == H2_READ_FAULT);                             /* index 0, and one that is not there */
  CHECK(READ("\x40\x01x") == H2_READ_FAULT);                        /* no value */
  CHECK(READ("\x40\x7f\xff\xff\xff\xff\xff\x01") == H2_READ_FAULT); /* too large a number */
  CHECK(READ("\x00\x01x\x84\xff\xff\xff\xff") == H2_READ_FAULT);    /* the end's code */
  CHECK(READ("\x00\x01x\x82\x1f\xff") == H2_READ_FAULT);            /* eight bits and more of padding */
  CHECK(READ("\x00\x01x\x81\x18") == H2_READ_FAULT);                /* padding that is none */
  CHECK(READ("\x00\x01x\x81\x1f") == H2_READ_END);                  /* "a" */
}

/* The fields of a block as "name: value", one a line. */
static const char *text_of(struct h2_decoder *d, const char *bytes, size_t count) {
  static char text[512];
  struct h2_read_field field;
  uint8_t *exact = memcpy(malloc(count), bytes, count);
  struct h2_coded block = {.at = exact, .end = exact + count};
  enum h2_read result;
  text[0] = 0;
  while ((result = h2_decoder_next(d, &block, &field)) == H2_READ_FIELD) {
    size_t length = strlen(text);
    snprintf(text + length, sizeof text - length, "%.*s: %.*s\n", STR_ARG(field.name), STR_ARG(field.value));
  }
  free(exact);
  return result == H2_READ_END ? text : "a fault";
}
#define READS(decoder, bytes, expected)                                                                      \
  CHECK_STR(str_of(text_of(decoder, bytes, sizeof(bytes) - 1)), expected)

IT("reads the requests of RFC 7541, appendix C.3 and C.4") {
  struct h2_decoder plain = {0}, coded = {0};
  READS(&plain, "\x82\x86\x84\x41\x0fwww.example.com",
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n");
  READS(&plain, "\x82\x86\x84\xbe\x58\x08no-cache",
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n");
  READS(&coded, "\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n");
  READS(&coded,
        "\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
        "a fault"); /* there is one entry so far */
  h2_decoder_free(&plain);
  h2_decoder_free(&coded);
}

IT("forgets the oldest entries for a new one (RFC 7541, section 4.4 and appendix C.5)") {
  struct h2_decoder d = {0};
  READS(&d,
        "\x3f\xe1\x01\x48\x03"
        "302\x58\x07private\x61\x1dMon, 21 Oct 2013 20:13:21 GMT\x6e\x17https://www.example.com",
        ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
        "location: https://www.example.com\n");
  CHECK(d.count == 4 && d.bytes == 222);
  READS(&d,
        "\x48\x03"
        "307\xc1\xc0\xbf",
        ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
        "location: https://www.example.com\n");
  CHECK(d.count == 4 && d.bytes == 222);
  READS(&d, "\x20\x82", ":method: GET\n"); /* a smaller table (section 4.3) */
  CHECK(d.count == 0 && d.bytes == 0);
  h2_decoder_free(&d);
}

IT("gives a new entry the name of one that it pushes out, and empties itself of what is too large (section "
   "4.4)") {
  struct h2_decoder d = {0};
  READS(&d,
        "\x3f\x21\x40\x04name\x04"
        "1234",
        "name: 1234\n"); /* of 64 bytes, of which 40 are taken */
  READS(&d,
        "\x7e\x06"
        "567890",
        "name: 567890\n");
  CHECK(d.count == 1 && d.bytes == 42);
  READS(&d,
        "\x7e\x1d"
        "12345678901234567890123456789",
        "name: 12345678901234567890123456789\n");
  CHECK(d.count == 0 && d.bytes == 0);
  READS(&d, "\xbe", "a fault");
  h2_decoder_free(&d);
}

IT("reads the code of each octet") {
  for (unsigned i = 0; i < 256; i++) {
    struct h2_decoder d = {0};
    nghttp2_hd_deflater *deflater;
    char text[64];
    memset(text, 'e', sizeof text); /* of a short code, so that nghttp2 uses it */
    text[20] = (char)i;
    nghttp2_nv item = pair("etag", 4, text, sizeof text, false);
    CHECK(nghttp2_hd_deflate_new(&deflater, 4096) == 0);
    CHECK(pass(&d, deflater, &item, 1));
    nghttp2_hd_deflate_del(deflater);
    h2_decoder_free(&d);
  }
}

/* What comes of one literal of a value that is Huffman coded or not, under the name of an index. */
static bool gives(struct h2_decoder *d, const char *coded, size_t bytes, const char *value,
                  struct h2_found **found) {
  struct h2_read_field field;
  uint8_t *exact = memcpy(malloc(bytes), coded, bytes);
  struct h2_coded block = {.at = exact, .end = exact + bytes};
  bool is_read = h2_decoder_next(d, &block, &field) == H2_READ_FIELD && str_equal(field.value, str_of(value));
  *found = field.found;
  is_read = is_read && h2_decoder_next(d, &block, &field) == H2_READ_END;
  free(exact);
  return is_read;
}

IT("remembers what a server repeats, and nothing that is never to be indexed") {
  static const char date[] = "\x0f\x12\x81\x1f",
                    other[] = "\x0f\x12\x01"
                              "b",
                    never[] = "\x1f\x12\x81\x1f";
  static const char kept[] = "\x61\x81\x1f";
  struct h2_decoder d = {0};
  struct h2_found *found;
  h2_decoder_keep_repeats(&d);
  CHECK(gives(&d, never, 4, "a", &found) && !found->has_value);
  found->has_value = true;
  CHECK(gives(&d, date, 4, "a", &found) && !found->has_value);
  found->has_value = true;
  CHECK(gives(&d, date, 4, "a", &found) && found->has_value && found->has_name);
  CHECK(gives(&d, other, 4, "b", &found) && !found->has_value);
  CHECK(gives(&d, date, 4, "a", &found) && !found->has_value);
  found->has_value = true;
  CHECK(gives(&d, kept, 3, "a", &found) && found->has_value);
  CHECK(gives(&d, "\xbe", 1, "a", &found) && found->has_value); /* from the table */
  h2_decoder_free(&d);
}

IT("reads repeated and changing values of any length as they are") {
  srand(33);
  struct h2_decoder d = {0};
  nghttp2_hd_deflater *deflater;
  CHECK(nghttp2_hd_deflate_new(&deflater, 0) == 0);
  h2_decoder_keep_repeats(&d);
  for (int i = 0; i < 5000; i++) {
    static const char *const names[] = {"date", "content-length", "etag", ":path"};
    nghttp2_nv items[4];
    char texts[4][80];
    for (int n = 0; n < 4; n++) {
      size_t length = rand() % 4 ? 20 : (size_t)rand() % sizeof *texts;
      memset(texts[n], 'a' + rand() % 2, length);
      items[n] = pair(names[n], strlen(names[n]), texts[n], length, false);
    }
    if (!CHECK(pass(&d, deflater, items, 4))) break;
  }
  nghttp2_hd_deflate_del(deflater);
  h2_decoder_free(&d);
}
