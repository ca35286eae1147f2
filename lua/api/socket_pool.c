// SPDX-License-Identifier: Apache-2.0
// socket_pool: spare connections of the policy's own, one list per vm, newest first. They are watched: what
// the peer closes, or speaks on without being asked, leaves the pool.
#include "lua/api/socket.h"
#include "lua/vm/vm.h"

struct socket *socket_pool_take(struct vm *vm, struct str key) {
  LIST_EACH(node, &vm->spare_sockets) {
    struct socket *s = LIST_ENTRY(node, struct socket, link);
    if (!str_equal(s->key, key)) continue;
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

void socket_pool_put(struct socket *s, unsigned idle_ms, unsigned most) {
  struct socket *gone = surplus(s->vm, s->key, most);
  if (gone) socket_free(gone);
  s->is_spare = true;
  buf_release(&s->in);
  list_push_front(&s->vm->spare_sockets, &s->link);
  conn_want_write(&s->conn, false);
  conn_want_read(&s->conn, true);
  timer_set(&s->reading.timer, idle_ms);
}

void pool_free(struct vm *vm) {
  LIST_EACH(node, &vm->spare_sockets) socket_free(LIST_ENTRY(node, struct socket, link));
}
