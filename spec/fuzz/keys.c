// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: net/tls_key, of PEM and of the parts of a JWK. The first byte says which: a kind of key for parts, which
// are in halves, or PEM. A key that is taken has parts that make the same key again, and PEM that reads as the same.
#include "net/tls_key.h"

#include "base/buf.h"
#include "fuzz.h"

static void require_same_parts(const struct tls_key *a, const struct tls_key *b) {
  struct buf rooms[2] = {{0}, {0}};
  struct key_parts one, other;
  REQUIRE(tls_key_kind(a) == tls_key_kind(b));
  tls_key_parts(a, &rooms[0], &one);
  tls_key_parts(b, &rooms[1], &other);
  REQUIRE(str_equal(one.n, other.n) && str_equal(one.e, other.e));
  REQUIRE(str_equal(one.x, other.x) && str_equal(one.y, other.y));
  buf_release(&rooms[0]);
  buf_release(&rooms[1]);
}

static void require_parts(const struct tls_key *key) {
  const char *why = NULL;
  struct buf room = {0};
  struct key_parts parts;
  tls_key_parts(key, &room, &parts);
  struct tls_key *again = tls_key_of_parts(tls_key_kind(key), &parts, &why);
  bool is_odd =
      !again && tls_key_kind(key) == KEY_RSA; /* PEM may hold a modulus or exponent that is no key's */
  REQUIRE(again || is_odd);
  if (again) require_same_parts(key, again);
  tls_key_free(again);
  buf_release(&room);
}

static void require_text(const struct tls_key *key, bool is_private) {
  struct buf pem = {0};
  char *why = NULL;
  REQUIRE(tls_key_write(key, is_private, &pem));
  struct tls_key *again = tls_key_read(buf_str(&pem), &why);
  REQUIRE(again && tls_key_is_private(again) == is_private);
  require_same_parts(key, again);
  tls_key_free(again);
  buf_release(&pem);
  free(why);
}

/* A stranger's key verifies nothing that it has not signed. */
static void require_no_trust(const struct tls_key *key) {
  for (int i = 0; i < KEY_ALGORITHMS; i++) {
    if (key_algorithm_kind((enum key_algorithm)i) != tls_key_kind(key)) continue;
    REQUIRE(!tls_key_verify(key, (enum key_algorithm)i, STR("text"), STR("")));
  }
}

static struct tls_key *of_halves(enum key_kind kind, struct str bytes) {
  size_t middle = kind == KEY_RSA && bytes.len > 3 ? bytes.len - 3 : bytes.len / 2;
  struct str first = {bytes.ptr, middle}, second = str_from(bytes, middle);
  const char *why = NULL;
  struct key_parts parts = {first, second, kind == KEY_ED25519 ? bytes : first, second};
  struct tls_key *key = tls_key_of_parts(kind, &parts, &why);
  REQUIRE(!key == !!why);
  return key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  bool has_parts = size && data[0] < KEY_KINDS;
  struct str bytes = fuzz_copy(size ? data + 1 : data, size ? size - 1 : 0);
  char *why = NULL;
  struct tls_key *key = has_parts ? of_halves((enum key_kind)data[0], bytes) : tls_key_read(bytes, &why);
  REQUIRE(key || has_parts || (why && *why));
  if (key) {
    require_parts(key);
    require_text(key, false);
    if (tls_key_is_private(key)) require_text(key, true);
    require_no_trust(key);
  }
  tls_key_free(key);
  free(why);
  free((char *)bytes.ptr);
  return 0;
}
