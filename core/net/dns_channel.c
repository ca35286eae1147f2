// SPDX-License-Identifier: Apache-2.0
// dns_channel: c-ares' sockets and deadlines as watchers of the loop. c-ares opens and closes its sockets from inside any
// call into it: so a watcher may be gone when such a call returns.
#include "net/dns_channel.h"

#include <ares.h>
#include <ev.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

enum { TRY_MS = 2000, TRIES = 3 }; /* of a server; whoever waits has a shorter deadline of its own */
#define DNS_CHANNEL_MAGIC 0xd45c4a71u

struct dns_channel {
  OBJ_MAGIC;
  struct ev_loop *loop; /* borrowed */
  ares_channel ares;    /* owned */
  ev_timer deadline;    /* c-ares' next one */
  struct list sockets;  /* owned: struct lookup_socket */
  unsigned references;
};

/* A socket of c-ares. */
struct lookup_socket {
  struct list link;
  struct dns_channel *channel; /* borrowed */
  ev_io watcher;
};

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable);
static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events);

/* --- life --------------------------------------------------------------------------------------------- */

static void start_library(void) { ares_library_init(ARES_LIB_INIT_ALL); }

static int open_ares(struct dns_channel *c, const char *servers) {
  struct ares_options options = {
      .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = c};
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE /* since 1.31 it keeps an answer without records for an hour; who asks minds the times */
  mask |= ARES_OPT_QUERY_CACHE; /* of no seconds */
#endif
  int status = ares_init_options(&c->ares, &options, mask);
  if (status != ARES_SUCCESS) return status;
  if (servers) status = ares_set_servers_ports_csv(c->ares, servers);
  if (status != ARES_SUCCESS) ares_destroy(c->ares);
  return status;
}

struct dns_channel *dns_channel_new(struct ev_loop *loop, const char *servers, int *status) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_library);
  struct dns_channel *c = memory_zalloc(sizeof *c);
  c->loop = loop;
  c->references = 1;
  list_init(&c->sockets);
  ev_timer_init(&c->deadline, on_deadline, 0., 0.);
  ev_set_priority(&c->deadline, EV_MINPRI); /* what has arrived goes first */
  c->deadline.data = c;
  *status = open_ares(c, servers);
  if (*status != ARES_SUCCESS) {
    free(c);
    return NULL;
  }
  OBJ_INIT(c, DNS_CHANNEL_MAGIC);
  return c;
}

void dns_channel_hold(struct dns_channel *channel) {
  CHECK_OBJ(channel, DNS_CHANNEL_MAGIC);
  channel->references++;
}

void dns_channel_release(struct dns_channel *channel) {
  CHECK_OBJ(channel, DNS_CHANNEL_MAGIC);
  if (--channel->references > 0) return;
  ares_destroy(channel->ares); /* closes the sockets, through the callback */
  CHECK(list_is_empty(&channel->sockets));
  ev_timer_stop(channel->loop, &channel->deadline);
  OBJ_END(channel, DNS_CHANNEL_MAGIC);
  free(channel);
}

void dns_channel_cancel(struct dns_channel *channel) { ares_cancel(channel->ares); }

struct ares_channeldata *dns_channel_ares(struct dns_channel *channel) {
  return channel->ares;
}

/* --- the loop ----------------------------------------------------------------------------------------- */

/* After each call into c-ares, which may have moved its deadline. */
void dns_channel_keep_deadline(struct dns_channel *c) {
  struct timeval left;
  ev_timer_stop(c->loop, &c->deadline);
  if (!ares_timeout(c->ares, NULL, &left)) return;
  double seconds = (double)left.tv_sec + (double)left.tv_usec / 1e6;
  ev_timer_set(&c->deadline, seconds < 0.001 ? 0.001 : seconds, 0.);
  ev_timer_start(c->loop, &c->deadline);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
  struct dns_channel *c = timer->data;
  (void)loop, (void)events;
  CHECK_OBJ(c, DNS_CHANNEL_MAGIC);
  ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  dns_channel_keep_deadline(c);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events) {
  struct lookup_socket *lookup_socket = watcher->data;
  struct dns_channel *c = lookup_socket->channel;
  int fd = watcher->fd; /* c-ares may close it, and so free the watcher, in the call */
  (void)loop;
  CHECK_OBJ(c, DNS_CHANNEL_MAGIC);
  ares_process_fd(c->ares, events & EV_READ ? fd : ARES_SOCKET_BAD, events & EV_WRITE ? fd : ARES_SOCKET_BAD);
  dns_channel_keep_deadline(c);
}

static struct lookup_socket *find_socket(struct dns_channel *c, int fd) {
  LIST_EACH(node, &c->sockets) {
    struct lookup_socket *found = LIST_ENTRY(node, struct lookup_socket, link);
    if (found->watcher.fd == fd) return found;
  }
  return NULL;
}

static struct lookup_socket *add_socket(struct dns_channel *c, int fd) {
  struct lookup_socket *added = memory_zalloc(sizeof *added);
  added->channel = c;
  ev_io_init(&added->watcher, on_socket, fd, 0);
  added->watcher.data = added;
  list_push_front(&c->sockets, &added->link);
  return added;
}

/* Neither readable nor writable wanted: c-ares is about to close it. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) {
  struct dns_channel *c = data;
  struct lookup_socket *of_fd = find_socket(c, fd);
  if (of_fd) ev_io_stop(c->loop, &of_fd->watcher);
  if (readable || writable) {
    if (!of_fd) of_fd = add_socket(c, fd);
    ev_io_set(&of_fd->watcher, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(c->loop, &of_fd->watcher);
  } else if (of_fd) {
    list_remove(&of_fd->link);
    free(of_fd);
  }
}
