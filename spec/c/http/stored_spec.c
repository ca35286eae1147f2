// SPDX-License-Identifier: Apache-2.0
// Units for http/stored: rows read back as they were written.
#include "http/stored.h"

#include <stdlib.h>

#include "heads.h"
#include "unit.h"

static struct response response_of(const char *lines) {
  struct response response = {.status = 203, .reason = STR("Fine")};
  response.headers = heads_fields(lines);
  return response;
}

IT("keeps status, reason, facts and every field in its order") {
  struct response written = response_of("Date: x\nSet-Thing: a\nSet-Thing: b\nEmpty:"), read;
  struct stored_facts facts = {.since_ms = 7, .number = 2, .tag_count = 1, .tags = {4}}, back;
  facts.freshness.lifetime_s = 60;
  struct str row = stored_write(&written, &facts);
  CHECK(row.ptr && !stored_is_vary(row));
  CHECK(stored_read(row, &read, &back, heads_arena()));
  CHECK(read.status == 203 && str_equal(read.reason, STR("Fine")) && read.headers.count == 4);
  CHECK(back.since_ms == 7 && back.number == 2 && back.tags[0] == 4);
  CHECK(back.freshness.lifetime_s == 60);
  for (unsigned i = 0; i < 4; i++) {
    CHECK(str_equal(read.headers.items[i].name, written.headers.items[i].name));
    CHECK(str_equal(read.headers.items[i].value, written.headers.items[i].value));
  }
  CHECK(headers_find_id(&read.headers, FIELD_DATE) != NULL);
  free((char *)row.ptr);
  heads_free();
}

IT("does not read a row that is cut, wherever that is") {
  struct response written = response_of("Date: x\nETag: \"a\""), read;
  struct stored_facts facts = {.tag_count = 2}, back;
  struct str row = stored_write(&written, &facts);
  for (size_t length = 0; length < row.len; length++)
    CHECK(!stored_read((struct str){row.ptr, length}, &read, &back, heads_arena()));
  free((char *)row.ptr);
  heads_free();
}

IT("keeps what a response varies on, and tells the two kinds of rows apart") {
  struct stored_vary written = {.number = 5, .count = 2, .variants = {7, 8}}, read;
  struct response response;
  struct stored_facts facts;
  written.vary.count = 2;
  written.vary.names[0] = STR("Accept");
  written.vary.names[1] = STR("Cookie");
  struct str row = stored_write_vary(&written);
  CHECK(stored_is_vary(row) && stored_read_vary(row, &read));
  CHECK(read.count == 2 && read.variants[1] == 8 && read.number == 5);
  CHECK(vary_is_same(&read.vary, &written.vary));
  CHECK(!stored_read(row, &response, &facts, heads_arena()));
  for (size_t length = 0; length < row.len; length++)
    CHECK(!stored_read_vary((struct str){row.ptr, length}, &read));
  free((char *)row.ptr);
  heads_free();
}
