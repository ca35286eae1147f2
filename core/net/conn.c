// SPDX-License-Identifier: Apache-2.0
// conn: watchers and the plain transport. The hard problem is to keep the watchers right with TLS, where reading
// may need the socket to be writable and decrypted bytes may wait while the socket is silent: sync_watchers sets
// both watchers from four flags after each call, so they do not change in the steady state.
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "net/descriptors.h"
#include "net/outbox.h"

struct unsent {
  size_t at, bytes;
  char text[];
};

static enum io send_unsent(struct conn *conn);

static void set_watcher(struct ev_loop *loop, ev_io *watcher, bool on) {
  if (on == (bool)ev_is_active(watcher)) return;
  if (on)
    ev_io_start(loop, watcher);
  else
    ev_io_stop(loop, watcher);
}

static void sync_watchers(struct conn *conn) {
  if (!conn_is_open(conn)) return;
  set_watcher(conn->loop, &conn->reader, conn->wants_read || conn->write_needs_read);
  set_watcher(conn->loop, &conn->writer,
              conn->wants_write || conn->read_needs_write || conn->shuts || conn->unsent);
}

/* libev has stopped a watcher, since the kernel had no memory to watch the socket: nothing would be told any more. */
static void go_blind(struct conn *conn) {
  conn->error = conn->fatal = ENOMEM;
  sync_watchers(conn);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct conn *conn = watcher->data;
  (void)loop;
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn) && watcher == &conn->reader);
  if (events & EV_ERROR) {
    go_blind(conn);
    conn_feed(conn); /* once more, behind what can be read now */
  }
  if (conn->write_needs_read) {
    conn->write_needs_read = false;
    sync_watchers(conn);
    conn->events->on_writable(conn);
  }
  if (conn_is_open(conn) && conn->wants_read) conn->events->on_readable(conn);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct conn *conn = watcher->data;
  (void)loop;
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn) && watcher == &conn->writer);
  if (events & EV_ERROR) go_blind(conn);
  conn->tight = false;
  if (conn->unsent && send_unsent(conn) == IO_AGAIN) return;
  if (conn->shuts) conn_shutdown(conn);
  if (conn->read_needs_write) {
    conn->read_needs_write = false;
    sync_watchers(conn);
    conn->events->on_readable(conn);
  }
  if (conn_is_open(conn) && conn->wants_write) conn->events->on_writable(conn);
}

void conn_init(struct conn *conn, struct ev_loop *loop, int fd, const struct conn_events *events,
               void *owner) {
  *conn =
      (struct conn){.transport = &transport_plain, .events = events, .owner = owner, .loop = loop, .fd = fd};
  conn->outbox = ev_userdata(loop);
  ev_io_init(&conn->reader, on_readable, fd, EV_READ);
  ev_io_init(&conn->writer, on_writable, fd, EV_WRITE);
  conn->reader.data = conn->writer.data = conn;
  OBJ_INIT(conn, CONN_MAGIC);
}

void conn_adopt(struct conn *conn, const struct conn_events *events, void *owner) {
  CHECK_OBJ(conn, CONN_MAGIC);
  conn->events = events;
  conn->owner = owner;
}

static void stop_watchers(struct conn *conn) {
  ev_io_stop(conn->loop, &conn->reader);
  ev_io_stop(conn->loop, &conn->writer);
  ev_clear_pending(conn->loop, &conn->reader);
}

static void send_staged(struct conn *conn) {
  if (conn->staged) outbox_send(conn->outbox, conn);
}

static void forget_unsent(struct conn *conn) {
  free(conn->unsent);
  conn->unsent = NULL;
}

/* libev takes a socket out of the kernel's table when an event comes that nobody wants, not when its watchers
 * stop; by then the socket is another thread's, or its number another socket's. So we do it, and ask libev which
 * table that is: it may have made a new one. The probe starts and stops within a turn, of which the kernel sees
 * nothing. */
static void forget_socket(struct ev_loop *loop, int fd) {
  ev_embed probe;
  if (ev_backend(loop) != EVBACKEND_EPOLL) return; /* the others keep no table of their own */
  ev_embed_init(&probe, NULL, loop);
  ev_embed_start(loop, &probe);
  ev_embed_stop(loop, &probe);
  epoll_ctl(probe.io.fd, EPOLL_CTL_DEL, fd, &(struct epoll_event){0});
}

