// SPDX-License-Identifier: Apache-2.0
// socket: reads until a reader has enough, and writes until nothing is left, each with a timeout. The hard
// problem is that its task, its handle, its peer or the vm may end it at any time; so its memory does not belong
// to Lua, and the reaper frees it.
#include "lua/api/socket.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/memory.h"
#include "http/h2_session.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "exchange/proxy.h"

enum { READ_BYTES = 16384 };

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static void on_read_due(struct timer *timer);
static void on_write_due(struct timer *timer);

static const struct conn_events events = {on_readable, on_writable};

/* --- life ----------------------------------------------------------------------------------------------- */

struct socket *socket_new(struct vm *vm) {
  struct socket *s = memory_zalloc(sizeof *s);
  s->vm = vm;
  s->conn.fd = -1;
  list_init(&s->link);
  timer_init_patient(&s->reading.timer, vm->host.loop, on_read_due);
  timer_init_patient(&s->writing.timer, vm->host.loop, on_write_due);
  OBJ_INIT(s, SOCKET_MAGIC);
  return s;
}

static void free_socket(struct reaped *reaped) {
  struct socket *s = CONTAINER_OF(reaped, struct socket, reaped);
  OBJ_END(s, SOCKET_MAGIC);
  arena_free(&s->arena);
  arena_free(&s->response.arena);
  free(s);
}

/* The task is told in the next turn of the loop: this may be called from inside another task. */
static void tell_of_end(struct socket_wait *wait) {
  struct task *task = wait->task;
  wait->task = NULL;
  wait->outcome = OUTCOME_CLOSED;
  timer_stop(&wait->timer);
  if (task) task_wake_soon(task);
}

void socket_free(struct socket *s) {
  list_remove(&s->link);
  socket_pool_leave(s);
  if (s->connecting) connect_cancel(&s->connect);
  tell_of_end(&s->reading);
  tell_of_end(&s->writing);
  conn_close(&s->conn);
  buf_release(&s->in);
  buf_release(&s->out);
  if (s->h2) h2_session_free(s->h2);
  tls_context_release(s->tls);
  tls_identity_release(s->identity);
  reaper_add(&s->vm->host.proxy->reaper, &s->reaped, free_socket);
}

struct socket *socket_check(lua_State *L) {
  return ((struct socket_handle *)handle_check(L, 1, HANDLE_SOCKET))->socket;
}

/* --- one direction -------------------------------------------------------------------------------------- */

/* The last thing a callback does: the task may end everything. */
static void finish(struct socket_wait *wait) {
  struct task *task = wait->task;
  wait->task = NULL;
  timer_clear(&wait->timer);
  if (task) task_wake(task);
}

static void expire(struct socket_wait *wait) {
  wait->outcome = OUTCOME_TIMEOUT;
  finish(wait);
}

static void on_read_due(struct timer *timer) {
  struct socket *s = CONTAINER_OF(timer, struct socket, reading.timer);
  CHECK_OBJ(s, SOCKET_MAGIC);
  if (s->is_spare)
    socket_free(s);
  else
    expire(&s->reading);
}

static void on_write_due(struct timer *timer) {
  expire(&CONTAINER_OF(timer, struct socket, writing.timer)->writing);
}

static void cancel(void *what) {
  struct socket_wait *wait = what;
  wait->task = NULL;
  timer_clear(&wait->timer);
}

static int park(lua_State *L, struct socket_wait *wait, const char *call) {
  wait->task = task_to_park(L, call);
  timer_set(&wait->timer, wait->timeout_ms);
  return task_wait(L, cancel, wait);
}

static void refuse_second(lua_State *L, const struct socket_wait *wait, const char *call) {
  if (wait->task) handle_raise(L, "%s: another task waits in this call already", call);
}

static void note_failure(struct socket *s, struct socket_wait *wait) {
  snprintf(s->why, sizeof s->why, "%s", conn_error(&s->conn));
  wait->outcome = OUTCOME_FAILED;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static enum outcome look(struct socket *s) {
  switch (s->reader(s)) {
  case ENOUGH_WHOLE: return OUTCOME_OK;
  case ENOUGH_LONG: return OUTCOME_LONG;
  case ENOUGH_BAD: return OUTCOME_BAD;
  case ENOUGH_NOT: break;
  }
  return s->eof ? OUTCOME_CLOSED : OUTCOME_NONE;
}

/* True: done, as the outcome says. False: waits for bytes. */
static bool read_on(struct socket *s) {
  struct socket_wait *wait = &s->reading;
  while ((wait->outcome = look(s)) == OUTCOME_NONE) {
    size_t moved = 0;
    buf_reserve(&s->in, READ_BYTES);
    switch (conn_read(&s->conn, buf_tail(&s->in), buf_space(&s->in), &moved)) {
    case IO_OK: buf_commit(&s->in, moved); break;
    case IO_AGAIN: return false;
    case IO_EOF: s->eof = true; break;
    case IO_ERROR: note_failure(s, wait); return true;
    }
  }
  return true;
}

int socket_read(lua_State *L, socket_reader *reader, const char *call) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  task_to_park(L, call);
  refuse_second(L, &s->reading, call);
  s->reader = reader;
  s->piece = (struct str){0};
  s->used = 0;
  if (read_on(s)) return 0;
  conn_want_read(&s->conn, true);
  return park(L, &s->reading, call);
}

static void on_readable(struct conn *conn) {
  struct socket *s = conn->owner;
  CHECK_OBJ(s, SOCKET_MAGIC);
  if (s->is_spare)
    socket_free(s);
  else if (!s->reading.task)
    conn_want_read(conn, false); /* until somebody reads again */
  else if (read_on(s))
    finish(&s->reading);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static bool write_on(struct socket *s) {
  struct socket_wait *wait = &s->writing;
  enum io result = conn_write_all(&s->conn, &s->out);
  if (result == IO_AGAIN) return false;
  if (result != IO_OK) {
    note_failure(s, wait);
    return true;
  }
  buf_release(&s->out);
  wait->outcome = OUTCOME_OK;
  return true;
}

int socket_write(lua_State *L, const char *call) {
  struct socket *s = socket_check(L);
  if (write_on(s)) return 0;
  conn_want_write(&s->conn, true);
  return park(L, &s->writing, call);
}

static void on_writable(struct conn *conn) {
  struct socket *s = conn->owner;
  CHECK_OBJ(s, SOCKET_MAGIC);
  bool is_done = !s->writing.task || write_on(s);
  if (!is_done) return;
  conn_want_write(conn, false);
  finish(&s->writing);
}

/* --- results -------------------------------------------------------------------------------------------- */

int socket_push_failure(lua_State *L, const struct socket *s, enum outcome outcome) {
  lua_pushnil(L);
  switch (outcome) {
  case OUTCOME_TIMEOUT: lua_pushliteral(L, "timeout"); break;
  case OUTCOME_LONG: lua_pushliteral(L, "too long"); break;
  case OUTCOME_BAD: lua_pushliteral(L, "malformed"); break;
  case OUTCOME_FAILED: lua_pushstring(L, s->why); break;
  case OUTCOME_NONE:
  case OUTCOME_OK:
  case OUTCOME_CLOSED: lua_pushliteral(L, "closed"); break;
  }
  return 2;
}

const struct conn_events *socket_events(void) { return &events; }
