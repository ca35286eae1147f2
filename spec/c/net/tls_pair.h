// SPDX-License-Identifier: Apache-2.0
// tls_pair: two conns over a socketpair, for units of TLS.
#ifndef PERILUNE_SPEC_TLS_PAIR_H
#define PERILUNE_SPEC_TLS_PAIR_H

#include "net/tls.h"

struct pair {
  struct ev_loop *loop;
  struct conn client, server;
  unsigned readable; /* calls of on_readable */
};

/* Plain on both sides. */
void pair_open(struct pair *pair);
void pair_close(struct pair *pair);
/* Makes `conn` a TLS server with the units' certificate. */
void pair_serve(struct conn *conn);
enum io pair_put(struct conn *conn, struct str text, size_t *moved);

#endif
