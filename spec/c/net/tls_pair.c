// SPDX-License-Identifier: Apache-2.0
// tls_pair: see tls_pair.h.
#include "tls_pair.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "certificates.h"
#include "net/tls_identity.h"
#include "unit.h"

static void count_readable(struct conn *conn) { ((struct pair *)conn->owner)->readable++; }
static void ignore(struct conn *conn) { (void)conn; }
static const struct conn_events events = {count_readable, ignore};

void pair_open(struct pair *pair) {
  int fds[2];
  signal(SIGPIPE, SIG_IGN);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  pair->loop = ev_loop_new(0);
  pair->readable = 0;
  conn_init(&pair->client, pair->loop, fds[0], &events, pair);
  conn_init(&pair->server, pair->loop, fds[1], &events, pair);
}

void pair_close(struct pair *pair) {
  conn_close(&pair->client);
  conn_close(&pair->server);
  ev_loop_destroy(pair->loop);
  tls_context_forget_clients();
}

void pair_serve(struct conn *conn) {
  const struct certificates *files = certificates();
  char *why = NULL;
  struct tls_context *context = tls_context_server(
      &(struct tls_server_options){
          .certificates =
              &(struct tls_files){.certificate = str_of(files->certificate), .key = str_of(files->key)},
          .count = 1},
      &why);
  if (!CHECK(context)) abort();
  tls_server(conn, context);
  tls_context_release(context);
}

enum io pair_put(struct conn *conn, struct str text, size_t *moved) {
  struct iovec part = {(void *)text.ptr, text.len};
  return conn_write(conn, &part, 1, moved);
}
