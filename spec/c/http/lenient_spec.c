// SPDX-License-Identifier: Apache-2.0
// Units for http/lenient: what is mended of a head, and what stays as it is.
#include "http/lenient.h"

#include "heads.h"
#include "unit.h"

static bool mends(unsigned allowed, struct str head, const char *mended) {
  bool are_same = str_equal(lenient_mend(head, allowed, heads_arena()), str_of(mended));
  heads_free();
  return are_same;
}
#define MENDS(allowed, head, mended) mends(allowed, STR(head), mended)

IT("leaves a head alone where nothing is allowed that changes lines") {
  struct str head = STR("HTTP/1.1 200 OK\nX: a\n b\n\n");
  CHECK(lenient_mend(head, LENIENT_DEFAULT, heads_arena()).ptr == head.ptr);
  CHECK(lenient_mend(head, 0, heads_arena()).ptr == head.ptr);
}

IT("gives LF alone its CR where that is allowed, and no other line end") {
  CHECK(MENDS(LENIENT_BARE_LF, "S\nX: a\r\nY: b\n\n", "S\r\nX: a\r\nY: b\r\n\r\n"));
  CHECK(MENDS(LENIENT_BARE_LF, "S\r\nX: a\rb\r\r\n\r\n", "S\r\nX: a\rb\r\r\n\r\n"));
  CHECK(MENDS(LENIENT_BARE_LF, "S\nX: a\n b\n\n", "S\r\nX: a\r\n b\r\n\r\n"));
  CHECK(MENDS(LENIENT_BARE_LF, "", ""));
  CHECK(MENDS(LENIENT_BARE_LF, "\n", "\r\n"));
  CHECK(MENDS(LENIENT_BARE_LF, "S", "S"));
}

IT("makes folded fields one line where that is allowed (RFC 9112 section 5.2)") {
  CHECK(MENDS(LENIENT_OBS_FOLD, "S\r\nX: a\r\n\t b\r\n c\r\nY: d\r\n\r\n", "S\r\nX: a b c\r\nY: d\r\n\r\n"));
  CHECK(MENDS(LENIENT_OBS_FOLD, "S\r\n X: a\r\n\r\n", "S\r\n X: a\r\n\r\n"));
  CHECK(MENDS(LENIENT_OBS_FOLD, "S\r\nX: a\r\n \r\n\r\n", "S\r\nX: a\r\n \r\n\r\n"));
  CHECK(MENDS(LENIENT_OBS_FOLD, "S\r\nX: a\n b\r\n\r\n", "S\r\nX: a b\r\n\r\n"));
  CHECK(MENDS(LENIENT_OBS_FOLD | LENIENT_BARE_LF, "S\nX: a\n b\n\n", "S\r\nX: a b\r\n\r\n"));
}

IT("names each deviation, and has on from the start what is in no doubt") {
  CHECK(LENIENT_DEFAULT == (LENIENT_CHUNK_PADDING | LENIENT_ODD_STATUS | LENIENT_MANY_FIELDS));
  CHECK(lenient_status_most(LENIENT_DEFAULT) == 999);
  CHECK(lenient_status_most(0) == 599);
}
