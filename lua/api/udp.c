// SPDX-License-Identifier: Apache-2.0
// udp: perilune.udp: datagrams to one peer and back. lua/perilune/udp.lua looks names up. The socket's memory does not
// belong to Lua, since its task, its handle or the vm may end it while the loop calls it: the reaper frees it.
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "exchange/proxy.h"
#include "lua/vm/gather.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/addr.h"
#include "net/datagram.h"
#include "net/reaper.h"

enum { RECEIVE_BYTES = 8192 };

enum udp_outcome { UDP_NONE, UDP_TIMEOUT, UDP_CLOSED, UDP_READY };

struct udp {
  struct datagram datagram;
  struct vm *vm; /* borrowed */
  struct reaped reaped;
  struct timer timer;
  struct task *task; /* borrowed: it waits in receive */
  unsigned timeout_ms;
  enum udp_outcome outcome;
  int error; /* errno of a look: it is told but once */
};

struct udp_handle {
  struct handle handle;
  struct udp *udp; /* owned; NULL: closed */
};

static struct udp *check(lua_State *L) { return ((struct udp_handle *)handle_check(L, 1, HANDLE_UDP))->udp; }

/* --- life ----------------------------------------------------------------------------------------------- */

static void wake(struct udp *u, enum udp_outcome outcome) {
  struct task *task = u->task;
  u->task = NULL;
  u->outcome = outcome;
  timer_clear(&u->timer);
  datagram_want(&u->datagram, false);
  if (task) task_wake(task);
}

static void on_readable(struct datagram *d) { wake(CONTAINER_OF(d, struct udp, datagram), UDP_READY); }
static void on_due(struct timer *timer) { wake(CONTAINER_OF(timer, struct udp, timer), UDP_TIMEOUT); }

static void free_udp(struct reaped *reaped) { free(CONTAINER_OF(reaped, struct udp, reaped)); }

static void close_handle(struct udp_handle *handle) {
  struct udp *u = handle->udp;
  handle->udp = NULL;
  if (!u) return;
  struct task *task = u->task;
  u->task = NULL;
  timer_stop(&u->timer);
  datagram_close(&u->datagram);
  reaper_add(&u->vm->host.proxy->reaper, &u->reaped, free_udp);
  if (task) task_wake_soon(task);
}

/* nil and what an errno says. -0 +2 */
static int refuse(lua_State *L, int error) { return push_nil_why(L, error ? strerror(error) : "closed"); }

static unsigned check_timeout(lua_State *L, int index, const char *call) {
  lua_Number seconds = luaL_optnumber(L, index, 5);
  if (!(seconds >= 0.001 && seconds <= 1e6))
    handle_raise(L, "%s: expected a number of seconds of at least 0.001", call);
  return (unsigned)(seconds * 1000 + 0.5);
}

/* core.udp_open(address [, seconds]): a socket; or nil and a sentence -2 +1 | -2 +2 */
static int udp_open(lua_State *L) {
  struct addr addr;
  const char *why;
  struct vm *vm = vm_of(L);
  task_to_park(L, "udp.connect");
  struct str address = text_at(L, 1);
  unsigned timeout_ms = check_timeout(L, 2, "udp.connect");
  if (!addr_parse_peer(address, &addr, &why))
    return handle_raise(L, "udp.connect: '%s': %s", address.ptr, why);
  if (addr.kind == ADDR_NAME) return handle_raise(L, "udp.connect: '%s' is not an address", address.ptr);
  struct udp_handle *handle = handle_new(L, HANDLE_UDP, sizeof *handle);
  struct udp *u = memory_zalloc(sizeof *u);
  u->vm = vm;
  u->timeout_ms = timeout_ms;
  if (!datagram_open(&u->datagram, vm->host.loop, &addr, on_readable)) {
    int error = errno;
    free(u);
    return refuse(L, error);
  }
  timer_init_patient(&u->timer, vm->host.loop, on_due);
  handle->udp = u;
  return 1;
}

