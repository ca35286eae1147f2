// SPDX-License-Identifier: Apache-2.0
// tls_cache: keeps certificates that were looked up by name, for a limited time. Its size is bounded: when it is
// full, the least recently used one is dropped. For all threads.
#ifndef PERILUNE_NET_TLS_CACHE_H
#define PERILUNE_NET_TLS_CACHE_H

#include "net/tls_identity.h"

struct tls_cache;

struct tls_cache *tls_cache_new(unsigned most);
/* NULL is harmless. */
void tls_cache_free(struct tls_cache *cache);
/* A reference, or NULL. */
struct tls_identity *tls_cache_get(struct tls_cache *cache, struct str name);
/* Takes a reference of its own. */
void tls_cache_put(struct tls_cache *cache, struct str name, struct tls_identity *identity, unsigned ttl_s);

#endif
