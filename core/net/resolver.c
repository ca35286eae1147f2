// SPDX-License-Identifier: Apache-2.0
// resolver: queries and their answers.
// The one hard problem is that c-ares may answer from inside any call into it, also from inside a lookup, and
// cannot cancel one query: so answers are queued and delivered by the loop one at a time, and a cancelled
// query stays until c-ares is done.
#include "net/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <ev.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/dns_channel.h"
#include "net/services.h"

enum { CLASS_IN = 1, TYPE_SRV = 33 };
struct resolver {
  struct ev_loop *loop;        /* borrowed */
  char *servers;               /* owned; NULL: the system's */
  struct dns_channel *channel; /* reference; NULL before the first query */
  int start_status;            /* of the last try to make one */
  ev_timer delivery;           /* never started, only fed: there are answers in `answered` */
  struct list asked, answered; /* owned: queries that c-ares has, and others */
};

struct resolver_query {
  struct list link;            /* in resolver.asked or resolver.answered */
  struct resolver *resolver;   /* borrowed */
  struct dns_channel *channel; /* reference, while c-ares has it */
  bool is_answered;
  resolver_done *done; /* NULL: cancelled */
  void *owner;
  unsigned short port;
  unsigned count, ttl_s;
  struct addr *addresses;            /* owned; or */
  struct resolver_service *services; /* owned */
  const char *why;                   /* static */
};

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *found);
static void deliver(struct ev_loop *loop, ev_timer *timer, int events);
static void query_free(struct resolver_query *query);

struct resolver *resolver_new(struct ev_loop *loop) {
  struct resolver *r = memory_zalloc(sizeof *r);
  r->loop = loop;
  list_init(&r->asked);
  list_init(&r->answered);
  ev_timer_init(&r->delivery, deliver, 0., 0.);
  r->delivery.data = r;
  return r;
}

/* A channel takes 75 KB and reads files: only who looks something up has one. */
static bool is_started(struct resolver *r) {
  if (r->channel) return true;
  r->channel = dns_channel_new(r->loop, r->servers, &r->start_status);
  if (!r->channel) log_error("names cannot be resolved: %s", ares_strerror(r->start_status));
  return r->channel != NULL;
}

/* Queries end through c-ares' callbacks, which is not for their owners any more. */
void resolver_free(struct resolver *r) {
  if (!r) return;
  LIST_EACH(node, &r->asked) {
    struct resolver_query *query = LIST_ENTRY(node, struct resolver_query, link);
    query->done = NULL;
  }
  while (!list_is_empty(&r->asked))
    dns_channel_cancel(LIST_ENTRY(r->asked.next, struct resolver_query, link)->channel);
  LIST_EACH(node, &r->answered) query_free(LIST_ENTRY(node, struct resolver_query, link));
  if (r->channel) dns_channel_release(r->channel);
  ev_clear_pending(r->loop, &r->delivery);
  free(r->servers);
  free(r);
}

bool resolver_check_servers(const char *servers, char **why) {
  int status;
  struct dns_channel *trial = dns_channel_new(NULL, servers, &status);
  if (trial) dns_channel_release(trial);
  if (!trial) *why = str_to_cstring(str_of(ares_strerror(status)));
  return trial != NULL;
}

/* The old channel lives as long as the queries that it has. */
bool resolver_set_servers(struct resolver *r, const char *servers, char **why) {
  bool is_same = servers && r->servers ? strcmp(servers, r->servers) == 0 : servers == r->servers;
  if (is_same) return true;
  if (servers && !resolver_check_servers(servers, why)) return false;
  if (r->channel) dns_channel_release(r->channel);
  r->channel = NULL;
  free(r->servers);
  r->servers = servers ? str_to_cstring(str_of(servers)) : NULL;
  return true;
}

/* --- queries ----------------------------------------------------------------------------------------- */

static void query_free(struct resolver_query *query) {
  list_remove(&query->link);
  if (query->channel) dns_channel_release(query->channel);
  free(query->addresses);
  free(query->services);
  free(query);
}

static void query_answered(struct resolver_query *query) {
  list_remove(&query->link);
  query->is_answered = true;
  list_push_back(&query->resolver->answered, &query->link);
  ev_feed_event(query->resolver->loop, &query->resolver->delivery, EV_CUSTOM);
}

static void add_address(struct resolver_query *query, const void *socket, size_t length) {
  if (!query->addresses) query->addresses = memory_alloc(RESOLVER_ADDRESSES * sizeof query->addresses[0]);
  struct addr *addr = &query->addresses[query->count++];
  addr_from_socket(addr, socket, (socklen_t)length);
  addr_set_port(addr, query->port);
}