/* --- methods -------------------------------------------------------------------------------------------- */

/* udp:send(data): true; or nil and a sentence -2 +1 | -2 +2 */
static int udp_send(lua_State *L) {
  struct udp *u = check(L);
  struct buf *text = &vm_of(L)->scratch;
  struct gather g = {text, 2 * DATAGRAM_MOST + 1, 1, false}; /* so a datagram can come byte by byte */
  if (!u) return refuse(L, 0);
  buf_clear(text);
  if (!gather_value(L, 2, &g, "udp: send"))
    return handle_raise(L, "udp: send: more than %d bytes are no datagram", DATAGRAM_MOST);
  int error = datagram_send(&u->datagram, buf_len(text) ? buf_str(text) : STR(""));
  if (text->cap > BLOCK_LARGEST) buf_release(text);
  if (error) return refuse(L, error);
  lua_pushboolean(L, 1);
  return 1;
}

static void cancel(void *what) {
  struct udp *u = what;
  u->task = NULL;
  timer_clear(&u->timer);
  datagram_want(&u->datagram, false);
}

/* -0 +0 */
static size_t check_bytes(lua_State *L) {
  lua_Number bytes = luaL_optnumber(L, 2, RECEIVE_BYTES);
  if (!(bytes >= 1 && bytes <= 65536))
    handle_raise(L, "udp: receive: expected a number of bytes from 1 to 65536");
  return (size_t)bytes;
}

/* udp:receive([bytes]) -2 +0 (yields) */
static int receive_start(lua_State *L) {
  struct udp *u = check(L);
  check_bytes(L);
  if (!u) return 0;
  if (u->task) return handle_raise(L, "udp: receive: another task receives already");
  struct task *task = task_to_park(L, "udp: receive");
  u->outcome = UDP_READY;
  u->error = datagram_look(&u->datagram);
  if (u->error != EAGAIN) return 0;
  u->error = 0;
  u->outcome = UDP_NONE;
  u->task = task;
  datagram_want(&u->datagram, true);
  timer_set(&u->timer, u->timeout_ms);
  return task_wait(L, cancel, u);
}

/* What has come; or nil and a sentence -2 +1 | -2 +2 */
static int receive_result(lua_State *L) {
  struct udp *u = check(L);
  if (!u) return refuse(L, 0);
  if (u->task) return task_not_done(L, "udp: receive");
  size_t bytes = check_bytes(L), got = 0;
  struct buf *room = vm_scratch(L);
  buf_reserve(room, bytes);
  int error = u->error;
  if (!error)
    error = u->outcome == UDP_READY ? datagram_receive(&u->datagram, buf_tail(room), bytes, &got) : EAGAIN;
  if (error == EAGAIN) return push_nil_why(L, "timeout");
  if (error) return refuse(L, error);
  lua_pushlstring(L, buf_tail(room), got);
  if (room->cap > BLOCK_LARGEST) buf_release(room);
  return 1;
}

/* udp:set_timeout(seconds): of each later receive -2 +0 */
static int set_timeout(lua_State *L) {
  struct udp *u = check(L);
  unsigned timeout_ms = check_timeout(L, 2, "udp:set_timeout");
  if (u) u->timeout_ms = timeout_ms;
  return 0;
}

/* udp:close(); harmless when it is closed already -1 +0 */
static int udp_close(lua_State *L) {
  close_handle(handle_check(L, 1, HANDLE_UDP));
  return 0;
}

static void end(void *handle) { close_handle(handle); }

static const luaL_Reg methods[] = {
    {"send", udp_send}, {"set_timeout", set_timeout}, {"close", udp_close}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"udp_open", udp_open}, {NULL, NULL}};

void open_udp(lua_State *L) {
  handle_define(L, HANDLE_UDP, "perilune.udp_socket", methods, NULL);
  handle_set_end(L, HANDLE_UDP, end);
  handle_add_waiting(L, HANDLE_UDP, "receive", receive_start, receive_result);
  luaL_register(L, NULL, functions);
}
