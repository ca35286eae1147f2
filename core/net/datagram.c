// SPDX-License-Identifier: Apache-2.0
// datagram: see datagram.h. A unix socket gets a name of its own from the kernel, or nobody could answer it.
#include "net/datagram.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/container.h"
#include "net/addr.h"

static void on_event(struct ev_loop *loop, ev_io *watcher, int events) {
  struct datagram *d = CONTAINER_OF(watcher, struct datagram, reader);
  (void)loop;
  d->is_blind = (events & EV_ERROR) != 0; /* the kernel had no memory to watch it: libev has stopped */
  d->on_readable(d);
}

static bool bind_if_local(int fd, const struct addr *to) {
  sa_family_t family = AF_UNIX;
  return to->kind != ADDR_UNIX || bind(fd, (const struct sockaddr *)&family, sizeof family) == 0;
}

bool datagram_open(struct datagram *d, struct ev_loop *loop, const struct addr *to,
                   void (*on_readable)(struct datagram *d)) {
  *d = (struct datagram){.loop = loop, .on_readable = on_readable};
  d->fd = socket(addr_family(to), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (d->fd < 0) return false;
  ev_io_init(&d->reader, on_event, d->fd, EV_READ);
  if (bind_if_local(d->fd, to) && connect(d->fd, &to->socket.any, to->length) == 0) return true;
  int error = errno;
  datagram_close(d);
  errno = error;
  return false;
}

int datagram_send(struct datagram *d, struct str text) {
  if (send(d->fd, text.len ? text.ptr : "", text.len, MSG_NOSIGNAL) >= 0) return 0;
  return errno == EAGAIN || errno == ENOBUFS ? 0 : errno;
}

int datagram_receive(struct datagram *d, char *room, size_t bytes, size_t *got) {
  ssize_t result = recv(d->fd, room, bytes, 0);
  *got = result < 0 ? 0 : (size_t)result;
  if (result >= 0) return 0;
  return errno == EAGAIN && d->is_blind ? ENOMEM : errno;
}

int datagram_look(const struct datagram *d) {
  char byte;
  return recv(d->fd, &byte, 1, MSG_PEEK) < 0 ? errno : 0;
}

void datagram_want(struct datagram *d, bool on) {
  if (on)
    ev_io_start(d->loop, &d->reader);
  else
    ev_io_stop(d->loop, &d->reader);
}

void datagram_close(struct datagram *d) {
  if (d->fd < 0) return;
  ev_io_stop(d->loop, &d->reader);
  close(d->fd);
  d->fd = -1;
}
