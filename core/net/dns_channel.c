// SPDX-License-Identifier: Apache-2.0
// dns_channel: c-ares' sockets and deadlines as watchers of the loop. c-ares opens and closes its sockets during any
// call of it, so a watcher may be gone when the call returns. It also delivers answers during such calls.
#include "net/dns_channel.h"

#include <ares.h>
#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"

enum { CLASS_IN = 1 };
#define LOOK_AGAIN_S      0.05
#define DNS_CHANNEL_MAGIC 0xd45c4a71u

struct dns_channel {
  OBJ_MAGIC;
  struct ev_loop *loop; /* borrowed */
  ares_channel ares;    /* owned */
  ev_timer deadline;    /* c-ares' next one */
  struct list sockets;  /* owned: struct lookup_socket */
  bool is_inside;       /* c-ares calls us */
  bool is_blind;        /* the kernel had no memory to watch a socket: to be tried again */
};

/* Where an answer goes. */
struct errand {
  dns_channel_done *done;
  void *owner;
};

/* A socket of c-ares. */
struct lookup_socket {
  struct list link;
  struct dns_channel *channel; /* borrowed */
  ev_io watcher;
};

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable);
static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events);
static void keep_deadline(struct dns_channel *c);

/* --- life --------------------------------------------------------------------------------------------- */

static void start_library(void) { ares_library_init(ARES_LIB_INIT_ALL); }

static int open_ares(struct dns_channel *c, const char *server, unsigned patience_ms) {
  struct ares_options options = {
      .flags = ARES_FLAG_NOCHECKRESP, /* a server that says it cannot is not one that is silent */
      .timeout = (int)patience_ms,
      .tries = 1,
      .sock_state_cb = on_socket_state,
      .sock_state_cb_data = c};
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE     /* since 1.31; ours is net/name_cache */
  mask |= ARES_OPT_QUERY_CACHE; /* of no seconds */
#endif
  int status = ares_init_options(&c->ares, &options, mask);
  if (status != ARES_SUCCESS) return status;
  status = ares_set_servers_ports_csv(c->ares, server);
  if (status != ARES_SUCCESS) ares_destroy(c->ares);
  return status;
}

struct dns_channel *dns_channel_new(struct ev_loop *loop, const char *server, unsigned patience_ms,
                                    int *status) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_library);
  struct dns_channel *c = memory_zalloc(sizeof *c);
  c->loop = loop;
  list_init(&c->sockets);
  ev_timer_init(&c->deadline, on_deadline, 0., 0.);
  ev_set_priority(&c->deadline, EV_MINPRI); /* what has arrived goes first */
  c->deadline.data = c;
  *status = open_ares(c, server, patience_ms);
  if (*status != ARES_SUCCESS) {
    free(c);
    return NULL;
  }
  OBJ_INIT(c, DNS_CHANNEL_MAGIC);
  return c;
}

void dns_channel_free(struct dns_channel *c) {
  if (!c) return;
  CHECK_OBJ(c, DNS_CHANNEL_MAGIC);
  CHECK(!c->is_inside);
  ares_destroy(c->ares); /* closes the sockets, through the callback */
  CHECK(list_is_empty(&c->sockets));
  ev_timer_stop(c->loop, &c->deadline);
  OBJ_END(c, DNS_CHANNEL_MAGIC);
  free(c);
}

/* --- questions ---------------------------------------------------------------------------------------- */

static void on_answer(void *data, int status, int timeouts, unsigned char *message, int length) {
  struct errand *errand = data;
  (void)timeouts;
  errand->done(errand->owner, status, message, message && length > 0 ? (size_t)length : 0);
  free(errand);
}

/* c-ares 1.28 and later would rather have ares_query_dnsrec, which earlier ones do not have. */
void dns_channel_ask(struct dns_channel *c, const char *name, int type, dns_channel_done *done, void *owner) {
  CHECK_OBJ(c, DNS_CHANNEL_MAGIC);
  struct errand *errand = memory_alloc(sizeof *errand);
  *errand = (struct errand){done, owner};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  ares_query(c->ares, name, CLASS_IN, type, on_answer, errand);
#pragma GCC diagnostic pop
  keep_deadline(c);
}

/* --- the loop ----------------------------------------------------------------------------------------- */

/* After each call into c-ares, which may have moved its deadline. */
static void keep_deadline(struct dns_channel *c) {
  struct timeval left;
  ev_timer_stop(c->loop, &c->deadline);
  if (!ares_timeout(c->ares, NULL, &left)) return;
  double seconds = (double)left.tv_sec + (double)left.tv_usec / 1e6;
  if (c->is_blind && seconds > LOOK_AGAIN_S) seconds = LOOK_AGAIN_S;
  ev_timer_set(&c->deadline, seconds < 0.001 ? 0.001 : seconds, 0.);
  ev_timer_start(c->loop, &c->deadline);
}

static void watch_again(struct dns_channel *c) {
  c->is_blind = false;
  LIST_EACH(node, &c->sockets) {
    ev_io *watcher = &LIST_ENTRY(node, struct lookup_socket, link)->watcher;
    ev_io_start(c->loop, watcher); /* nothing, where it is active */
  }
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events) {
  struct dns_channel *c = timer->data;
  (void)loop, (void)events;
  CHECK_OBJ(c, DNS_CHANNEL_MAGIC);
  if (c->is_blind) watch_again(c);
  c->is_inside = true;
  ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  c->is_inside = false;
  keep_deadline(c);
}

static void on_socket(struct ev_loop *loop, ev_io *watcher, int events) {
  struct lookup_socket *lookup_socket = watcher->data;
  struct dns_channel *c = lookup_socket->channel;
  int fd = watcher->fd; /* c-ares may close it, and so free the watcher, in the call */
  (void)loop;
  CHECK_OBJ(c, DNS_CHANNEL_MAGIC);
  if (events & EV_ERROR) c->is_blind = true; /* libev has stopped the watcher */
  c->is_inside = true;
  ares_process_fd(c->ares, events & EV_READ ? fd : ARES_SOCKET_BAD, events & EV_WRITE ? fd : ARES_SOCKET_BAD);
  c->is_inside = false;
  keep_deadline(c);
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
