// SPDX-License-Identifier: Apache-2.0
// Interned peers: equal options, equal peer, wherever their text is.
#include "exchange/peer.h"

#include <ev.h>
#include <stdio.h>

#include "exchange/proxy.h"
#include "unit.h"
#include "upstream/borrow.h"

static struct peer *intern(struct proxy *proxy, struct peer_options options) {
  const char *why;
  return peer_intern(proxy, &options, &why);
}

static void with_proxy(void (*test)(struct proxy *proxy)) {
  struct ev_loop *loop = ev_loop_new(0);
  struct proxy proxy;
  proxy_init(&proxy, loop, 0);
  test(&proxy);
  proxy_close(&proxy);
  proxy_free(&proxy);
  ev_loop_destroy(loop);
}

static void compare(struct proxy *proxy) {
  char text[] = "127.0.0.1:80";
  struct peer *first = intern(proxy, (struct peer_options){.address = STR("127.0.0.1:80")});
  CHECK(first && first->refs == 1);
  CHECK(intern(proxy, (struct peer_options){.address = str_of(text)}) == first && first->refs == 2);
  CHECK(intern(proxy, (struct peer_options){.address = str_of(text), .read_timeout_ms = 60000}) == first);
  CHECK(intern(proxy, (struct peer_options){.address = str_of(text), .read_timeout_ms = 1}) != first);
  CHECK(intern(proxy, (struct peer_options){.address = str_of(text), .group = STR("g")}) != first);
}
IT("gives equal options the same peer, others another") { with_proxy(compare); }

static void reuse_place(struct proxy *proxy) {
  char text[] = "127.0.0.1:81";
  struct peer *first = intern(proxy, (struct peer_options){.address = str_of(text)});
  CHECK(intern(proxy, (struct peer_options){.address = str_of(text)}) == first);
  text[sizeof text - 2] = '2';
  struct peer *second = intern(proxy, (struct peer_options){.address = str_of(text)});
  CHECK(second != first);
  CHECK_STR(second->options.address, "127.0.0.1:82");
  text[sizeof text - 2] = '1';
  CHECK(intern(proxy, (struct peer_options){.address = str_of(text)}) == first);
}
IT("finds the right peer where another address has come to lie in the same place") {
  with_proxy(reuse_place);
}

static void invent(struct proxy *proxy) {
  char text[32];
  for (int i = 1; i < 2000; i++) {
    snprintf(text, sizeof text, "127.0.0.1:%d", i);
    struct peer *peer = intern(proxy, (struct peer_options){.address = str_of(text)});
    if (!CHECK(peer && peer->refs == 1)) return;
    CHECK_STR(peer->options.address, text);
    peer_release(proxy, peer);
  }
  CHECK(proxy->spare_count <= 256);
}
IT("forgets the oldest peers of a policy that invents peers") { with_proxy(invent); }

/* Two workers. The texts of the second are elsewhere in memory. */
static bool are_shared(const struct peer_options *a, const struct peer_options *b) {
  struct ev_loop *loop = ev_loop_new(0);
  struct siblings *siblings = siblings_new(2);
  struct proxy proxies[2];
  for (unsigned i = 0; i < 2; i++) {
    proxy_init(&proxies[i], loop, i);
    siblings_join(siblings, &proxies[i]);
  }
  struct peer *left = intern(&proxies[0], *a), *right = intern(&proxies[1], *b);
  bool shared = left && right && left->idle_counts == right->idle_counts;
  for (unsigned i = 0; i < 2; i++) {
    proxy_close(&proxies[i]);
    proxy_free(&proxies[i]);
  }
  siblings_free(siblings);
  ev_loop_destroy(loop);
  return shared;
}

IT("is the same for another worker only where all options are equal") {
  char text[] = "127.0.0.1:80";
  struct peer_options plain = {.address = str_of(text)}, other;
  struct peer_options secure = {.address = str_of(text), .tls = true, .no_verify = true, .sni = STR("a")};
  CHECK(are_shared(&plain, &(struct peer_options){.address = STR("127.0.0.1:80")}));
  CHECK(are_shared(&secure, &secure));
  CHECK(!are_shared(&plain, &secure));
#define DIFFERS(field, value)                                                                                \
  other = secure;                                                                                            \
  other.field = value;                                                                                       \
  CHECK(!are_shared(&secure, &other))
  DIFFERS(address, STR("127.0.0.1:81"));
  DIFFERS(sni, STR("b"));
  DIFFERS(verify_name, STR("a"));
  DIFFERS(group, STR("a"));
  DIFFERS(no_verify, false);
  DIFFERS(min_version, TLS_FROM_1_3);
  DIFFERS(alpn, PEER_ALPN_NONE);
  DIFFERS(proxy_protocol, 1);
  DIFFERS(idle_timeout_ms, 1);
#undef DIFFERS
}

IT("tells the end of one text from the beginning of the next") {
  struct peer_options a = {.address = STR("127.0.0.1:80"), .sni = STR("ab"), .verify_name = STR("c")};
  struct peer_options b = {.address = STR("127.0.0.1:80"), .sni = STR("a"), .verify_name = STR("bc")};
  CHECK(!are_shared(&a, &b));
}
