// SPDX-License-Identifier: Apache-2.0
// resolver: names to addresses without blocking the loop (c-ares: DNS, /etc/hosts). One per worker.
#ifndef PERILUNE_NET_RESOLVER_H
#define PERILUNE_NET_RESOLVER_H

#include "net/addr.h"

struct ev_loop;
struct resolver;
struct resolver_query;

enum { RESOLVER_ADDRESSES = 64 }; /* more of a name's addresses are left out */

/* A record of a service (RFC 2782). */
struct resolver_service {
  struct addr address; /* a name and a port */
  unsigned short priority, weight;
};

struct resolver_answer {
  unsigned count;                          /* 0: it failed */
  const struct addr *addresses;            /* in the order to try (RFC 6724); or */
  const struct resolver_service *services; /* as the server sent them */
  unsigned ttl_s;                          /* how long it holds; 0: nobody said */
  const char *why;                         /* of a failure */
};
/* The answer is only valid during the call. */
typedef void resolver_done(void *owner, const struct resolver_answer *answer);

struct resolver *resolver_new(struct ev_loop *loop);
/* Queries under way end without a callback. */
void resolver_free(struct resolver *r);
/* Asks these servers from now on: "127.0.0.1:5353,[::1]"; NULL: the system's. False: it is not a list of addresses, *why
 * is malloc'd. Queries under way go on with the servers that they were asked of. */
bool resolver_set_servers(struct resolver *r, const char *servers, char **why);
/* Would resolver_set_servers take it? In any thread. */
bool resolver_check_servers(const char *servers, char **why);
/* `done` is called from the loop, never from inside this call, exactly once unless cancelled. `host` may also
 * be an IP address. The query is the caller's until then, only to cancel it. */
struct resolver_query *resolver_lookup(struct resolver *r, const char *host, unsigned short port,
                                       resolver_done *done, void *owner);
/* The same for the services of a name, like "_http._tcp.example.org". */
struct resolver_query *resolver_lookup_services(struct resolver *r, const char *name, resolver_done *done,
                                                void *owner);
void resolver_cancel(struct resolver_query *query);

#endif
