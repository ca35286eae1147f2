// SPDX-License-Identifier: Apache-2.0
// peer: where and how to connect. Peers are interned per worker: equal options give the same struct peer, and
// a peer holds the idle connections to itself. So connections are shared exactly by peers that are equal in
// everything. A peer lives while somebody holds a reference (an exchange, a connection), and some time longer
// as a cache.
#ifndef PERILUNE_EXCHANGE_PEER_H
#define PERILUNE_EXCHANGE_PEER_H

#include "base/check.h"
#include "base/list.h"
#include "base/str.h"
#include "net/addr.h"
#include "net/resolver.h"
#include "net/tls.h"

struct proxy;
struct http2_peer;
struct idle_counts;

enum peer_alpn { PEER_ALPN_HTTP1, PEER_ALPN_NONE, PEER_ALPN_HTTP2, PEER_ALPN_BOTH };

/* What a policy can say of a peer. All text is borrowed for the call. Timeouts 0: the default. */
struct peer_options {
  struct str address;     /* "1.2.3.4:443", "[::1]:80", "unix:/path", "name:80" */
  struct str sni;         /* server name for TLS; empty: none is sent, and the address's host is verified */
  struct str verify_name; /* verified instead of the SNI, where not empty */
  struct str ca;          /* PEM file of trusted CAs; empty: the system's store */
  struct str certificate; /* PEM file: who we are, for peers that ask; with `key`; empty: nobody */
  struct str key;         /* PEM file */
  struct str group;       /* separates pools of otherwise equal peers */
  unsigned connect_timeout_ms;    /* 5 s, TCP */
  unsigned handshake_timeout_ms;  /* 10 s, TLS */
  unsigned first_byte_timeout_ms; /* 60 s: from the request's end to the response head */
  unsigned read_timeout_ms;       /* 60 s between two reads of the response */
  unsigned send_timeout_ms;       /* 60 s: the peer takes nothing of the request */
  unsigned idle_timeout_ms;       /* 55 s in the pool; PEER_NO_POOL: never pooled */
  unsigned max_idle;         /* 256 spare connections that a worker keeps to it for longer than a second */
  unsigned ping_interval_ms; /* 15 s: of HTTP/2, silence of the peer, until it is asked whether it is there */
  unsigned ping_timeout_ms;  /* 10 s: in which it must answer */
  unsigned hedge_ms;         /* 0: never; of one attempt, not of the peer (hooks.h) */
  unsigned lenient; /* of http/lenient.h: what its responses may do; with PEER_LENIENT; 0: the default */
  enum tls_oldest min_version;
  enum peer_alpn alpn;
  enum resolver_family family; /* of a name: which of its addresses */
  bool tls;
  bool http2;                   /* without TLS, and without asking: HTTP/2 with prior knowledge */
  bool no_verify;               /* verify = false, written by the policy */
  unsigned char proxy_protocol; /* 0 none, 1 or 2: PROXY header of that version on each new connection */
};
enum { PEER_NO_POOL = 0xffffffffu, PEER_LENIENT = 1u << 31 };

enum { PEER_MAGIC = 0x9ee21005 };

struct peer {
  OBJ_MAGIC;
  struct peer_options options; /* text owned by the peer */
  struct tls_context *tls;     /* owned reference; NULL without TLS */
  struct list idle;            /* of struct upstream; newest first */
  struct http2_peer *http2;    /* owned; NULL where it speaks HTTP/1.1 in any case */
  unsigned idle_count;
  struct idle_counts *idle_counts; /* reference; where siblings read our number; NULL without siblings */
  unsigned refs;
  bool offers_upgrade; /* in an ordinary response: it was said */
  bool sends_long; /* its last response went through a pipe: the next head is read with little of the body */
  uint64_t hash;
  struct peer *next_in_bucket;
  struct list spare; /* in proxy's list of unreferenced peers while refs == 0 */
  struct addr addr;  /* parsed; kind ADDR_NAME needs resolving */
  struct tls_resumption resumption;
};

/* Finds or makes the peer. NULL: *why (static or thread-local text, valid until the next call) says what is
 * wrong with the options. The caller holds a reference. */
struct peer *peer_intern(struct proxy *proxy, const struct peer_options *options, const char **why);
void peer_hold(struct peer *peer);
void peer_release(struct proxy *proxy, struct peer *peer);
/* Forgets all; none may have connections any more. */
void peers_free(struct proxy *proxy);

#endif
