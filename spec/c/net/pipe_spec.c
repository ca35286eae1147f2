// SPDX-License-Identifier: Apache-2.0
// Units for net/pipe, and for how net/conn fills and empties one.
#include "net/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "net/conn.h"
#include "sandbox.h"
#include "unit.h"

static char text[65536], heard[sizeof text];

struct side {
  struct conn conn;
  int peer; /* the other end */
};

struct fixture {
  struct ev_loop *loop;
  struct side from, to;
};

static const struct conn_events events;

static void open_side(struct side *side, struct ev_loop *loop) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
  conn_init(&side->conn, loop, fds[0], &events, NULL);
  side->peer = fds[1];
}

static void close_side(struct side *side) {
  conn_close(&side->conn);
  close(side->peer);
}

static void with_conns(void (*test)(struct fixture *f)) {
  struct fixture f = {.loop = ev_loop_new(0)};
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 31 + i / 256);
  open_side(&f.from, f.loop);
  open_side(&f.to, f.loop);
  test(&f);
  close_side(&f.from);
  close_side(&f.to);
  ev_loop_destroy(f.loop);
  pipe_thread_end();
}

static void say(struct side *side, size_t count) { CHECK(write(side->peer, text, count) == (ssize_t)count); }
static bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static void past_us(struct fixture *f) {
  struct pipe *pipe = pipe_take();
  say(&f->from, 5000);
  CHECK(conn_splice_in(&f->from.conn, pipe, 4000) == IO_OK);
  CHECK(pipe->bytes == 4000);
  CHECK(conn_splice_out(&f->to.conn, pipe) == IO_OK);
  CHECK(pipe->bytes == 0);
  CHECK(read(f->to.peer, heard, sizeof heard) == 4000 && memcmp(heard, text, 4000) == 0);
  pipe_give(pipe);
}
IT("takes bytes from one conn to another, no more than it is asked to") { with_conns(past_us); }

static void nothing_there(struct fixture *f) {
  struct pipe *pipe = pipe_take();
  CHECK(conn_splice_in(&f->from.conn, pipe, 100) == IO_AGAIN);
  shutdown(f->from.peer, SHUT_WR);
  CHECK(conn_splice_in(&f->from.conn, pipe, 100) == IO_EOF);
  CHECK(pipe->bytes == 0);
  pipe_give(pipe);
}
IT("says when there is nothing, and when there will be nothing more") { with_conns(nothing_there); }

static size_t stuff(struct side *side) {
  size_t stuffed = 0;
  for (ssize_t put; (put = send(side->conn.fd, text, 1000, 0)) > 0;) stuffed += (size_t)put;
  return stuffed;
}

static void empty(struct side *side, size_t count) {
  while (count) {
    ssize_t got = read(side->peer, heard, count < sizeof heard ? count : sizeof heard);
    if (got <= 0) break;
    count -= (size_t)got;
  }
  CHECK(count == 0);
}

static void full_sink(struct fixture *f) {
  struct pipe *pipe = pipe_take();
  size_t stuffed = stuff(&f->to);
  say(&f->from, 3000);
  CHECK(conn_splice_in(&f->from.conn, pipe, 3000) == IO_OK);
  CHECK(conn_splice_out(&f->to.conn, pipe) == IO_AGAIN);
  CHECK(pipe->bytes == 3000);
  empty(&f->to, stuffed);
  CHECK(conn_splice_out(&f->to.conn, pipe) == IO_OK && pipe->bytes == 0);
  CHECK(read(f->to.peer, heard, sizeof heard) == 3000 && memcmp(heard, text, 3000) == 0);
  pipe_give(pipe);
}
IT("keeps what the other conn does not take") { with_conns(full_sink); }

static void gone_sink(struct fixture *f) {
  struct pipe *pipe = pipe_take();
  say(&f->from, 10);
  CHECK(conn_splice_in(&f->from.conn, pipe, 10) == IO_OK);
  shutdown(f->to.peer, SHUT_RD);
  signal(SIGPIPE, SIG_IGN); /* as the process does: splice has no flag for it */
  CHECK(conn_splice_out(&f->to.conn, pipe) == IO_ERROR);
  CHECK(f->to.conn.error == EPIPE);
  pipe_give(pipe);
}
IT("tells that the other conn is gone") { with_conns(gone_sink); }

static void taken_again(struct fixture *f) {
  struct pipe *first = pipe_take();
  (void)f;
  pipe_give(first);
  CHECK(pipe_take() == first);
  pipe_give(first);
}
IT("is kept when it is given back empty") { with_conns(taken_again); }

static void given_full(struct fixture *f) {
  struct pipe *pipe = pipe_take();
  int end = pipe->read_end;
  say(&f->from, 10);
  CHECK(conn_splice_in(&f->from.conn, pipe, 10) == IO_OK);
  pipe_give(pipe);
  CHECK(!is_open(end));
}
IT("is closed when it is given back with bytes in it: the next one gets none of them") {
  with_conns(given_full);
}

static void too_many(struct fixture *f) {
  struct pipe *taken[PIPES_MOST + 1];
  struct rlimit files;
  unsigned count = 0;
  (void)f;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) abort();
  while (count <= PIPES_MOST && (taken[count] = pipe_take())) count++;
  CHECK(count == (files.rlim_cur / 32 < PIPES_MOST ? files.rlim_cur / 32 : PIPES_MOST));
  CHECK(!pipe_take());
  int last = taken[count - 1]->read_end;
  for (unsigned i = 0; i < count; i++) pipe_give(taken[i]);
  CHECK(count <= PIPES_SPARE || !is_open(last)); /* more than are kept */
  struct pipe *again = pipe_take();
  CHECK(again);
  pipe_give(again);
}
IT("is not to be had when a thread has many, or a sixteenth of all descriptors are ends of pipes") {
  with_conns(too_many);
}

struct refusal {
  struct fixture *f;
  int error;
};

static void *without_splice(void *argument) {
  struct refusal *refusal = argument;
  struct conn *from = &refusal->f->from.conn;
  struct pipe *pipe = pipe_take();
  size_t moved = 0;
  sandbox_forbid(SYS_splice, refusal->error);
  say(&refusal->f->from, 10);
  CHECK(conn_splice_in(from, pipe, 10) == IO_AGAIN);
  CHECK(conn_read(from, heard, sizeof heard, &moved) == IO_OK && moved == 10);
  CHECK(!pipe_take());
  pipe_give(pipe);
  pipe_thread_end();
  return NULL;
}

static unsigned told;
static void count_line(enum log_level level, const char *line) {
  told += level == LOG_INFO && strstr(line, "long bodies are copied");
}

static void unusable(struct fixture *f) {
  int errors[] = {ENOSYS, EPERM, EINVAL};
  told = 0;
  log_catch(count_line);
  for (int i = 0; i < 3; i++) {
    struct refusal refusal = {f, errors[i]};
    pthread_t thread;
    if (pthread_create(&thread, NULL, without_splice, &refusal) != 0) abort();
    pthread_join(thread, NULL);
  }
  log_catch(NULL);
  CHECK(told == 3);
}
IT("is not to be had any more where the system has no splice, or a sandbox forbids it") {
  with_conns(unusable);
}
