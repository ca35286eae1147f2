// SPDX-License-Identifier: Apache-2.0
// peer: the per-worker table of interned peers. The one hard problem is its size under a policy that invents
// peers: unreferenced ones stay as a cache in order of last use, and beyond SPARE_MOST the oldest is
// forgotten.
#include "exchange/peer.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/memory.h"
#include "exchange/proxy.h"
#include "http/lenient.h"
#include "shared/idle_counts.h"
#include "upstream/borrow.h"
#include "upstream/http2.h"
#include "upstream/upstream.h"

enum { SPARE_MOST = 256 };

static const struct peer_options defaults = {.connect_timeout_ms = 5000,
                                             .handshake_timeout_ms = 10000,
                                             .first_byte_timeout_ms = 60000,
                                             .read_timeout_ms = 60000,
                                             .send_timeout_ms = 60000,
                                             .idle_timeout_ms = 55000,
                                             .max_idle = 256,
                                             .ping_interval_ms = 15000,
                                             .ping_timeout_ms = 10000,
                                             .lenient = PEER_LENIENT | LENIENT_DEFAULT};

static unsigned or_default(unsigned value, unsigned fallback) { return value ? value : fallback; }

/* All the numbers that make a peer: 0 stands for the default of the first ones. */
#define TIMEOUT_TABLE(X)                                                                                     \
  X(connect_timeout_ms)                                                                                      \
  X(handshake_timeout_ms)                                                                                    \
  X(first_byte_timeout_ms)                                                                                   \
  X(read_timeout_ms)                                                                                         \
  X(send_timeout_ms) X(idle_timeout_ms) X(ping_interval_ms) X(ping_timeout_ms) X(max_idle) X(lenient)
#define KIND_TABLE(X) X(tls) X(http2) X(no_verify) X(proxy_protocol) X(min_version) X(alpn) X(family)

static struct peer_options with_defaults(const struct peer_options *o) {
  struct peer_options full = *o;
#define X(member) full.member = or_default(o->member, defaults.member);
  TIMEOUT_TABLE(X)
#undef X
  return full;
}

/* --- identity ------------------------------------------------------------------------------------------- */

struct numbers {
#define X(member) unsigned member;
  TIMEOUT_TABLE(X) KIND_TABLE(X)
#undef X
};

/* All the text that makes a peer: address, sni, verify_name, ca, certificate, key, group. */
enum { TEXTS = 7 };
_Static_assert(offsetof(struct peer_options, group) == (TEXTS - 1) * sizeof(struct str), "texts come first");

static struct str text_of(const struct peer_options *o, int i) { return ((const struct str *)o)[i]; }

static struct numbers numbers_of(const struct peer_options *o) {
  return (struct numbers){
#define X(member) .member = (unsigned)o->member,
      TIMEOUT_TABLE(X) KIND_TABLE(X)
#undef X
  };
}

static uint64_t hash_text(uint64_t hash, struct str text) {
  return text.len ? XXH3_64bits_withSeed(text.ptr, text.len, hash) : hash * 31 + 1;
}

static uint64_t hash_of(const struct peer_options *o) {
  struct numbers numbers = numbers_of(o);
  uint64_t hash = XXH3_64bits(&numbers, sizeof numbers);
  for (int i = 0; i < TEXTS; i++) hash = hash_text(hash, text_of(o, i));
  return hash;
}

static bool has_same_numbers(const struct peer_options *full, const struct peer_options *o) {
  bool are_same = true;
#define X(member) are_same = are_same && full->member == or_default(o->member, defaults.member);
  TIMEOUT_TABLE(X)
#undef X
#define X(member) are_same = are_same && full->member == o->member;
  KIND_TABLE(X)
#undef X
  return are_same;
}

/* `o` need not have its defaults. */
static bool is_same(const struct peer_options *full, const struct peer_options *o) {
  if (!has_same_numbers(full, o)) return false;
  for (int i = 0; i < TEXTS; i++)
    if (!str_equal(text_of(full, i), text_of(o, i))) return false;
  return true;
}

/* What makes it the same as another worker's. The context stands for the certificates that it was made of. */
static void share_identity(struct proxy *proxy, struct peer *peer) {
  struct buf identity = {0};
  struct numbers numbers = numbers_of(&peer->options);
  buf_append(&identity, &numbers, sizeof numbers);
  buf_append(&identity, &peer->tls, sizeof peer->tls);
  for (int i = 0; i < TEXTS; i++) {
    struct str text = text_of(&peer->options, i);
    buf_append(&identity, &text.len, sizeof text.len);
    buf_append_str(&identity, text);
  }
  peer->idle_counts = idle_counts_join(proxy->siblings->idle_counts, buf_str(&identity), proxy->worker, peer);
  buf_release(&identity);
}

/* --- life ----------------------------------------------------------------------------------------------- */

/* Makes the text its own. */
static void own_texts(struct peer_options *o) {
  for (int i = 0; i < TEXTS; i++) {
    struct str *text = (struct str *)o + i;
    text->ptr = str_to_cstring(*text);
  }
}

static void free_peer(struct proxy *proxy, struct peer *peer) {
  if (peer->idle_counts) idle_counts_leave(peer->idle_counts, proxy->worker);
  for (int i = 0; i < TEXTS; i++) free((void *)text_of(&peer->options, i).ptr);
  tls_resumption_clear(&peer->resumption);
  if (peer->tls) tls_context_release(peer->tls);
  http2_peer_free(peer->http2);
  CHECK(list_is_empty(&peer->idle));
  OBJ_END(peer, PEER_MAGIC);
  free(peer);
}

