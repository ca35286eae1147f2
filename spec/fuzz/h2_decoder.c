// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: header blocks of a hostile peer, for http/h2_decoder and nghttp2's decoder at once. The first byte says
// whether repeats are kept; then come blocks, each behind its length. Both read the same fields, leave the same table,
// and refuse the same block. What is kept beside fields changes nothing of what is found of them.
#include "http/h2_decoder.h"

#include <nghttp2/nghttp2.h>

#include "fuzz.h"

static const struct parser_limits limits = {.head_bytes = 65536, .target_bytes = 8192, .fields = 100};

/* Heads that are told what is known, and are not. */
struct pair_of_heads {
  struct h2_head with, without;
};

static void take(struct pair_of_heads *heads, const struct h2_read_field *field) {
  struct h2_found found = {0};
  h2_head_take_found(&heads->with, field->name, field->value, field->is_sensitive,
                     field->found ? field->found : &found);
  h2_head_take(&heads->without, field->name, field->value, field->is_sensitive);
  REQUIRE(heads->with.error == heads->without.error && heads->with.why == heads->without.why);
}

/* The next field, as nghttp2 sees it; H2_READ_END behind the last. */
static enum h2_read judge(nghttp2_hd_inflater *inflater, struct str *left, nghttp2_nv *nv) {
  for (;;) {
    int flags = 0;
    ssize_t used = nghttp2_hd_inflate_hd2(inflater, nv, &flags, (const uint8_t *)left->ptr, left->len, 1);
    if (used < 0) return H2_READ_FAULT;
    *left = str_from(*left, (size_t)used);
    if (flags & NGHTTP2_HD_INFLATE_EMIT) return H2_READ_FIELD;
    if (flags & NGHTTP2_HD_INFLATE_FINAL) return H2_READ_END;
  }
}

static void require_same_field(const struct h2_read_field *field, const nghttp2_nv *nv) {
  REQUIRE(str_equal(field->name, (struct str){(char *)nv->name, nv->namelen}));
  REQUIRE(str_equal(field->value, (struct str){(char *)nv->value, nv->valuelen}));
  REQUIRE(!field->is_sensitive == !(nv->flags & NGHTTP2_NV_FLAG_NO_INDEX));
}

/* False: both have refused it. */
static bool read_block(struct h2_decoder *d, nghttp2_hd_inflater *inflater, struct str text) {
  struct h2_coded block = {.at = (const uint8_t *)text.ptr, .end = (const uint8_t *)text.ptr + text.len};
  struct arena arena = {0};
  struct pair_of_heads heads;
  struct h2_read_field field;
  nghttp2_nv nv;
  enum h2_read result;
  h2_head_begin(&heads.with, H2_BLOCK_REQUEST, &limits, &arena);
  h2_head_begin(&heads.without, H2_BLOCK_REQUEST, &limits, &arena);
  do {
    enum h2_read expected = judge(inflater, &text, &nv);
    result = h2_decoder_next(d, &block, &field);
    REQUIRE(result == expected);
    if (result != H2_READ_FIELD) continue;
    require_same_field(&field, &nv);
    take(&heads, &field);
  } while (result == H2_READ_FIELD);
  fuzz_require_same(&heads.with.headers, &heads.without.headers);
  nghttp2_hd_inflate_end_headers(inflater);
  arena_free(&arena);
  return result == H2_READ_END;
}

/* The table is the same if each of its entries reads the same by its index. */
static void require_same_table(struct h2_decoder *d, nghttp2_hd_inflater *inflater) {
  enum { STATIC = 61, ONE_BYTE = 0x7f };
  size_t entries = nghttp2_hd_inflate_get_num_table_entries(inflater) - STATIC;
  REQUIRE(d->count == entries && d->bytes == nghttp2_hd_inflate_get_dynamic_table_size(inflater));
  for (size_t i = 1; i <= entries && STATIC + i < ONE_BYTE; i++) {
    const nghttp2_nv *nv = nghttp2_hd_inflate_get_table_entry(inflater, STATIC + i);
    const uint8_t octet = (uint8_t)(0x80 | (STATIC + i));
    struct h2_coded block = {.at = &octet, .end = &octet + 1};
    struct h2_read_field field;
    REQUIRE(nv && h2_decoder_next(d, &block, &field) == H2_READ_FIELD);
    REQUIRE(str_equal(field.name, (struct str){(char *)nv->name, nv->namelen}));
    REQUIRE(str_equal(field.value, (struct str){(char *)nv->value, nv->valuelen}));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct h2_decoder d = {0};
  nghttp2_hd_inflater *inflater;
  if (!size) return 0;
  REQUIRE(nghttp2_hd_inflate_new(&inflater) == 0);
  if (data[0] & 1) h2_decoder_keep_repeats(&d);
  bool is_fine = true;
  for (size_t at = 1; at < size && is_fine;) {
    size_t most = size - at - 1, length = data[at] < most ? data[at] : most;
    struct str text = fuzz_copy(data + at + 1, length);
    is_fine = read_block(&d, inflater, text);
    free((char *)text.ptr);
    at += 1 + length;
    if (is_fine) require_same_table(&d, inflater);
  }
  nghttp2_hd_inflate_del(inflater);
  h2_decoder_free(&d);
  return 0;
}
