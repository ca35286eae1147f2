// SPDX-License-Identifier: Apache-2.0
// h2_encoder: nghttp2's decoder, which others wrote, is the judge of what it writes.
#include "http/h2_encoder.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h2_static.h"
#include "unit.h"

/* An encoder, and a decoder at its other end. */
struct line {
  struct h2_encoder encoder;
  nghttp2_hd_inflater *inflater;
  size_t bytes;  /* of the last block */
  unsigned seen; /* fields of the last block that came out as they were put in */
  bool is_never; /* all of them as never to be indexed */
};

static void begin(struct line *line) {
  *line = (struct line){0};
  CHECK(nghttp2_hd_inflate_new(&line->inflater) == 0);
}

static void end(struct line *line) {
  nghttp2_hd_inflate_del(line->inflater);
  h2_encoder_free(&line->encoder);
}

static bool is_same(const nghttp2_nv *nv, const struct h2_field *field) {
  return str_equal((struct str){(char *)nv->name, nv->namelen}, field->name) &&
         str_equal((struct str){(char *)nv->value, nv->valuelen}, field->value);
}

/* All came out as they went in. */
static bool pass(struct line *line, struct h2_field *items, unsigned count) {
  struct h2_fields fields = {items, count};
  char *block = malloc(h2_encoder_most(&fields) + 1);
  line->bytes = (size_t)(h2_encoder_put(&line->encoder, &fields, block) - block);
  CHECK(line->bytes <= h2_encoder_most(&fields));
  const uint8_t *at = (uint8_t *)block, *stop = at + line->bytes;
  bool is_fine = true, is_final = false;
  line->seen = 0;
  line->is_never = true;
  while (is_fine && !is_final) {
    nghttp2_nv nv;
    int flags = 0;
    ssize_t used = nghttp2_hd_inflate_hd2(line->inflater, &nv, &flags, at, (size_t)(stop - at), 1);
    is_fine = used >= 0;
    if (is_fine) at += used;
    is_final = flags & NGHTTP2_HD_INFLATE_FINAL;
    if (!is_fine || !(flags & NGHTTP2_HD_INFLATE_EMIT)) continue;
    is_fine = line->seen < count && is_same(&nv, &items[line->seen]);
    line->seen++;
    line->is_never = line->is_never && (nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
  }
  nghttp2_hd_inflate_end_headers(line->inflater);
  free(block);
  return is_fine && line->seen == count;
}

static struct h2_field field(const char *name, const char *value) {
  return (struct h2_field){str_of(name), str_of(value), false};
}

IT("writes what came before in one octet, from its third time on") {
  struct line line;
  struct h2_field items[] = {field("x-served-by", "bench"), field("server", "perilune/1")};
  begin(&line);
  CHECK(pass(&line, items, 2) && line.bytes > 20);
  CHECK(pass(&line, items, 2) && line.bytes > 20);
  for (int i = 0; i < 1000; i++) CHECK(pass(&line, items, 2) && line.bytes == 2);
  end(&line);
}

IT("writes what the static table has in one octet at once") {
  struct line line;
  begin(&line);
  for (unsigned i = 1; i <= H2_STATIC_COUNT; i++) {
    struct h2_field item = {h2_static[i].name, h2_static[i].value, false};
    CHECK(pass(&line, &item, 1) && (!item.value.len || line.bytes == 1));
  }
  end(&line);
}

IT("knows the first entry of each name of the static table") {
  for (unsigned i = 1; i <= H2_STATIC_COUNT; i++) {
    unsigned first = h2_static_name(h2_static[i].name);
    CHECK(first && first <= i && str_equal(h2_static[first].name, h2_static[i].name));
    CHECK(first == 1 || !str_equal(h2_static[first - 1].name, h2_static[i].name));
  }
  CHECK(h2_static_name(STR("")) == 0 && h2_static_name(STR("x-other")) == 0 &&
        h2_static_name(STR("etaq")) == 0);
}

IT("puts into no table what gives access, and no cookies") {
  struct line line;
  struct h2_field secret = {STR("authorization"), STR("Basic eHh4eHh4eHh4eA=="), true};
  struct h2_field cookies[] = {field("cookie", "a=1"), field("set-cookie", "a=1; Path=/")};
  begin(&line);
  for (int i = 0; i < 5; i++) {
    CHECK(pass(&line, &secret, 1) && line.bytes > secret.value.len && line.is_never);
    CHECK(pass(&line, cookies, 2) && line.bytes > 14 && !line.is_never);
  }
  CHECK(line.encoder.count == 0);
  end(&line);
}

IT("puts into the table what comes twice only") {
  struct line line;
  char value[32];
  begin(&line);
  for (int i = 0; i < 1000; i++) {
    snprintf(value, sizeof value, "%08d-%d", i * 7919, i);
    struct h2_field item = field("x-request-id", value);
    CHECK(pass(&line, &item, 1));
  }
  CHECK(line.encoder.inserted == 0);
  end(&line);
}

/* Names and values of a few kinds that repeat more or less often, some of them long. */
static struct h2_field random_field(char *text, size_t room) {
  static const char *const names[] = {"x-a",  "etag", "content-type", "x-some-longer-name", ":path",
                                      "date", "a"};
  size_t most = rand() % 10 ? 40 : room, length = (size_t)rand() % most;
  memset(text, 'a' + rand() % 3, length);
  if (length && rand() % 2) text[length / 2] = (char)('0' + rand() % 10);
  return (struct h2_field){str_of(names[rand() % 7]), {text, length}, rand() % 20 == 0};
}

IT("agrees with the other side about any row of fields, whatever size the table has") {
  static char texts[8][1024];
  srand(7541);
  for (uint32_t most = 0; most <= 8192; most += most < 256 ? 32 : 1024) {
    struct line line;
    begin(&line);
    nghttp2_hd_inflate_change_table_size(line.inflater, most);
    h2_encoder_limit(&line.encoder, most);
    /* the size update that the caller owes */
    nghttp2_nv nv;
    int flags = 0;
    uint8_t update[8] = {0x20 | 31}, *at = update + 1;
    uint32_t rest = most > 31 ? most - 31 : 0;
    if (most < 31) update[0] = (uint8_t)(0x20 | most);
    for (; most >= 31 && rest >= 0x80; rest >>= 7) *at++ = (uint8_t)(0x80 | (rest & 0x7f));
    if (most >= 31) *at++ = (uint8_t)rest;
    CHECK(nghttp2_hd_inflate_hd2(line.inflater, &nv, &flags, update, (size_t)(at - update), 0) >= 0);
    for (int block = 0; block < 2000; block++) {
      struct h2_field items[8];
      for (int i = 0; i < 8; i++) items[i] = random_field(texts[i], sizeof texts[i]);
      if (!CHECK(pass(&line, items, 8))) break;
    }
    CHECK(line.encoder.bytes <= most && line.encoder.bytes <= H2_ENCODER_BYTES);
    end(&line);
  }
}

IT("holds what no table has room for, and forgets what a smaller table loses") {
  struct line line;
  char large[8192];
  memset(large, 'x', sizeof large);
  struct h2_field items[] = {{STR("x-large"), {large, sizeof large}, false}, field("x-small", "1")};
  begin(&line);
  for (int i = 0; i < 4; i++) CHECK(pass(&line, items, 2));
  CHECK(line.encoder.count == 1);
  h2_encoder_limit(&line.encoder, 0);
  CHECK(line.encoder.count == 0);
  h2_encoder_limit(&line.encoder, 4096);
  end(&line);
}