struct detached_conn conn_detach(struct conn *conn) {
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn));
  struct detached_conn detached = {conn->transport, conn->tls, conn->fd};
  send_staged(conn);
  forget_unsent(conn);
  conn->transport->detach(conn);
  stop_watchers(conn);
  forget_socket(conn->loop, conn->fd);
  conn->transport = &transport_plain;
  conn->tls = NULL;
  conn->fd = -1;
  conn->wants_read = conn->wants_write = false;
  return detached;
}

void conn_attach(struct conn *conn, const struct detached_conn *detached, struct ev_loop *loop,
                 const struct conn_events *events, void *owner) {
  CHECK(detached->fd >= 0);
  conn_init(conn, loop, detached->fd, events, owner);
  conn->transport = detached->transport;
  conn->tls = detached->tls;
}

void detached_conn_close(const struct detached_conn *detached) {
  struct conn conn = {.transport = detached->transport, .tls = detached->tls, .fd = detached->fd};
  conn.transport->close(&conn);
  close(conn.fd);
}

void conn_close(struct conn *conn) {
  if (!conn_is_open(conn)) return;
  CHECK_OBJ(conn, CONN_MAGIC);
  send_staged(conn);
  forget_unsent(conn);
  stop_watchers(conn);
  conn->transport->close(conn);
  close(conn->fd);
  conn->fd = -1;
  conn->wants_read = conn->wants_write = false;
  CHECK(!conn->staged && !conn->unsent);
}

void conn_feed(struct conn *conn) {
  if (conn_is_open(conn)) ev_feed_event(conn->loop, &conn->reader, EV_READ);
}

static enum io fail_for_good(struct conn *conn) {
  conn->error = conn->fatal;
  return IO_ERROR;
}

enum io conn_note_shortage(struct conn *conn, enum io result) {
  if (result != IO_ERROR || !conn_is_short(conn)) return result;
  conn->fatal = conn->error;
  conn_feed(conn);
  return result;
}

/* Its owner, who reads no further than to what was there, is called once more: the other side has not heard of what
 * it should answer, so nothing else may ever call him. */
static enum io read_after_fatal(struct conn *conn, enum io result) {
  bool is_cause = result == IO_ERROR && descriptors_want(conn->fatal);
  if (result == IO_AGAIN || is_cause) return fail_for_good(conn);
  if (result == IO_OK) conn_feed(conn);
  return result;
}

static __attribute__((noinline)) enum io read_not_plainly(struct conn *conn, enum io result) {
  if (conn->fatal) result = read_after_fatal(conn, result);
  if (!conn->tls) return result;
  sync_watchers(conn);
  if (result == IO_OK && conn->wants_read && conn->transport->pending(conn)) conn_feed(conn);
  return result;
}

enum io conn_read(struct conn *conn, void *bytes, size_t count, size_t *moved) {
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn) && count);
  enum io result = conn->transport->read(conn, bytes, count, moved);
  CHECK(result != IO_OK || (*moved > 0 && *moved <= count));
  return conn->tls || conn->fatal ? read_not_plainly(conn, result) : result;
}

enum io conn_send_earlier(struct conn *conn) {
  send_staged(conn);
  if (conn->fatal) return fail_for_good(conn);
  return conn->unsent ? send_unsent(conn) : IO_OK;
}

static size_t bytes_of(const struct iovec *parts, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
  return bytes;
}

enum io conn_write(struct conn *conn, const struct iovec *parts, int count, size_t *moved) {
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn) && count > 0);
  enum io result = conn_send_earlier(conn);
  if (result != IO_OK) return result;
  result = conn_note_shortage(conn, conn->transport->write(conn, parts, count, moved));
  CHECK(result != IO_OK || *moved <= bytes_of(parts, count));
  if (conn->tls)
    sync_watchers(conn);
  else
    conn->tight = result != IO_OK || *moved < bytes_of(parts, count);
  return result;
}

bool conn_stage(struct conn *conn, const struct iovec *parts, int count, size_t bytes) {
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(bytes == bytes_of(parts, count));
  if (!conn->outbox || conn->tls || conn_has_unsent(conn) || conn->tight || conn->fatal) return false;
  return outbox_put(conn->outbox, conn, parts, count, bytes);
}

/* FIN waits for what the transport still has to say: a close_notify that is lost would make a whole message
 * look cut. */
void conn_shutdown(struct conn *conn) {
  if (!conn_is_open(conn)) return;
  send_staged(conn);
  conn->shuts = conn->unsent || conn->transport->shutdown(conn) == IO_AGAIN;
  if (!conn->shuts) shutdown(conn->fd, SHUT_WR);
  sync_watchers(conn);
}

