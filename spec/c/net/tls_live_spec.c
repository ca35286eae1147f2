// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_live.
#include "net/tls_live.h"

#include <stdio.h>
#include <stdlib.h>

#include "certificates.h"
#include "unit.h"

static struct tls_identity *load(void) {
  const struct certificates *c = certificates();
  char *why = NULL;
  struct tls_identity *identity = tls_identity_load(
      &(struct tls_files){.certificate = str_of(c->certificate), .key = str_of(c->key)}, &why);
  CHECK(identity && !why);
  return identity;
}

static bool is_found(struct tls_live *live, const char *name, const struct tls_identity *wanted) {
  struct tls_identity *found = tls_live_find(live, str_of(name));
  tls_identity_release(found);
  return found == wanted;
}

IT("finds a name by itself, then by its wildcard, then by that of clients without a name") {
  struct tls_live *live = tls_live_get(STR("units"));
  struct tls_identity *own = load(), *wild = load(), *any = load();
  CHECK(is_found(live, "a.example", NULL));
  CHECK(tls_live_set(live, STR("*.example"), wild) && tls_live_set(live, STR("a.example"), own));
  CHECK(is_found(live, "a.example", own) && is_found(live, "b.example", wild));
  CHECK(is_found(live, "c.b.example", NULL) && is_found(live, "example", NULL));
  CHECK(tls_live_set(live, STR(""), any) && is_found(live, "", any));
  CHECK(tls_live_set(live, STR("a.example"), any) && is_found(live, "a.example", any));
  CHECK(tls_live_set(live, STR("a.example"), NULL) && is_found(live, "a.example", wild));
  tls_identity_release(own);
  tls_identity_release(wild);
  tls_identity_release(any);
  tls_live_release(live);
}

IT("is the same store for all who ask by its name, and is gone with the last of them") {
  struct tls_live *live = tls_live_get(STR("shared")), *same = tls_live_get(STR("shared"));
  struct tls_live *other = tls_live_get(STR("another"));
  struct tls_identity *identity = load();
  CHECK(live == same && live != other);
  CHECK(tls_live_set(live, STR("a.example"), identity));
  tls_live_release(live);
  CHECK(is_found(same, "a.example", identity) && is_found(other, "a.example", NULL));
  tls_live_release(same);
  live = tls_live_get(STR("shared"));
  CHECK(is_found(live, "a.example", NULL));
  tls_live_release(live);
  tls_live_release(other);
  tls_identity_release(identity);
}

IT("has no more names than it may have, and room again once one is taken away") {
  struct tls_live *live = tls_live_get(STR("full"));
  struct tls_identity *identity = load();
  char name[32];
  bool fine = true;
  for (int i = 0; i < TLS_LIVE_MOST; i++) {
    snprintf(name, sizeof name, "n%d.example", i);
    fine = fine && tls_live_set(live, str_of(name), identity);
  }
  CHECK(fine && !tls_live_set(live, STR("more.example"), identity));
  CHECK(tls_live_set(live, STR("n5.example"), identity));
  CHECK(tls_live_set(live, STR("n6.example"), NULL) && tls_live_set(live, STR("more.example"), identity));
  tls_live_release(live);
  tls_identity_release(identity);
}
