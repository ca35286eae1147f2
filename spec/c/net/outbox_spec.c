// SPDX-License-Identifier: Apache-2.0
// Units for net/outbox, and what net/conn makes of it.
#include "net/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "unit.h"

struct fixture {
  struct ev_loop *loop;
  struct outbox outbox;
  struct conn conn;
  int peer; /* the other end, non-blocking */
  int readable, writable;
};

static void on_readable(struct conn *conn) { ((struct fixture *)conn->owner)->readable++; }
static void on_writable(struct conn *conn) { ((struct fixture *)conn->owner)->writable++; }
static const struct conn_events events = {on_readable, on_writable};

static void with_conn(void (*test)(struct fixture *f)) {
  struct fixture f = {.loop = ev_loop_new(0)};
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
  outbox_init(&f.outbox, f.loop);
  conn_init(&f.conn, f.loop, fds[0], &events, &f);
  f.peer = fds[1];
  test(&f);
  conn_close(&f.conn);
  outbox_stop(&f.outbox);
  close(f.peer);
  ev_loop_destroy(f.loop);
}

static void turn(struct fixture *f) { ev_run(f->loop, EVRUN_NOWAIT); }

static enum io say(struct conn *conn, const char *text) {
  size_t moved = 0;
  struct iovec part = {(void *)text, strlen(text)};
  return conn_write(conn, &part, 1, &moved);
}

static enum io say_soon(struct conn *conn, const char *text) {
  struct iovec part = {(void *)text, strlen(text)};
  return conn_stage(conn, &part, 1, strlen(text)) ? IO_OK : say(conn, text);
}

/* What the peer has got; "" for nothing, NULL for the end. */
static const char *heard(struct fixture *f) {
  static char text[256];
  ssize_t got = recv(f->peer, text, sizeof text - 1, 0);
  if (got == 0) return NULL;
  text[got < 0 ? 0 : got] = '\0';
  return text;
}

static bool hears(struct fixture *f, const char *text) {
  const char *got = heard(f);
  return text && got ? strcmp(got, text) == 0 : text == got;
}

static void end_of_turn(struct fixture *f) {
  CHECK(say_soon(&f->conn, "one") == IO_OK);
  CHECK(conn_has_unsent(&f->conn));
  CHECK(hears(f, ""));
  turn(f);
  CHECK(!conn_has_unsent(&f->conn));
  CHECK(hears(f, "one"));
}
IT("sends at the end of the loop's turn") { with_conn(end_of_turn); }

static void in_order(struct fixture *f) {
  CHECK(say_soon(&f->conn, "one ") == IO_OK);
  CHECK(say_soon(&f->conn, "two ") == IO_OK); /* sent before the turn ends, with the first before it */
  CHECK(say(&f->conn, "three") == IO_OK);
  turn(f);
  CHECK(hears(f, "one two three"));
}
IT("keeps the order of what is written soon and at once") { with_conn(in_order); }

static void too_large(struct fixture *f) {
  char *text = calloc(1, OUTBOX_MOST_BYTES + 2);
  memset(text, 'a', OUTBOX_MOST_BYTES + 1);
  CHECK(say_soon(&f->conn, text) == IO_OK);
  CHECK(!conn_has_unsent(&f->conn));
  free(text);
}
IT("sends large writes at once") { with_conn(too_large); }

static void when_full(struct fixture *f) {
  struct conn others[OUTBOX_ITEMS];
  CHECK(say_soon(&f->conn, "first") == IO_OK);
  for (int i = 0; i < OUTBOX_ITEMS; i++) {
    conn_init(&others[i], f->loop, dup(f->conn.fd), &events, f);
    CHECK(say_soon(&others[i], "x") == IO_OK);
  }
  CHECK(!conn_has_unsent(&f->conn));
  CHECK(strncmp(heard(f), "first", 5) == 0);
  for (int i = 0; i < OUTBOX_ITEMS; i++) conn_close(&others[i]);
}
IT("makes room when it is full") { with_conn(when_full); }