void conn_want_read(struct conn *conn, bool on) {
  if (conn->wants_read == on || !conn_is_open(conn)) return;
  conn->wants_read = on;
  sync_watchers(conn);
  if (on && conn->fatal) conn_feed(conn);
  if (on) conn_feed_decrypted(conn);
}

void conn_feed_decrypted(struct conn *conn) {
  if (conn->tls && conn->transport->pending(conn)) conn_feed(conn);
}

void conn_want_write(struct conn *conn, bool on) {
  if (conn->wants_write == on || !conn_is_open(conn)) return;
  conn->wants_write = on;
  sync_watchers(conn);
}

bool conn_is_short(const struct conn *conn) { return descriptors_want(conn->error); }

const char *conn_error(const struct conn *conn) {
  if (conn->error) return strerror(conn->error);
  return conn->transport->failure(conn);
}

/* --- plain ---------------------------------------------------------------------------------------------- */

enum io conn_fail(struct conn *conn) {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return IO_AGAIN;
  conn->error = errno;
  return IO_ERROR;
}

/* A thread can be cancelled in recv(2) and send(2), for which the C library prepares with two locked instructions each
 * time, once there is a second thread. None of ours is cancelled ever, so the two that each request needs are called
 * without. Sanitizers know the functions only. */
static ssize_t receive(int fd, void *bytes, size_t count) {
#if defined SYS_recvfrom && !defined INVARIANTS
  return syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL);
#else
  return recv(fd, bytes, count, 0);
#endif
}

static ssize_t send_bytes(int fd, const void *bytes, size_t count) {
#if defined SYS_sendto && !defined INVARIANTS
  return syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, NULL, 0);
#else
  return send(fd, bytes, count, MSG_NOSIGNAL);
#endif
}

static enum io plain_read(struct conn *conn, void *bytes, size_t count, size_t *moved) {
  ssize_t got = receive(conn->fd, bytes, count);
  if (got < 0) return conn_fail(conn);
  *moved = (size_t)got;
  return got ? IO_OK : IO_EOF;
}

static enum io plain_write(struct conn *conn, const struct iovec *parts, int count, size_t *moved) {
  struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
  ssize_t put = count == 1 ? send_bytes(conn->fd, parts->iov_base, parts->iov_len)
                           : sendmsg(conn->fd, &message, MSG_NOSIGNAL);
  if (put < 0) return conn_fail(conn);
  *moved = (size_t)put;
  return IO_OK;
}

/* --- what was staged ------------------------------------------------------------------------------------ */

/* Staged bytes could not be sent: the owner gets the error from its next call, and is called for that. */
static void fail_staged(struct conn *conn) {
  conn->fatal = conn->error;
  forget_unsent(conn);
  sync_watchers(conn);
  conn_feed(conn);
}

static struct unsent *unsent_of(const char *bytes, size_t count) {
  struct unsent *unsent = memory_alloc(sizeof *unsent + count);
  unsent->at = 0;
  unsent->bytes = count;
  memcpy(unsent->text, bytes, count);
  return unsent;
}

void conn_send_staged(struct conn *conn, const char *text, size_t bytes) {
  struct iovec part = {(void *)text, bytes};
  size_t moved = 0;
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn) && conn->staged && !conn->unsent);
  conn->staged = false;
  if (plain_write(conn, &part, 1, &moved) == IO_ERROR) {
    fail_staged(conn);
    return;
  }
  CHECK(moved <= bytes);
  if (moved == bytes) return;
  conn->unsent = unsent_of(text + moved, bytes - moved);
  sync_watchers(conn);
}

static enum io send_unsent(struct conn *conn) {
  struct unsent *unsent = conn->unsent;
  while (unsent->at < unsent->bytes) {
    struct iovec part = {unsent->text + unsent->at, unsent->bytes - unsent->at};
    size_t moved = 0;
    enum io result = plain_write(conn, &part, 1, &moved);
    if (result == IO_ERROR) fail_staged(conn);
    if (result != IO_OK) return result;
    unsent->at += moved;
  }
  forget_unsent(conn);
  sync_watchers(conn);
  return IO_OK;
}

static enum io plain_shutdown(struct conn *conn) {
  (void)conn;
  return IO_OK;
}
static bool plain_pending(const struct conn *conn) {
  (void)conn;
  return false;
}
static void plain_detach(struct conn *conn) { (void)conn; }
static const char *plain_failure(const struct conn *conn) {
  (void)conn;
  return "connection error";
}
static void plain_close(struct conn *conn) { (void)conn; }

const struct transport transport_plain = {plain_read,   plain_write,   plain_shutdown, plain_pending,
                                          plain_detach, plain_failure, plain_close};
