// SPDX-License-Identifier: Apache-2.0
// socket_pool: spare connections of the policy's own, one list per vm, newest first. The hard problem is that the next
// user must not get the answer to an earlier question. So a connection is not kept while an answer may still come
// (socket.h, outstanding), and one on which the peer closes or sends something leaves the pool: each is watched, and
// checked again when it is taken.
#include "lua/api/socket.h"
#include "lua/vm/vm.h"

static bool is_silent(struct socket *s) { return conn_look(&s->conn) == IO_AGAIN; }

struct socket *socket_pool_take(struct vm *vm, struct str key) {
  LIST_EACH(node, &vm->spare_sockets) {
    struct socket *s = LIST_ENTRY(node, struct socket, link);
    if (!str_equal(s->key, key)) continue;
    if (timer_is_over(&s->reading.timer) || !is_silent(s)) {
      socket_free(s);
      continue;
    }
    list_remove(&s->link);
    timer_clear(&s->reading.timer);
    s->is_spare = false;
    s->reused++;
    return s;
  }
  return NULL;
}

/* The oldest of this key, if there are as many as there may be. */
static struct socket *surplus(struct vm *vm, struct str key, unsigned most) {
  unsigned count = 0;
  struct socket *oldest = NULL;
  LIST_EACH(node, &vm->spare_sockets) {
    struct socket *s = LIST_ENTRY(node, struct socket, link);
    if (!str_equal(s->key, key)) continue;
    count++;
    oldest = s;
  }
  return count >= most ? oldest : NULL;
}

const char *socket_pool_refusal(struct socket *s) {
  if (!conn_is_open(&s->conn) || s->eof) return "closed";
  if (buf_len(&s->in)) return "there is something unread";
  if (s->cut) return "a send on it has failed";
  if (s->is_broken) return "a receive on it has failed: what it waited for may still come";
  if (s->outstanding) return s->outstanding;
  switch (conn_look(&s->conn)) {
  case IO_AGAIN: return NULL;
  case IO_OK: return "there is something unread";
  case IO_EOF:
  case IO_ERROR: break;
  }
  return "closed";
}

void socket_pool_put(struct socket *s, unsigned idle_ms, unsigned most) {
  struct socket *gone = surplus(s->vm, s->key, most);
  if (gone) socket_free(gone);
  s->is_spare = true;
  buf_release(&s->in);
  list_push_front(&s->vm->spare_sockets, &s->link);
  conn_want_write(&s->conn, false);
  conn_want_read(&s->conn, true);
  timer_set_strict(&s->reading.timer, idle_ms);
}

void pool_free(struct vm *vm) {
  LIST_EACH(node, &vm->spare_sockets) socket_free(LIST_ENTRY(node, struct socket, link));
}
