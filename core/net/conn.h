// SPDX-License-Identifier: Apache-2.0
// conn: a connected, non-blocking socket on a worker's loop, with plain bytes or TLS behind one small
// transport table. Its owner reads and writes; the conn only says when to try it. It buffers
// nothing except small writes, which may wait for the end of the loop's turn (outbox.h).
//
// on_readable is called while conn_want_read is on and bytes are available (level-triggered). The owner tries
// to write at once; only after IO_AGAIN it calls conn_want_write, and on_writable follows. Up-calls never
// happen inside a call by the owner; the owner may close the conn,
// but must not free its memory, from inside an up-call (invariant I5).
#ifndef PERILUNE_NET_CONN_H
#define PERILUNE_NET_CONN_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/check.h"

struct conn;
struct outbox;
struct pipe;
struct tls;

enum { CONN_MAGIC = 0xc0221001 };

enum io {
  IO_OK,    /* at least one byte was moved */
  IO_AGAIN, /* nothing can be moved now */
  IO_EOF,   /* reading: the other side has ended its direction, cleanly */
  IO_ERROR  /* the connection is of no more use; conn_error has a text */
};

struct conn_events {
  void (*on_readable)(struct conn *conn);
  void (*on_writable)(struct conn *conn);
};

/* Plain and TLS. Not for owners. */
struct transport {
  enum io (*read)(struct conn *conn, void *bytes, size_t count, size_t *moved);
  enum io (*write)(struct conn *conn, const struct iovec *parts, int count, size_t *moved);
  enum io (*shutdown)(struct conn *conn); /* ends our direction: close_notify, FIN */
  bool (*pending)(const struct conn *conn);
  void (*detach)(struct conn *conn); /* it leaves its owner: nothing of the owner's is used any more */
  const char *(*failure)(const struct conn *conn); /* text of an IO_ERROR without an errno */
  void (*close)(struct conn *conn);
};
extern const struct transport transport_plain, transport_tls;

/* What each request looks at comes first: two cache lines. */
struct conn {
  OBJ_MAGIC;
  const struct transport *transport;
  const struct conn_events *events; /* borrowed */
  void *owner;                      /* borrowed; the owner's business */
  struct ev_loop *loop;             /* borrowed */
  struct tls *tls;                  /* owned; NULL on plain connections */
  struct outbox *outbox;            /* borrowed; NULL where the loop has none */
  struct unsent *unsent;            /* owned; what was staged and could not be sent so far */
  int fd;                           /* owned; -1: closed */
  int error;                        /* errno of the last IO_ERROR, 0: TLS or none */
  int fatal;                        /* errno of what it cannot go on after (conn_is_short); 0: nothing */
  bool wants_read, wants_write;
  bool staged;                             /* the outbox has something of it */
  bool tight;                              /* the socket took less than it was given, the last time */
  bool shuts;                              /* conn_shutdown goes on when the socket is writable */
  bool read_needs_write, write_needs_read; /* TLS only */
  ev_io reader, writer;
};

/* Takes over the connected socket `fd` (already non-blocking). Reading and writing are off.
 */
void conn_init(struct conn *conn, struct ev_loop *loop, int fd, const struct conn_events *events,
               void *owner);
/* Idempotent; stops watchers, closes the socket, frees TLS. No up-call follows. With unread input the kernel
 * resets. */
void conn_close(struct conn *conn);
/* The close throws away what the other side's kernel has not taken yet, and says so: a reset. */
void conn_reset_on_close(struct conn *conn);
static inline bool conn_is_open(const struct conn *conn) { return conn->fd >= 0; }

/* A connection that has left one loop and has not yet come to another (upstream/borrow.h). */
struct detached_conn {
  const struct transport *transport;
  struct tls *tls; /* owned; NULL on plain connections */
  int fd;          /* owned */
};
/* Takes it off its loop: no up-call follows, and the conn is as closed. Its TLS keeps no more sessions
 * (tls_keep_sessions). */
struct detached_conn conn_detach(struct conn *conn);
/* Instead of conn_init, in the thread of `loop`. Takes `detached` over. */
void conn_attach(struct conn *conn, const struct detached_conn *detached, struct ev_loop *loop,
                 const struct conn_events *events, void *owner);
/* Closes it; in any thread. */
void detached_conn_close(const struct detached_conn *detached);

/* on_readable is about to follow in this turn of the loop: something has arrived that nobody has looked at.
 */
