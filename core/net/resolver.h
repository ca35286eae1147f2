// SPDX-License-Identifier: Apache-2.0
// resolver: names to addresses without blocking the loop: hosts(5), then name servers. One per worker, with its own
// cache of answers (net/name_cache): so it takes no locks, and each worker sends one question for each name and
// family in a time to live, however many connections need it at once.
//
// An answer is valid for its time to live, at least 1 s and at most an hour; that a name does not exist, for the time
// that the server says, at most a minute; that the lookup failed, for a second. If no server answers, the last answer
// is used for ten more minutes. A query for both families gets what is there 50 ms after the first family has
// answered (RFC 8305 section 3).
//
// To follow a question: resolver (which names and families, and which query waits) -> name_cache (what is known) ->
// dns_client (which server, when the next) -> dns_channel (c-ares) -> dns_message (what is in the answer).
#ifndef PERILUNE_NET_RESOLVER_H
#define PERILUNE_NET_RESOLVER_H

#include <stdint.h>

#include "net/names.h"

struct ev_loop;
struct resolver;
struct resolver_query;

struct resolver_question {
  const char *host; /* or an IP address */
  unsigned short port;
  enum resolver_family family;
  bool is_fresh; /* a server is asked, even where an answer still holds */
};

struct resolver_answer {
  unsigned count;                          /* 0: it failed */
  const struct addr *addresses;            /* in the order to try: see resolver_note; or */
  const struct resolver_service *services; /* as the server sent them */
  unsigned ttl_s;                          /* how long it holds from now on; 0: nobody said */
  const char *why;                         /* of a failure */
  bool is_local; /* of a failure: for want of descriptors or memory, which is nobody else's fault */
};
/* The answer is only valid during the call. */
typedef void resolver_done(void *owner, const struct resolver_answer *answer);

struct resolver *resolver_new(struct ev_loop *loop);
/* Queries under way end without a callback. */
void resolver_free(struct resolver *r);
/* Asks these servers from now on: "127.0.0.1:5353,[::1]"; NULL: the system's. False: it is not a list of addresses,
 * *why is malloc'd. Where they are others than before, what they have said is forgotten; queries under way go on with
 * the servers that they were asked of. The system's files are looked at again. */
bool resolver_set_servers(struct resolver *r, const char *servers, char **why);
/* Would resolver_set_servers take it? In any thread. */
bool resolver_check_servers(const char *servers, char **why);
/* `done` is called from the loop, never from inside this call, exactly once unless cancelled. The query is the caller's
 * until then, only to cancel it. */
struct resolver_query *resolver_lookup(struct resolver *r, const struct resolver_question *question,
                                       resolver_done *done, void *owner);
/* The same for the services of a name, like "_http._tcp.example.org". */
struct resolver_query *resolver_lookup_services(struct resolver *r, const struct resolver_question *question,
                                                resolver_done *done, void *owner);
void resolver_cancel(struct resolver_query *query);

/* Was this address of a name of any use? One that failed, or was overtaken by another, comes last for a minute. Among
 * the others the families alternate, IPv6 first (RFC 8305 section 4), and those of one family take turns. */
void resolver_note(struct resolver *r, const char *host, const struct addr *addr, bool works);

/* For tests: these instead of /etc/resolv.conf and /etc/hosts. Before the first query; borrowed. */
void resolver_use_files(struct resolver *r, const char *resolv_conf, const char *hosts);

struct resolver_counts {
  uint64_t lookups, hits, stale; /* of names: in all; answered at once; with what is over its time */
  uint64_t questions, failures;  /* sent to name servers; that none has answered */
  unsigned silent;               /* name servers that do not answer at the moment */
};
struct resolver_counts resolver_counts(const struct resolver *r);

#endif
