// SPDX-License-Identifier: Apache-2.0
// connect: one attempt to reach an address: name lookup, TCP or unix connect, TLS handshake, each with its deadline. Of
// a name's addresses the first to take a connection is used (net/race). Ends with an established conn or with an error
// of the failure table and a sentence for the log.
#ifndef PERILUNE_NET_CONNECT_H
#define PERILUNE_NET_CONNECT_H

#include "base/check.h"
#include "base/error.h"
#include "net/addr.h"
#include "net/conn.h"
#include "net/race.h"
#include "net/resolver.h"
#include "net/timer.h"
#include "net/tls_context.h"

struct tls_identity;
struct tls_resumption;

struct connect_options {
  const struct addr *addr;     /* borrowed until the end of the attempt */
  enum resolver_family family; /* of a name */
  struct tls_context *tls;     /* borrowed; NULL: plain */
  struct tls_identity
      *identity;               /* borrowed until the end: who we are, beside what `tls` says; NULL: nobody */
  struct str sni, verify_name; /* borrowed until the end */
  struct tls_resumption *resumption; /* borrowed as long as the conn lives; NULL: no session is resumed */
  struct str preface;          /* sent first of all, before TLS (a PROXY header); borrowed until the end */
  unsigned connect_timeout_ms; /* of lookup and connect together, whatever the number of addresses */
  unsigned handshake_timeout_ms;
};

enum connect_state { CONNECT_IDLE, CONNECT_RESOLVING, CONNECT_CONNECTING, CONNECT_HANDSHAKE, CONNECT_ENDED };

#define CONNECT_MAGIC 0xc044ec70u

struct connect {
  OBJ_MAGIC;
  struct connect_options options;
  struct conn *conn; /* borrowed: the caller's, filled in */
  struct timer timer;
  struct resolver *resolver;    /* borrowed */
  struct resolver_query *query; /* while resolving */
  struct addr *addresses;       /* owned: what a name resolved to; NULL: options.addr is tried */
  struct race race;
  unsigned address;       /* index: the one that is connected */
  uint64_t connect_by_ms; /* on the loop's clock: when connect_timeout is over */
  enum connect_state state;
  bool tried_remote; /* an address has failed for what is not a want of this machine */
  char why[160];     /* after a failure: the reason in words */
  /* Called once from the loop with ERROR_NONE or the failure; the conn is then open, or closed. */
  void (*on_done)(struct connect *c, enum error error);
};

/* Starts. Never calls on_done from inside; `c` and `conn` must stay where they are until on_done or
 * connect_cancel. After success the conn's events and owner are the caller's to set (conn_adopt). */
void connect_start(struct connect *c, struct conn *conn, struct ev_loop *loop, struct resolver *resolver,
                   const struct connect_options *options,
                   void (*on_done)(struct connect *c, enum error error));
/* Ends an attempt under way without a callback and closes the conn. Harmless afterwards. */
void connect_cancel(struct connect *c);

#endif
