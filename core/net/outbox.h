// SPDX-License-Identifier: Apache-2.0
// outbox: collects the small writes of one turn of a loop, and sends them one after another at its end. A send runs
// the kernel's TCP code, which displaces our code and data from the processor's caches; so a turn that serves many
// connections costs less if it first parses and decides, and then sends. For its owner, a write in the outbox has
// been done; what the kernel does not accept, the conn keeps, and sends before anything else (conn.c).
#ifndef PERILUNE_NET_OUTBOX_H
#define PERILUNE_NET_OUTBOX_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct conn;

/* Larger writes are not worth a copy. */
enum { OUTBOX_MOST_BYTES = 4096, OUTBOX_ITEMS = 64, OUTBOX_BYTES = 65536 };

struct outbox_item {
  struct conn *conn; /* borrowed */
  const char *text;  /* in outbox.bytes */
  unsigned bytes;
};

struct outbox {
  ev_prepare watcher;
  struct ev_loop *loop; /* borrowed */
  uint64_t began;       /* ticks: when the first item came */
  unsigned count, used;
  unsigned turn; /* of the loop, that was closed last */
  struct outbox_item items[OUTBOX_ITEMS];
  char *bytes; /* owned; from the first item on */
};

/* For all conns made on the loop from now on; does not keep the loop alive. */
void outbox_init(struct outbox *outbox, struct ev_loop *loop);
/* Sends what is left and stops: later conns write at once. No conn that was made before may be left. */
void outbox_stop(struct outbox *outbox);
/* Copies the parts, `bytes` in all. False: it does not take them, since they are large or the turn is over. conn.staged
 * must be off, and is on then. */
bool outbox_put(struct outbox *outbox, struct conn *conn, const struct iovec *parts, int count, size_t bytes);
/* Sends what is staged for one conn. */
void outbox_send(struct outbox *outbox, struct conn *conn);

#endif