static bool prepare_tls(struct peer *peer, const char **why) {
  static _Thread_local char text[256];
  char *reason = NULL;
  if (!peer->options.tls) return true;
  const struct peer_options *o = &peer->options;
  struct tls_client_options wanted = {.ca = o->ca,
                                      .certificate = o->certificate,
                                      .key = o->key,
                                      .oldest = o->min_version,
                                      .no_verify = o->no_verify,
                                      .no_close_notify = o->lenient & LENIENT_NO_CLOSE_NOTIFY,
                                      .no_alpn = o->alpn == PEER_ALPN_NONE,
                                      .http2 = o->alpn == PEER_ALPN_HTTP2 || o->alpn == PEER_ALPN_BOTH,
                                      .no_http1 = o->alpn == PEER_ALPN_HTTP2};
  peer->tls = tls_context_client(&wanted, &reason);
  if (peer->tls) return true;
  strncpy(text, reason, sizeof text - 1);
  free(reason);
  *why = text;
  return false;
}

static bool may_be_http2(const struct peer_options *o) {
  return o->http2 || (o->tls && (o->alpn == PEER_ALPN_HTTP2 || o->alpn == PEER_ALPN_BOTH));
}

static struct peer *make(struct proxy *proxy, const struct peer_options *options, uint64_t hash,
                         const char **why) {
  struct addr addr;
  if (!addr_parse_peer(options->address, &addr, why)) return NULL;
  struct peer *peer = memory_zalloc(sizeof *peer);
  peer->options = *options;
  own_texts(&peer->options);
  peer->addr = addr;
  peer->hash = hash;
  list_init(&peer->idle);
  list_init(&peer->spare);
  if (may_be_http2(options)) peer->http2 = http2_peer_new(peer->options.address);
  OBJ_INIT(peer, PEER_MAGIC);
  if (!prepare_tls(peer, why)) {
    free_peer(proxy, peer);
    return NULL;
  }
  if (proxy->siblings) share_identity(proxy, peer);
  return peer;
}

static void forget(struct proxy *proxy, struct peer *peer) {
  CHECK(peer->refs == 0 && list_is_empty(&peer->idle));
  struct peer **at = &proxy->peers[peer->hash % PEER_BUCKETS];
  while (*at != peer) at = &(*at)->next_in_bucket;
  *at = peer->next_in_bucket;
  for (int i = 0; i < PEER_GUESSES; i++)
    if (proxy->peer_guesses[i] == peer) proxy->peer_guesses[i] = NULL;
  list_remove(&peer->spare);
  free_peer(proxy, peer);
}

/* A peer whose certificates have changed is another one: connections made before are not for new requests. */
static bool is_wanted(const struct peer *peer, const struct peer_options *options) {
  return is_same(&peer->options, options) && (!peer->tls || !tls_context_is_outdated(peer->tls));
}

static __attribute__((noinline)) struct peer *
find_or_make(struct proxy *proxy, const struct peer_options *options, const char **why) {
  struct peer_options full = with_defaults(options);
  uint64_t hash = hash_of(&full);
  struct peer **bucket = &proxy->peers[hash % PEER_BUCKETS];
  for (struct peer *peer = *bucket; peer; peer = peer->next_in_bucket)
    if (peer->hash == hash && is_wanted(peer, &full)) return peer;
  struct peer *peer = make(proxy, &full, hash, why);
  if (!peer) return NULL;
  peer->next_in_bucket = *bucket;
  *bucket = peer;
  list_push_front(&proxy->spare_peers, &peer->spare);
  proxy->spare_count++;
  return peer;
}

/* Callers tend to have the text of an address in the same place each time, so where it is gives a guess that
 * saves the hashing. It is compared in full. */
struct peer *peer_intern(struct proxy *proxy, const struct peer_options *options, const char **why) {
  struct peer **guess = &proxy->peer_guesses[(uintptr_t)options->address.ptr / 16 % PEER_GUESSES];
  struct peer *peer = *guess;
  if (!peer || !is_wanted(peer, options)) peer = find_or_make(proxy, options, why);
  if (!peer) return NULL;
  *guess = peer;
  if (peer->refs == 0) {
    list_remove(&peer->spare);
    proxy->spare_count--;
  }
  peer_hold(peer);
  return peer;
}

void peer_hold(struct peer *peer) {
  CHECK_OBJ(peer, PEER_MAGIC);
  peer->refs++;
}

void peer_release(struct proxy *proxy, struct peer *peer) {
  CHECK_OBJ(peer, PEER_MAGIC);
  CHECK(peer->refs > 0);
  if (--peer->refs > 0) return;
  list_push_front(&proxy->spare_peers, &peer->spare);
  if (++proxy->spare_count <= SPARE_MOST) return;
  proxy->spare_count--;
  forget(proxy, LIST_ENTRY(proxy->spare_peers.prev, struct peer, spare));
}

void peers_free(struct proxy *proxy) {
  for (unsigned i = 0; i < PEER_BUCKETS; i++) {
    for (struct peer *peer = proxy->peers[i], *next; peer; peer = next) {
      next = peer->next_in_bucket;
      free_peer(proxy, peer);
    }
    proxy->peers[i] = NULL;
  }
}