static void early(struct fixture *f) {
  size_t taken = 0;
  char text[OUTBOX_MOST_BYTES + 1];
  memset(text, 'a', OUTBOX_MOST_BYTES);
  text[OUTBOX_MOST_BYTES] = '\0';
  for (; taken < 3 * OUTBOX_BYTES; taken += OUTBOX_MOST_BYTES) {
    CHECK(say_soon(&f->conn, text) == IO_OK && f->conn.staged);
    CHECK(say(&f->conn, "b") == IO_OK); /* what is staged goes before it */
    while (recv(f->peer, text, sizeof text - 1, 0) > 0) {
    }
    memset(text, 'a', OUTBOX_MOST_BYTES);
  }
}
IT("has room again for what was sent before the end of the turn") { with_conn(early); }

enum { OTHERS = 4 };

static void several(struct fixture *f) {
  struct conn others[OTHERS];
  int peers[OTHERS];
  for (int i = 0; i < OTHERS; i++) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
    peers[i] = fds[1];
    conn_init(&others[i], f->loop, fds[0], &events, f);
    conn_want_read(&others[i], true);
    if (i == 0) shutdown(peers[0], SHUT_RDWR); /* first: a slow machine sends the outbox at any time */
    CHECK(say_soon(&others[i], "to another") == IO_OK);
  }
  CHECK(say_soon(&f->conn, "one") == IO_OK);
  conn_close(&others[2]);
  turn(f);
  CHECK(hears(f, "one"));
  for (int i = 0; i < OTHERS; i++) {
    char text[16] = {0};
    ssize_t got = recv(peers[i], text, sizeof text, 0);
    CHECK(i == 0 ? got == 0 : strcmp(text, "to another") == 0);
    CHECK(others[i].fatal == (i == 0 ? EPIPE : 0));
    conn_close(&others[i]);
    close(peers[i]);
  }
}
IT("sends to all together, to each its own, and a loss is told to whom it concerns") { with_conn(several); }

static void on_close(struct fixture *f) {
  CHECK(say_soon(&f->conn, "last words") == IO_OK);
  conn_close(&f->conn);
  CHECK(hears(f, "last words"));
  CHECK(hears(f, NULL));
  turn(f);
}
IT("sends what is staged before the connection closes") { with_conn(on_close); }

static void on_shutdown(struct fixture *f) {
  CHECK(say_soon(&f->conn, "last words") == IO_OK);
  conn_shutdown(&f->conn);
  CHECK(hears(f, "last words"));
  CHECK(hears(f, NULL));
}
IT("sends what is staged before it ends our direction") { with_conn(on_shutdown); }

struct late {
  ev_prepare watcher;
  struct fixture *fixture;
};

static void on_late(struct ev_loop *loop, ev_prepare *watcher, int events_seen) {
  (void)loop, (void)events_seen;
  say_soon(&((struct late *)watcher)->fixture->conn, "late");
}

static void behind_the_end(struct fixture *f) {
  struct late late = {.fixture = f};
  ev_prepare_init(&late.watcher, on_late);
  ev_set_priority(&late.watcher, EV_MINPRI);
  ev_prepare_start(f->loop, &late.watcher);
  turn(f);
  CHECK(hears(f, "late"));
  ev_prepare_stop(f->loop, &late.watcher);
}
IT("sends at once between the end of the turn and the wait") { with_conn(behind_the_end); }

/* --- a socket that takes no more ------------------------------------------------------------------------ */

static size_t fill(struct fixture *f) {
  char text[1024];
  size_t total = 0;
  memset(text, 'f', sizeof text);
  for (ssize_t put; (put = send(f->conn.fd, text, sizeof text, MSG_NOSIGNAL)) > 0;) total += (size_t)put;
  return total;
}

static void drain(struct fixture *f, size_t total) {
  char text[1024];
  while (total) {
    ssize_t got = recv(f->peer, text, total < sizeof text ? total : sizeof text, 0);
    if (!CHECK(got > 0)) return;
    total -= (size_t)got;
  }
}