/* IP addresses are not left to c-ares: 1.18 asks the servers for the other family's address of such a "name".
 */
static bool is_literal(struct resolver_query *query, const char *host) {
  struct sockaddr_in in4 = {.sin_family = AF_INET};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
  if (inet_pton(AF_INET, host, &in4.sin_addr) == 1)
    add_address(query, &in4, sizeof in4);
  else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1)
    add_address(query, &in6, sizeof in6);
  return query->count > 0;
}

static struct resolver_query *query_new(struct resolver *r, resolver_done *done, void *owner) {
  struct resolver_query *query = memory_zalloc(sizeof *query);
  *query = (struct resolver_query){.resolver = r, .done = done, .owner = owner};
  list_init(&query->link);
  list_push_back(&r->asked, &query->link);
  return query;
}

static void hold_channel(struct resolver_query *query) {
  query->channel = query->resolver->channel;
  dns_channel_hold(query->channel);
}

struct resolver_query *resolver_lookup(struct resolver *r, const char *host, unsigned short port,
                                       resolver_done *done, void *owner) {
  struct resolver_query *query = query_new(r, done, owner);
  query->port = port;
  if (is_literal(query, host)) {
    query_answered(query);
  } else if (is_started(r)) {
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    hold_channel(query);
    ares_getaddrinfo(dns_channel_ares(r->channel), host, NULL, &hints, on_answer, query);
    dns_channel_keep_deadline(query->channel);
  } else {
    on_answer(query, r->start_status, 0, NULL);
  }
  return query;
}

void resolver_cancel(struct resolver_query *query) {
  if (query->is_answered)
    query_free(query);
  else
    query->done = NULL;
}

static void take_addresses(struct resolver_query *query, const struct ares_addrinfo *found) {
  const struct ares_addrinfo_node *node = found->nodes;
  for (; node && query->count < RESOLVER_ADDRESSES; node = node->ai_next) {
    if (node->ai_family != AF_INET && node->ai_family != AF_INET6) continue;
    if (query->count == 0 || (unsigned)node->ai_ttl < query->ttl_s) query->ttl_s = (unsigned)node->ai_ttl;
    add_address(query, node->ai_addr, (size_t)node->ai_addrlen);
  }
}

static void answered_or_dropped(struct resolver_query *query, int status) {
  if (query->count == 0) query->why = ares_strerror(status == ARES_SUCCESS ? ARES_ENODATA : status);
  query_answered(query);
}

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *found) {
  struct resolver_query *query = data;
  (void)timeouts;
  if (query->done && status == ARES_SUCCESS && found) take_addresses(query, found);
  if (found) ares_freeaddrinfo(found);
  answered_or_dropped(query, status);
}

static void on_message(void *data, int status, int timeouts, unsigned char *message, int length) {
  struct resolver_query *query = data;
  (void)timeouts;
  if (query->done && status == ARES_SUCCESS) {
    query->services = memory_alloc(RESOLVER_ADDRESSES * sizeof query->services[0]);
    bool is_readable = services_read(message, (size_t)length, query->services, RESOLVER_ADDRESSES,
                                     &query->count, &query->ttl_s);
    if (!is_readable) status = ARES_EBADRESP;
  }
  answered_or_dropped(query, status);
}

/* c-ares 1.28 and later would rather have ares_query_dnsrec, which earlier ones do not have. */
struct resolver_query *resolver_lookup_services(struct resolver *r, const char *name, resolver_done *done,
                                                void *owner) {
  struct resolver_query *query = query_new(r, done, owner);
  if (!is_started(r)) {
    on_message(query, r->start_status, 0, NULL, 0);
    return query;
  }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  hold_channel(query);
  ares_query(dns_channel_ares(r->channel), name, CLASS_IN, TYPE_SRV, on_message, query);
#pragma GCC diagnostic pop
  dns_channel_keep_deadline(query->channel);
  return query;
}

/* One answer a time: its owner may cancel others, look up more, or free the resolver. */
static void deliver(struct ev_loop *loop, ev_timer *timer, int events) {
  struct resolver *r = timer->data;
  (void)events;
  if (list_is_empty(&r->answered)) return;
  struct resolver_query *query = LIST_ENTRY(r->answered.next, struct resolver_query, link);
  list_remove(&query->link);
  if (!list_is_empty(&r->answered)) ev_feed_event(loop, timer, EV_CUSTOM);
  if (query->done)
    query->done(query->owner, &(struct resolver_answer){.count = query->count,
                                                        .addresses = query->addresses,
                                                        .services = query->services,
                                                        .ttl_s = query->ttl_s,
                                                        .why = query->why});
  query_free(query);
}
