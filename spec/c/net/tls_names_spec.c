// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_names.
#include "net/tls_names.h"

#include "base/arena.h"
#include "net/addr.h"
#include "unit.h"

static void check(const char *address, struct tls_names said, const char *sni, const char *verify) {
  struct arena arena;
  struct addr addr;
  const char *why = NULL;
  arena_init(&arena);
  if (CHECK(addr_parse(str_of(address), &addr, &why))) {
    struct tls_names names = tls_names(said, &addr, &arena);
    CHECK_STR(names.sni, sni);
    CHECK_STR(names.verify, verify);
  }
  arena_free(&arena);
}

static const struct tls_names nothing;

IT("sends and verifies the host of the address where nothing else is said") {
  check("example.com:443", nothing, "example.com", "example.com");
}

IT("verifies an IP address, but sends none") {
  check("127.0.0.1:443", nothing, "", "127.0.0.1");
  check("[::1]:443", nothing, "", "::1");
}

IT("has no name for a unix socket") {
  check("unix:/tmp/x", nothing, "", "");
  check("unix:/tmp/x", (struct tls_names){.sni = STR_INIT("a.test")}, "a.test", "a.test");
}

IT("verifies the SNI that was said, unless another name was") {
  check("example.com:443", (struct tls_names){.sni = STR_INIT("a.test")}, "a.test", "a.test");
  check("127.0.0.1:443", (struct tls_names){STR_INIT("a.test"), STR_INIT("b.test")}, "a.test", "b.test");
  check("example.com:443", (struct tls_names){.verify = STR_INIT("b.test")}, "example.com", "b.test");
}
