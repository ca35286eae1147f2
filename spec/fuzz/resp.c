// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: replies of Redis. Whole, byte by byte, and with what was looked at thrown away, a scan comes to the same
// verdict at the same place; nothing is read beyond the bytes; and what it takes for whole is made of tokens that end
// where it says.
#include "net/resp.h"

#include "fuzz.h"

struct verdict {
  enum resp_result result;
  size_t end;
  bool is_push;
};

static struct verdict at_once(struct str bytes) {
  struct resp_scan s = {0};
  struct verdict v = {resp_scan(&s, bytes.ptr, bytes.len), s.at, s.is_push};
  REQUIRE(s.at <= bytes.len && s.depth <= RESP_DEPTH);
  return v;
}

/* Each step gives one more byte; where `forgets`, the scan gets a copy of what it has not looked at yet. */
static struct verdict in_bytes(struct str bytes, bool forgets) {
  struct resp_scan s = {0};
  struct verdict v = {RESP_MORE, 0, false};
  size_t gone = 0;
  for (size_t count = 0; count <= bytes.len && v.result == RESP_MORE; count++) {
    struct str piece = fuzz_copy(bytes.ptr + gone, count - gone);
    v.result = resp_scan(&s, piece.ptr, piece.len);
    free((char *)piece.ptr);
    v.end = gone + s.at;
    if (!forgets) continue;
    gone += s.at;
    resp_scan_forget(&s, s.at);
  }
  v.is_push = s.is_push;
  return v;
}

/* One value with all that belongs to it; its end. */
static size_t walk(struct str bytes, unsigned depth) {
  struct resp_token t;
  REQUIRE(depth <= RESP_DEPTH);
  REQUIRE(resp_token(bytes, &t) == RESP_WHOLE);
  REQUIRE(t.bytes <= bytes.len);
  REQUIRE(t.text.len == 0 || (t.text.ptr > bytes.ptr && t.text.ptr + t.text.len < bytes.ptr + t.bytes));
  size_t at = t.bytes;
  for (uint64_t i = 0; i < t.count && strchr("*~>%|", t.type); i++)
    at += walk(str_from(bytes, at), depth + 1);
  return t.type == '|' ? at + walk(str_from(bytes, at), depth) : at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 4096) return 0;
  struct str bytes = fuzz_copy(data, size);
  struct verdict whole = at_once(bytes), slow = in_bytes(bytes, false), forgetful = in_bytes(bytes, true);
  REQUIRE(whole.result == slow.result && whole.result == forgetful.result);
  if (whole.result == RESP_WHOLE) {
    REQUIRE(whole.end == slow.end && whole.end == forgetful.end);
    REQUIRE(whole.is_push == slow.is_push && whole.is_push == forgetful.is_push);
    struct str reply = fuzz_copy(bytes.ptr, whole.end);
    REQUIRE(walk(reply, 0) == whole.end);
    free((char *)reply.ptr);
  }
  free((char *)bytes.ptr);
  return 0;
}
