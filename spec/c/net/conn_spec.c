// SPDX-License-Identifier: Apache-2.0
// Units for net/conn: a write that failed for want of memory here. The other side has not heard what it should answer,
// so nobody but the conn can tell the owner.
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/pipe.h"
#include "unit.h"

struct fixture {
  struct ev_loop *loop;
  struct conn conn;
  int peer; /* the other end, non-blocking */
  enum io (*read)(struct fixture *f);
  int reads;
  enum io last;
};

/* As owners do who leave it to the loop whether there is more. */
static enum io read_once(struct fixture *f) {
  char bytes[64];
  size_t moved = 0;
  return conn_read(&f->conn, bytes, sizeof bytes, &moved);
}

static enum io splice_or_read(struct fixture *f) {
  struct pipe *pipe = pipe_take();
  enum io result = conn_splice_in(&f->conn, pipe, 64);
  pipe_give(pipe);
  return result == IO_AGAIN ? read_once(f) : result;
}

static void on_readable(struct conn *conn) {
  struct fixture *f = conn->owner;
  f->reads++;
  f->last = f->read(f);
  if (f->last == IO_ERROR) conn_want_read(conn, false);
}
static void on_writable(struct conn *conn) { conn_want_write(conn, false); }
static const struct conn_events events = {on_readable, on_writable};

static void with_conn(enum io (*read)(struct fixture *f), void (*test)(struct fixture *f)) {
  struct fixture f = {.loop = ev_loop_new(0), .read = read};
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
  conn_init(&f.conn, f.loop, fds[0], &events, &f);
  f.peer = fds[1];
  test(&f);
  conn_close(&f.conn);
  close(f.peer);
  pipe_thread_end();
  ev_loop_destroy(f.loop);
}

static void turns(struct fixture *f, int count) {
  for (int i = 0; i < count; i++) ev_run(f->loop, EVRUN_NOWAIT);
}

static void fail_to_write(struct fixture *f) {
  f->conn.error = ENOBUFS;
  CHECK(conn_note_shortage(&f->conn, IO_ERROR) == IO_ERROR);
}

static void say(const struct fixture *f) { CHECK(send(f->peer, "answer", 6, MSG_NOSIGNAL) == 6); }

static void of_silence(struct fixture *f) {
  conn_want_read(&f->conn, true);
  turns(f, 2);
  CHECK(f->reads == 0);
  fail_to_write(f);
  turns(f, 2);
  CHECK(f->reads == 1 && f->last == IO_ERROR && conn_is_short(&f->conn));
}
IT("tells who reads that a write failed for want of memory, where the other side is silent") {
  with_conn(read_once, of_silence);
}

static void behind_bytes(struct fixture *f) {
  say(f);
  conn_want_read(&f->conn, true);
  fail_to_write(f);
  turns(f, 3);
  CHECK(f->reads == 2 && f->last == IO_ERROR);
}
IT("tells it behind what had come") { with_conn(read_once, behind_bytes); }
IT("tells it behind what had come and goes past the process") { with_conn(splice_or_read, behind_bytes); }

static void later(struct fixture *f) {
  fail_to_write(f);
  turns(f, 2);
  CHECK(f->reads == 0);
  conn_want_read(&f->conn, true);
  turns(f, 2);
  CHECK(f->reads == 1 && f->last == IO_ERROR);
}
IT("tells it to who did not want to read then, as soon as he does") { with_conn(read_once, later); }

static void of_a_loss(struct fixture *f) {
  f->conn.error = EPIPE;
  conn_want_read(&f->conn, true);
  CHECK(conn_note_shortage(&f->conn, IO_ERROR) == IO_ERROR);
  turns(f, 2);
  CHECK(f->reads == 0 && f->conn.fatal == 0);
}
IT("leaves it to the socket to tell of a connection that is lost") { with_conn(read_once, of_a_loss); }