static void no_room(struct fixture *f) {
  size_t before = fill(f);
  CHECK(say_soon(&f->conn, "one ") == IO_OK);
  turn(f);
  CHECK(conn_has_unsent(&f->conn) && !f->conn.staged);
  CHECK(say_soon(&f->conn, "two") == IO_AGAIN);
  CHECK(say(&f->conn, "two") == IO_AGAIN);
  conn_want_write(&f->conn, true);
  turn(f);
  CHECK(f->writable == 0);
  drain(f, before);
  ev_run(f->loop, EVRUN_ONCE);
  CHECK(f->writable == 1 && !conn_has_unsent(&f->conn));
  CHECK(say_soon(&f->conn, "two") == IO_OK);
  turn(f);
  CHECK(hears(f, "one two"));
}
IT("owes what the socket does not take, and sends it before all else") { with_conn(no_room); }

static void no_room_for_the_end(struct fixture *f) {
  size_t before = fill(f);
  CHECK(say_soon(&f->conn, "last words") == IO_OK);
  conn_shutdown(&f->conn);
  CHECK(f->conn.shuts);
  drain(f, before);
  CHECK(hears(f, ""));
  ev_run(f->loop, EVRUN_ONCE);
  CHECK(hears(f, "last words"));
  CHECK(hears(f, NULL));
}
IT("ends our direction behind what it owes") { with_conn(no_room_for_the_end); }

static void gone(struct fixture *f) {
  size_t moved = 0;
  char byte;
  conn_want_read(&f->conn, true);
  shutdown(f->conn.fd, SHUT_WR); /* writing fails, and reading tells nothing */
  CHECK(say_soon(&f->conn, "one") == IO_OK);
  turn(f);
  CHECK(f->readable == 1);
  CHECK(conn_read(&f->conn, &byte, 1, &moved) == IO_ERROR);
  CHECK_STR(str_of(conn_error(&f->conn)), strerror(EPIPE));
  CHECK(say(&f->conn, "two") == IO_ERROR);
  CHECK(say_soon(&f->conn, "two") == IO_ERROR);
}
IT("tells by the next call that nothing could be sent, and calls for it") { with_conn(gone); }

static void gone_with_last_words(struct fixture *f) {
  size_t moved = 0;
  char byte;
  CHECK(send(f->peer, "x", 1, 0) == 1);
  shutdown(f->conn.fd, SHUT_WR);
  CHECK(say_soon(&f->conn, "one") == IO_OK);
  turn(f);
  CHECK(conn_read(&f->conn, &byte, 1, &moved) == IO_OK && byte == 'x');
  CHECK(conn_read(&f->conn, &byte, 1, &moved) == IO_ERROR);
}
IT("reads what has come before it tells of a loss") { with_conn(gone_with_last_words); }

static void tight(struct fixture *f) {
  size_t before = fill(f);
  CHECK(say(&f->conn, "one") == IO_AGAIN);
  CHECK(!conn_stage(&f->conn, &(struct iovec){"two", 3}, 1, 3));
  drain(f, before);
  CHECK(say(&f->conn, "one") == IO_OK);
  CHECK(conn_stage(&f->conn, &(struct iovec){"two", 3}, 1, 3));
  turn(f);
  CHECK(hears(f, "onetwo"));
}
IT("takes nothing for a socket that has just been full") { with_conn(tight); }

static void gone_with_unsent(struct fixture *f) {
  fill(f);
  CHECK(say_soon(&f->conn, "one") == IO_OK);
  turn(f);
  CHECK(ev_is_active(&f->conn.writer));
  shutdown(f->peer, SHUT_RDWR);
  ev_run(f->loop, EVRUN_ONCE);
  CHECK(!conn_has_unsent(&f->conn) && !ev_is_active(&f->conn.writer));
}
IT("waits for nothing more when what is unsent cannot be sent") { with_conn(gone_with_unsent); }
