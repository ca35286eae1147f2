// SPDX-License-Identifier: Apache-2.0
// outbox: an ev_prepare watcher, so the end of a turn is just before the loop waits. After that, until the next wait,
// writes are sent at once, since nothing would send them later. The outbox is also emptied when something is added
// and its first item is older than a moment: so the delays of several hooks in one turn do not add up. One long hook
// still delays what was added before it, as it delays everything on its worker.
#include "net/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "net/conn.h"

enum { MOMENT_US = 500 };

static void send_all(struct outbox *o) {
  CHECK(o->count <= OUTBOX_ITEMS && o->used <= OUTBOX_BYTES);
  for (unsigned i = 0; i < o->count; i++)
    conn_send_staged(o->items[i].conn, o->items[i].text, o->items[i].bytes);
  o->count = o->used = 0;
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int events) {
  struct outbox *o = (struct outbox *)watcher;
  (void)events;
  o->turn = ev_iteration(loop);
  send_all(o);
}

void outbox_init(struct outbox *o, struct ev_loop *loop) {
  o->loop = loop;
  o->count = o->used = 0;
  o->turn = ~0u;
  o->bytes = NULL;
  ev_set_userdata(loop, o);
  ev_prepare_init(&o->watcher, on_prepare);
  ev_prepare_start(loop, &o->watcher);
  ev_unref(loop);
}

void outbox_stop(struct outbox *o) {
  send_all(o);
  ev_set_userdata(o->loop, NULL);
  ev_ref(o->loop);
  ev_prepare_stop(o->loop, &o->watcher);
  free(o->bytes);
}

static bool is_old(const struct outbox *o) { return ticks_to_us(ticks_since(o->began)) > MOMENT_US; }

bool outbox_put(struct outbox *o, struct conn *conn, const struct iovec *parts, int count, size_t bytes) {
  CHECK(!conn->staged);
  if (bytes > OUTBOX_MOST_BYTES || o->turn == ev_iteration(o->loop)) return false;
  if (o->count && (o->count == OUTBOX_ITEMS || o->used + bytes > OUTBOX_BYTES || is_old(o))) send_all(o);
  if (!o->bytes) o->bytes = memory_alloc(OUTBOX_BYTES);
  if (!o->count) o->began = ticks_now();
  char *end = o->bytes + o->used;
  o->items[o->count++] = (struct outbox_item){conn, end, (unsigned)bytes};
  for (int i = 0; i < count; i++) end = mempcpy(end, parts[i].iov_base, parts[i].iov_len);
  o->used += (unsigned)bytes;
  CHECK(end == o->bytes + o->used && o->used <= OUTBOX_BYTES);
  conn->staged = true;
  return true;
}

void outbox_send(struct outbox *o, struct conn *conn) {
  unsigned i = 0;
  while (o->items[i].conn != conn) i++;
  CHECK(i < o->count);
  struct outbox_item item = o->items[i];
  o->items[i] = o->items[--o->count];
  if (!o->count) o->used = 0; /* else the others' bytes are in between */
  conn_send_staged(conn, item.text, item.bytes);
}
