// SPDX-License-Identifier: Apache-2.0
// Units for http/headers.
#include "http/headers.h"

#include "heads.h"
#include "unit.h"

static struct headers some_headers(void) {
  struct headers h;
  headers_init(&h, heads_arena());
  headers_add(&h, STR("Host"), STR("a"));
  headers_add(&h, STR("X-A"), STR("1"));
  headers_add(&h, STR("x-forwarded-for"), STR("2"));
  headers_add(&h, STR("x-a"), STR("3"));
  headers_add(&h, STR("X-B"), STR("4"));
  return h;
}

static void check_values(const struct headers *h, const char *wanted) {
  char values[64] = "";
  for (unsigned i = 0; i < h->count; i++) strncat(values, h->items[i].value.ptr, h->items[i].value.len);
  CHECK_STR(str_of(values), wanted);
}

IT("numbers each field of the table, in any case, and spells it as usual") {
  static const char *const lower[] = {"",
#define X(id, name) name,
                                      FIELD_TABLE(X)
#undef X
  };
  for (enum field_id id = 1; id < FIELD_COUNT; id++) {
    struct str spelling = field_name(id);
    CHECK(field_id(spelling) == id);
    CHECK(field_id(str_of(lower[id])) == id);
    CHECK(str_equal_nocase(spelling, str_of(lower[id])));
    char *upper = arena_cstring(heads_arena(), spelling);
    for (char *at = upper; *at; at++)
      if (*at >= 'a' && *at <= 'z') *at = (char)(*at - 'a' + 'A');
    CHECK(field_id(str_of(upper)) == id);
    upper[strlen(upper) - 1]++;
    CHECK(field_id(str_of(upper)) == FIELD_OTHER);
  }
  heads_free();
}

IT("gives no number to other names, empty and long ones included") {
  CHECK(field_id(STR("")) == FIELD_OTHER);
  CHECK(field_id(STR("Hos")) == FIELD_OTHER);
  CHECK(field_id(STR("Hosts")) == FIELD_OTHER);
  CHECK(field_id(STR("Content_Length")) == FIELD_OTHER);
  CHECK(field_id(STR("Content\rLength")) == FIELD_OTHER);
  CHECK(field_id(STR("Proxy-Authentication-Information-And-More")) == FIELD_OTHER);
}

IT("accepts exactly tokens as names (RFC 9110 section 5.6.2)") {
  const char *others = "\"(),/:;<=>?@[\\]{} \t";
  for (int c = 0; c < 256; c++) {
    char name[1] = {(char)c};
    bool token = c > 0x20 && c < 0x7f && !strchr(others, c);
    CHECK(field_name_is_valid((struct str){name, 1}) == token);
  }
  CHECK(!field_name_is_valid(STR("")));
}

IT("accepts values without control characters but tab, also obs-text (RFC 9110 section 5.5)") {
  for (int c = 0; c < 256; c++) {
    char value[] = "0123456789abcdef";
    value[c % 16] = (char)c;
    bool valid = c == '\t' || (c >= 0x20 && c != 0x7f);
    CHECK(field_value_is_valid((struct str){value, 16}) == valid);
  }
  CHECK(field_value_is_valid(STR("")));
  CHECK(field_value_is_valid(STR("\t\t\t\t\t\t\t\t\t\t")));
}

IT("finds a field by name without regard to case, or by number") {
  struct headers h = some_headers();
  CHECK_STR(headers_find(&h, STR("x-A"))->value, "1");
  CHECK_STR(headers_find(&h, STR("HOST"))->value, "a");
  CHECK_STR(headers_find_id(&h, FIELD_X_FORWARDED_FOR)->value, "2");
  CHECK(!headers_find(&h, STR("X-C")));
  CHECK(!headers_find_id(&h, FIELD_COOKIE));
  heads_free();
}

IT("walks and counts repeated fields in order") {
  struct headers h = some_headers();
  unsigned at = 0;
  CHECK_STR(headers_next(&h, STR("X-A"), &at)->value, "1");
  CHECK_STR(headers_next(&h, STR("X-A"), &at)->value, "3");
  CHECK(!headers_next(&h, STR("X-A"), &at));
  headers_add_id(&h, FIELD_HOST, STR("b"));
  CHECK(headers_count_id(&h, FIELD_HOST) == 2);
  CHECK(headers_count_id(&h, FIELD_VIA) == 0);
  heads_free();
}

static void set(struct headers *h, struct str name, struct str value) {
  headers_set_field(h, (struct field){.name = name, .value = value, .id = field_id(name)});
}

IT("replaces the first of a name in its place and removes the others") {
  struct headers h = some_headers();
  set(&h, STR("X-a"), STR("9"));
  check_values(&h, "a924");
  CHECK_STR(h.items[1].name, "X-a");
  headers_set_id(&h, FIELD_HOST, STR("b"));
  check_values(&h, "b924");
  set(&h, STR("X-New"), STR("n"));
  headers_set_id(&h, FIELD_VIA, STR("v"));
  check_values(&h, "b924nv");
  heads_free();
}

IT("removes all of a name, keeps the order, and says how many there were") {
  struct headers h = some_headers();
  CHECK(headers_remove(&h, STR("X-A")) == 2);
  CHECK(headers_remove(&h, STR("X-A")) == 0);
  CHECK(headers_remove_id(&h, FIELD_HOST) == 1);
  check_values(&h, "24");
  heads_free();
}

IT("keeps other numberless fields when one of them is removed") {
  struct headers h = some_headers();
  CHECK(headers_remove(&h, STR("X-B")) == 1);
  check_values(&h, "a123");
  heads_free();
}

IT("grows beyond its first room") {
  struct headers h;
  headers_init(&h, heads_arena());
  for (int i = 0; i < 100; i++) headers_add(&h, STR("X"), arena_printf(heads_arena(), "%d", i));
  CHECK(h.count == 100);
  CHECK_STR(h.items[99].value, "99");
  CHECK_STR(h.items[0].value, "0");
  heads_free();
}

IT("copies so that neither sees the other's changes") {
  struct headers from = some_headers(), to;
  headers_copy(&to, &from, heads_arena());
  set(&to, STR("X-A"), STR("9"));
  headers_remove(&from, STR("X-B"));
  check_values(&from, "a123");
  check_values(&to, "a924");
  struct headers empty, copy;
  headers_init(&empty, heads_arena());
  headers_copy(&copy, &empty, heads_arena());
  CHECK(copy.count == 0);
  headers_add(&copy, STR("X"), STR("1"));
  CHECK(copy.count == 1 && empty.count == 0);
  heads_free();
}
