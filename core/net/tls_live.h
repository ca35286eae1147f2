// SPDX-License-Identifier: Apache-2.0
// tls_live: certificates that come into force while listeners use them, by name. A store has a name of its own, and
// lives as long as anybody refers to it: a reload finds again what the policy before it has put there. For all threads.
#ifndef PERILUNE_NET_TLS_LIVE_H
#define PERILUNE_NET_TLS_LIVE_H

#include "net/tls_identity.h"

struct tls_live;

/* Names that one store has at most. */
enum { TLS_LIVE_MOST = 10000 };

/* The store of that name, made where there is none. A reference. */
struct tls_live *tls_live_get(struct str store);
/* NULL is harmless. */
void tls_live_release(struct tls_live *live);

/* From now on that is the certificate for a name: "example.org", "*.example.org", or "" for clients that send none or
 * one that is not there. Takes a reference of its own; NULL takes the name away. False: the store is full. */
bool tls_live_set(struct tls_live *live, struct str name, struct tls_identity *identity);
/* A reference to the one for a name in lower case: its own, or that of its wildcard; NULL: there is none. */
struct tls_identity *tls_live_find(struct tls_live *live, struct str name);

#endif
