// SPDX-License-Identifier: Apache-2.0
// socket_pool: spare connections of the policy's own, one list per vm, newest first. The hard problem is that the next
// user must not get the answer to an earlier question. So a connection is not kept while an answer may still come
// (socket.h, outstanding), and one on which the peer closes or sends something leaves the pool: each is watched, and
// checked again when it is taken.
//
// A pool with a backlog has a cap: a connection beyond it waits until another one closes, or is put by and handed over.
#include "lua/api/socket.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "exchange/exchange.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "net/tls_context.h"

/* The connections with one key, of which there may be only so many. It lives as long as there are any. */
struct socket_pool {
  struct list link;  /* in vm->socket_pools */
  struct list queue; /* borrowed: struct socket that wait, the first come first */
  char *key;         /* owned */
  size_t key_bytes;
  unsigned most, backlog;
  unsigned open; /* in use or spare */
  unsigned waiting;
};

static bool is_silent(struct socket *s) { return conn_look(&s->conn) == IO_AGAIN; }

/* One that was made with certificates that have changed since is not for new requests. */
static bool is_usable(struct socket *s) {
  return !timer_is_over(&s->reading.timer) && !(s->tls && tls_context_is_outdated(s->tls)) && is_silent(s);
}

struct socket *socket_pool_take(struct vm *vm, struct str key) {
  LIST_EACH(node, &vm->spare_sockets) {
    struct socket *s = LIST_ENTRY(node, struct socket, link);
    if (!str_equal(s->key, key)) continue;
    if (!is_usable(s)) {
      socket_free(s);
      continue;
    }
    list_remove(&s->link);
    timer_clear(&s->reading.timer);
    s->is_spare = false;
    s->owner = 0;
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
  if (s->is_upgraded && !s->is_named)
    return "TLS has begun on it after it was connected: give tcp.connect a pool_key, so that only those get "
           "it who "
           "want that";
  switch (conn_look(&s->conn)) {
  case IO_AGAIN: return NULL;
  case IO_OK: return "there is something unread";
  case IO_EOF:
  case IO_ERROR: break;
  }
  return "closed";
}

/* --- pools with a cap ------------------------------------------------------------------------------------- */

static struct socket_pool *find(struct vm *vm, struct str key) {
  LIST_EACH(node, &vm->socket_pools) {
    struct socket_pool *pool = LIST_ENTRY(node, struct socket_pool, link);
    if (str_equal((struct str){pool->key, pool->key_bytes}, key)) return pool;
  }
  return NULL;
}

/* The first that asks says how large it is. */
static struct socket_pool *find_or_make(struct socket *s, unsigned most, unsigned backlog) {
  struct socket_pool *pool = find(s->vm, s->key);
  if (pool) return pool;
  pool = memory_zalloc(sizeof *pool);
  pool->key = str_to_cstring(s->key);
  pool->key_bytes = s->key.len;
  pool->most = most;
  pool->backlog = backlog;
  list_init(&pool->queue);
  list_push_back(&s->vm->socket_pools, &pool->link);
  return pool;
}

static void free_if_unused(struct socket_pool *pool) {
  if (pool->open || pool->waiting) return;
  list_remove(&pool->link);
  free(pool->key);
  free(pool);
}

static struct socket *take_first(struct socket_pool *pool) {
  struct socket *s = LIST_ENTRY(pool->queue.next, struct socket, link);
  list_remove(&s->link);
  pool->waiting--;
  s->is_queued = false;
  return s;
}

void socket_pool_enter(struct socket *s, unsigned most, unsigned backlog, unsigned wait_ms) {
  struct socket_pool *pool = most ? find_or_make(s, most, backlog) : find(s->vm, s->key);
  if (pool && pool->backlog && pool->open >= pool->most) {
    s->kind = "pool_full";
    snprintf(s->why, sizeof s->why, "too many waiting connect operations");
    if (pool->waiting >= pool->backlog) return;
    s->pool = pool;
    s->is_queued = true;
    pool->waiting++;
    list_push_back(&pool->queue, &s->link);
    timer_set(&s->reading.timer, wait_ms);
    return;
  }
  s->pool = pool;
  if (pool) pool->open++;
  s->begin(s);
}

/* In the arena of an exchange, which may end before its socket or after it. */
struct socket_binding {
  struct at_end at_end;
  struct socket *socket; /* borrowed; NULL: it is gone, or was put by */
};

static void unbind(struct socket *s) {
  if (s->binding) s->binding->socket = NULL;
  s->binding = NULL;
}

static void on_exchange_end(struct at_end *at_end) {
  struct socket *s = CONTAINER_OF(at_end, struct socket_binding, at_end)->socket;
  if (!s) return;
  s->handle->socket = NULL;
  socket_free(s);
}

void socket_bind(struct socket *s) {
  struct script *script = s->vm->running->script;
  if (!script || s->binding) return;
  s->binding = arena_alloc(&script->x->arena, sizeof *s->binding);
  s->binding->socket = s;
  script_at_end(script, &s->binding->at_end, on_exchange_end);
}

void socket_pool_leave(struct socket *s) {
  struct socket_pool *pool = s->pool;
  unbind(s);
  s->pool = NULL;
  if (!pool) return;
  if (s->is_queued)
    pool->waiting--;
  else
    pool->open--;
  s->is_queued = false;
  if (pool->waiting && pool->open < pool->most && !s->vm->closing) {
    struct socket *next = take_first(pool);
    timer_clear(&next->reading.timer);
    pool->open++;
    next->begin(next);
  }
  free_if_unused(pool);
}

/* Somebody waits for one like it: gets it instead of one of his own, which is freed. */
static void hand_over(struct socket *s) {
  struct socket *waiting = take_first(s->pool);
  struct task *task = waiting->reading.task;
  waiting->reading.task = NULL;
  s->reading.timeout_ms = waiting->reading.timeout_ms;
  s->writing.timeout_ms = waiting->writing.timeout_ms;
  s->handle = waiting->handle;
  s->handle->socket = s;
  unbind(s);
  s->binding = waiting->binding;
  if (s->binding) s->binding->socket = s;
  waiting->binding = NULL;
  s->reused++;
  waiting->pool = NULL;
  socket_free(waiting);
  if (task) task_wake_soon(task);
}

void socket_pool_put(struct socket *s, unsigned idle_ms, unsigned most) {
  if (s->pool && s->pool->waiting) {
    hand_over(s);
    return;
  }
  unbind(s);
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
