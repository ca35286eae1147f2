// SPDX-License-Identifier: Apache-2.0
// resolver: c-ares on the worker's loop: a watcher per socket that c-ares opens, one timer for its deadlines.
// The one hard problem is that c-ares may answer from inside any call into it, also from inside a lookup, and
// cannot cancel one query: so answers are queued and delivered by the loop one at a time, and a cancelled
// query stays until c-ares is done.
#include "net/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <ev.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/services.h"

enum { CLASS_IN = 1, TYPE_SRV = 33 };
enum { TRY_MS = 2000, TRIES = 3 }; /* of a server; whoever waits has a shorter deadline of its own */

struct resolver {
  struct ev_loop *loop; /* borrowed */
  ares_channel channel; /* owned; NULL before the first query, and where c-ares could not start */
  int start_status;     /* then why */
  ev_timer deadline;    /* c-ares' next one */
  ev_timer delivery;    /* never started, only fed: there are answers in `answered` */
  struct list sockets, answered;
  bool is_ending;
};

/* A socket of c-ares. */
struct lookup_socket {
  struct list link;
  struct resolver *resolver; /* borrowed */
  ev_io watcher;
};

struct resolver_query {
  struct list link;          /* in resolver.answered, or in no list: c-ares has it */
  struct resolver *resolver; /* borrowed */
  resolver_done *done;       /* NULL: cancelled */
  void *owner;
  unsigned short port;
  unsigned count, ttl_s;
  struct addr *addresses;            /* owned; or */
  struct resolver_service *services; /* owned */
  const char *why;                   /* static */
};

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable);
static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events);
static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *found);
static void deliver(struct ev_loop *loop, ev_timer *timer, int events);
static void query_free(struct resolver_query *query);

static void start_library(void) { ares_library_init(ARES_LIB_INIT_ALL); }

struct resolver *resolver_new(struct ev_loop *loop) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_library);
  struct resolver *r = memory_zalloc(sizeof *r);
  r->loop = loop;
  list_init(&r->sockets);
  list_init(&r->answered);
  ev_timer_init(&r->deadline, on_deadline, 0., 0.);
  ev_timer_init(&r->delivery, deliver, 0., 0.);
  r->deadline.data = r->delivery.data = r;

  return r;
}

/* A channel takes 75 KB and reads files: only who looks something up has one. */
static bool is_started(struct resolver *r) {
  if (r->channel || r->start_status != ARES_SUCCESS) return r->channel != NULL;
  struct ares_options options = {
      .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = r};
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE /* since 1.31 it keeps an answer without records for an hour; who asks minds the times */
  mask |= ARES_OPT_QUERY_CACHE; /* of no seconds */
#endif
  r->start_status = ares_init_options(&r->channel, &options, mask);
  if (r->start_status == ARES_SUCCESS) return true;
  r->channel = NULL;
  log_error("names cannot be resolved: %s", ares_strerror(r->start_status));
  return false;
}

void resolver_free(struct resolver *r) {
  if (!r) return;
  r->is_ending = true;
  if (r->channel)
    ares_destroy(r->channel); /* closes the sockets and ends all queries, through the callbacks */
  LIST_EACH(node, &r->answered) query_free(LIST_ENTRY(node, struct resolver_query, link));
  ev_timer_stop(r->loop, &r->deadline);
  ev_clear_pending(r->loop, &r->delivery);
  free(r);
}

const char *resolver_set_servers(struct resolver *r, const char *servers) {
  int status = is_started(r) ? ares_set_servers_ports_csv(r->channel, servers) : r->start_status;
  return status == ARES_SUCCESS ? NULL : ares_strerror(status);
}

/* --- c-ares and the loop ----------------------------------------------------------------------------- */

/* After each call into c-ares, which may have moved its deadline. */
static void keep_deadline(struct resolver *r) {
  struct timeval left;
  ev_timer_stop(r->loop, &r->deadline);
  if (!ares_timeout(r->channel, NULL, &left)) return;
  double seconds = (double)left.tv_sec + (double)left.tv_usec / 1e6;
  ev_timer_set(&r->deadline, seconds < 0.001 ? 0.001 : seconds, 0.);
  ev_timer_start(r->loop, &r->deadline);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
  struct resolver *r = timer->data;
  (void)loop, (void)events;
  ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  keep_deadline(r);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events) {
  struct lookup_socket *lookup_socket = watcher->data;
  struct resolver *r = lookup_socket->resolver;
  int fd = watcher->fd; /* c-ares may close it, and so free the watcher, in the call */
  (void)loop;
  ares_process_fd(r->channel, events & EV_READ ? fd : ARES_SOCKET_BAD,
                  events & EV_WRITE ? fd : ARES_SOCKET_BAD);
  keep_deadline(r);
}

static struct lookup_socket *find_socket(struct resolver *r, int fd) {
  LIST_EACH(node, &r->sockets) {
    struct lookup_socket *found = LIST_ENTRY(node, struct lookup_socket, link);
    if (found->watcher.fd == fd) return found;
  }
  return NULL;
}

static struct lookup_socket *add_socket(struct resolver *r, int fd) {
  struct lookup_socket *added = memory_zalloc(sizeof *added);
  added->resolver = r;
  ev_io_init(&added->watcher, on_socket, fd, 0);
  added->watcher.data = added;
  list_push_front(&r->sockets, &added->link);
  return added;
}

/* Neither readable nor writable wanted: c-ares is about to close it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) {
  struct resolver *r = data;
  struct lookup_socket *of_fd = find_socket(r, fd);
  if (of_fd) ev_io_stop(r->loop, &of_fd->watcher);
  if (readable || writable) {
    if (!of_fd) of_fd = add_socket(r, fd);
    ev_io_set(&of_fd->watcher, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(r->loop, &of_fd->watcher);
  } else if (of_fd) {
    list_remove(&of_fd->link);
    free(of_fd);
  }
}

/* --- queries ----------------------------------------------------------------------------------------- */

static void query_free(struct resolver_query *query) {
  list_remove(&query->link);
  free(query->addresses);
  free(query->services);
  free(query);
}

static void query_answered(struct resolver_query *query) {
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
  return query;
}

struct resolver_query *resolver_lookup(struct resolver *r, const char *host, unsigned short port,
                                       resolver_done *done, void *owner) {
  struct resolver_query *query = query_new(r, done, owner);
  query->port = port;
  if (is_literal(query, host)) {
    query_answered(query);
  } else if (is_started(r)) {
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, query);
    keep_deadline(r);
  } else {
    on_answer(query, r->start_status, 0, NULL);
  }
  return query;
}

void resolver_cancel(struct resolver_query *query) {
  bool is_answered = !list_is_empty(&query->link);
  if (is_answered)
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
  if (!query->done || query->resolver->is_ending) {
    query_free(query);
    return;
  }
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
  ares_query(r->channel, name, CLASS_IN, TYPE_SRV, on_message, query);
#pragma GCC diagnostic pop
  keep_deadline(r);
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
  query->done(query->owner, &(struct resolver_answer){.count = query->count,
                                                      .addresses = query->addresses,
                                                      .services = query->services,
                                                      .ttl_s = query->ttl_s,
                                                      .why = query->why});
  query_free(query);
}