static inline bool conn_has_news(const struct conn *conn) { return ev_is_pending(&conn->reader); }
/* The kernel has what its owner waits for, whether the loop has told so or not: on_readable or on_writable will follow.
 * A system call. */
bool conn_is_ready(const struct conn *conn);
/* Counts the turns of the loop: two equal values have no look at the sockets between them. */
static inline unsigned conn_turn(const struct conn *conn) { return ev_iteration(conn->loop); }

enum io conn_read(struct conn *conn, void *bytes, size_t count, size_t *moved);
/* Looks without taking; for plain connections, before TLS is put on them. */
enum io conn_peek(struct conn *conn, void *bytes, size_t count, size_t *moved);
/* Has the other side said something? IO_AGAIN: no. With TLS a byte of it is taken, and session tickets, which are no
 * news, are read on the way. */
enum io conn_look(struct conn *conn);
enum io conn_write(struct conn *conn, const struct iovec *parts, int count, size_t *moved);
/* Writes as much of `from` as it can, and takes that off it. IO_OK: nothing is left. */
static inline enum io conn_write_all(struct conn *conn, struct buf *from) {
  while (buf_len(from)) {
    const struct iovec part = {buf_ptr(from), buf_len(from)};
    size_t moved = 0;
    enum io result = conn_write(conn, &part, 1, &moved);
    if (result != IO_OK) return result;
    buf_consume(from, moved);
  }
  return IO_OK;
}
static inline bool conn_is_plain(const struct conn *conn) { return !conn->tls; }
/* Past us, from a plain conn into an empty pipe (up to `count` bytes) and from a pipe into a plain conn (all that is in
 * it, or what the socket takes): pipe->bytes says what is in it then. Nothing comes in at an urgent byte (tcp(7)), nor
 * where splice(2) does not work, which gives pipes up: IO_AGAIN, and conn_read goes on. The process must ignore
 * SIGPIPE. */
enum io conn_splice_in(struct conn *conn, struct pipe *pipe, size_t count);
enum io conn_splice_out(struct conn *conn, struct pipe *pipe);
/* Takes a small plain write, `bytes` in all, to be made at the end of the loop's turn; the owner learns its fate later.
 * What cannot be sent then goes before all that is written later; an error is told by the next call, and on_readable
 * follows. conn_close sends it at once, but waits for nothing: see conn_shutdown and conn_has_unsent. False: not taken,
 * conn_write is to be used. */
bool conn_stage(struct conn *conn, const struct iovec *parts, int count, size_t bytes);
/* Bytes that were taken for sending are still here: staged, or refused by the socket so far. */
static inline bool conn_has_unsent(const struct conn *conn) { return conn->staged || conn->unsent; }
/* For outbox.c: the time has come. */
void conn_send_staged(struct conn *conn, const char *text, size_t bytes);
/* Bytes that were written and that the other side has not taken yet, as its kernel has not confirmed them. A system
 * call. */
int conn_held_by_kernel(const struct conn *conn);
/* Sends FIN (with TLS: close_notify before it); the other direction stays open. */
void conn_shutdown(struct conn *conn);
void conn_want_read(struct conn *conn, bool on);
void conn_want_write(struct conn *conn, bool on);
/* on_readable follows in this or the next turn of the loop even if no new byte arrives: for input already
 * buffered. */
void conn_feed(struct conn *conn);
/* The same where TLS holds input: when reading was on already, and nobody may have looked since. */
void conn_feed_decrypted(struct conn *conn);
/* Changes who is told, for a conn that is handed on. */
void conn_adopt(struct conn *conn, const struct conn_events *events, void *owner);
/* The last IO_ERROR was for want of memory on this machine, which is not the other side's fault. Nothing more is sent;
 * what has come may still be read, and then reading fails, too. */
bool conn_is_short(const struct conn *conn);
/* Text of the last IO_ERROR, valid until the next call on any conn of this thread. */
const char *conn_error(const struct conn *conn);

/* For core/net/conn_*.c. What errno means after a call that moved nothing. */
enum io conn_fail(struct conn *conn);
/* After a write: what this machine had no memory for, the other side never hears of, so nothing would ever come back.
 * Other errors are those of a connection that has ended, which the next read says, too. */
enum io conn_note_shortage(struct conn *conn, enum io result);
/* Sends what was taken before: what is staged, or what the socket refused of it. IO_OK: nothing is left. */
enum io conn_send_earlier(struct conn *conn);

#endif
