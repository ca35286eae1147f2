// SPDX-License-Identifier: Apache-2.0
// redis: the C side of lua/perilune/redis.lua: links with their calls, which wait (see redis.h), and replies on
// sockets of the policy.
#include <lauxlib.h>
#include <stdlib.h>

#include "base/memory.h"
#include "lua/api/options.h"
#include "lua/api/redis.h"
#include "lua/api/socket.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls_context.h"
#include "net/tls_names.h"

struct redis_handle {
  struct handle handle;
  struct redis_link *link; /* owned */
};

#define OPTION(name, kind, member)                                                                           \
  { name, kind, offsetof(struct redis_options, member), NULL }
static const struct option options[] = {
    OPTIONS_TLS(struct redis_options),
    OPTION("timeout", OPTION_SECONDS, timeout_ms),
    OPTION("connect_timeout", OPTION_SECONDS, connect_ms),
    OPTION("retry", OPTION_SECONDS, retry_ms),
    OPTION("retry_most", OPTION_SECONDS, retry_most_ms),
    OPTION("failures", OPTION_POSITIVE, failures),
    OPTION("queue", OPTION_POSITIVE, queue),
    OPTION("queue_bytes", OPTION_SIZE, queue_bytes),
    OPTION("reply_bytes", OPTION_SIZE, reply_bytes),
    {"family", OPTION_WORD, offsetof(struct redis_options, family), option_families},
};
static const struct option_set option_set = OPTION_SET(options);

static const char *const outcomes[] = {
    [REDIS_OK] = "ok",         [REDIS_ERROR] = "error",    [REDIS_TIMEOUT] = "timeout",
    [REDIS_DOWN] = "down",     [REDIS_BUSY] = "busy",      [REDIS_CLOSED] = "closed",
    [REDIS_LONG] = "too long", [REDIS_DROPPED] = "dropped"};

/* --- making --------------------------------------------------------------------------------------------- */

/* The address at 1 and the options at 2; what is wrong is on the stack. -0 +0 | -0 +1 */
static bool read_arguments(lua_State *L, struct redis_options *wanted, struct addr *addr,
                           struct tls_context **tls, struct arena *arena) {
  const char *reason = NULL;
  char *why = NULL;
  struct str address = text_at(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  *tls = NULL;
  if (!addr_parse_peer(address, addr, &reason)) {
    lua_pushfstring(L, "'%s': %s", address.ptr, reason);
    return false;
  }
  if (!options_read(L, 2, &option_set, wanted, arena)) return false;
  if (!wanted->tls) return true;
  struct tls_client_options tls_options = {.ca = wanted->ca, .no_verify = wanted->no_verify, .no_alpn = true};
  *tls = tls_context_client(&tls_options, &why);
  if (*tls) return true;
  lua_pushstring(L, why);
  free(why);
  return false;
}

/* core.redis_check(address, options): what is wrong with them; nil: nothing -2 +1 */
static int redis_check(lua_State *L) {
  struct redis_options wanted = {0};
  struct addr addr;
  struct tls_context *tls;
  struct arena arena = {0};
  bool is_fine = read_arguments(L, &wanted, &addr, &tls, &arena);
  arena_free(&arena);
  tls_context_release(tls);
  return is_fine ? 0 : 1;
}

/* The metrics from 5 on: commands, seconds, down, connects. -0 +0 */
static void read_metrics(lua_State *L, struct redis_link *l) {
  for (int i = 0; i < REDIS_OUTCOMES; i++)
    l->results[i] = metric_numbers(L, 5, (const struct str[]){l->name, str_of(outcomes[i])});
  l->seconds = metric_numbers(L, 6, &l->name);
  l->down = metric_numbers(L, 7, &l->name);
  l->connects = metric_numbers(L, 8, &l->name);
}

/* core.redis_open(address, options, greeting, replies, metrics...): a link, where something can wait; or nil and what
 * is wrong -8 +1 | -8 +2 */
static int redis_open(lua_State *L) {
  struct redis_options wanted = {0};
  struct addr addr;
  struct tls_context *tls;
  struct arena arena = {0};
  task_to_park(L, "redis:call");
  struct redis_handle *handle = handle_new(L, HANDLE_REDIS, sizeof *handle);
  if (!read_arguments(L, &wanted, &addr, &tls, &arena)) {
    arena_free(&arena);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  struct redis_link *l = handle->link = redis_link_new(vm_of(L), &wanted);
  l->addr = addr;
  l->tls = tls;
  l->name = str_of(arena_cstring(&l->arena, text_at(L, 1)));
  struct tls_names names = tls_names((struct tls_names){wanted.sni, wanted.verify_name}, &l->addr, &l->arena);
  l->options.sni = arena_dup(&l->arena, names.sni);
  l->options.verify_name = arena_dup(&l->arena, names.verify);
  arena_free(&arena);
  l->greeting = arena_dup(&l->arena, text_at(L, 3));
  l->greeting_replies = (unsigned)luaL_checkinteger(L, 4);
  read_metrics(L, l);
  return 1;
}

static struct redis_link *check(lua_State *L) {
  return ((struct redis_handle *)handle_check(L, 1, HANDLE_REDIS))->link;
}

static void end(void *ended) {
  struct redis_handle *handle = ended;
  if (handle->link) redis_link_free(handle->link);
  handle->link = NULL;
}

/* --- calling -------------------------------------------------------------------------------------------- */

/* Sends what is in vm->scratch, for the task that runs. -0 +0 (yields) */
static int send_scratch(lua_State *L, struct redis_link *l, unsigned replies) {
  struct task *task = task_to_park(L, "redis:call");
  struct buf *bytes = &vm_of(L)->scratch;
  unsigned timeout_ms = (unsigned)(luaL_checknumber(L, 2) * 1000 + 0.5);
  struct redis_command *c = redis_queue_add(l, task, buf_str(bytes), replies, timeout_ms ? timeout_ms : 1);
  if (bytes->cap > BLOCK_LARGEST) buf_release(bytes);
  return c ? task_wait(L, redis_queue_cancel, c) : 0;
}

/* core.redis_call(link, seconds, command, argument...) -n +0 (yields) */
static int call_start(lua_State *L) {
  struct redis_link *l = check(L);
  redis_write_command(L, 3, lua_gettop(L));
  return send_scratch(L, l, 1);
}

/* core.redis_batch(link, seconds, commands) -3 +0 (yields) */
static int batch_start(lua_State *L) {
  struct redis_link *l = check(L);
  return send_scratch(L, l, redis_write_list(L, 3));
}

/* A sentence of why there is no reply. -0 +1 */
static void push_why(lua_State *L, const struct redis_link *l, enum redis_outcome outcome) {
  const char *name = l->name.ptr;
  switch (outcome) {
  case REDIS_TIMEOUT:
    lua_pushfstring(L, "redis %s: no reply within %f s", name, luaL_checknumber(L, 2));
    break;
  case REDIS_LONG:
    lua_pushfstring(L, "redis %s: the reply is longer than %f bytes", name,
                    (lua_Number)l->options.reply_bytes);
    break;
  case REDIS_DOWN:
    lua_pushfstring(L, redis_link_is_short(l) ? "redis %s: %s" : "redis %s is down: %s", name, l->why);
    break;
  case REDIS_CLOSED: lua_pushfstring(L, "redis %s: the connection was lost: %s", name, l->why); break;
  case REDIS_OK:
  case REDIS_ERROR:
  case REDIS_DROPPED:
  case REDIS_OUTCOMES:
  case REDIS_BUSY: lua_pushfstring(L, "redis %s: %s", name, l->why); break;
  }
}

/* What the task that runs is told; NULL: nil, a sentence and the outcome's name are on the stack. -0 +0 | -0 +3 */
static const struct redis_told *told(lua_State *L, const struct redis_link *l) {
  if (!l->told.task || l->told.task != vm_of(L)->running) {
    task_not_done(L, "redis:call");
    return NULL;
  }
  if (l->told.outcome == REDIS_OK) return &l->told;
  lua_pushnil(L);
  push_why(L, l, l->told.outcome);
  lua_pushstring(L, outcomes[l->told.outcome]);
  return NULL;
}

/* -n +1 | -n +3 */
static int call_result(lua_State *L) {
  const struct redis_told *what = told(L, check(L));
  return what ? redis_push_reply(L, what->reply) : 3;
}

/* -3 +1 | -3 +3 */
static int batch_result(lua_State *L) {
  const struct redis_told *what = told(L, check(L));
  if (!what) return 3;
  redis_push_replies(L, what->reply, (unsigned)lua_objlen(L, 3));
  return 1;
}

/* core.redis_status(link): its state, how many commands wait, the last failure, is it down -1 +4 */
static int redis_status(lua_State *L) {
  static const char *const states[] = {"idle", "connecting", "connecting", "connected", "paused"};
  const struct redis_link *l = check(L);
  lua_pushstring(L, states[l->state]);
  lua_pushinteger(L, (lua_Integer)l->queue.count);
  lua_pushstring(L, l->why);
  lua_pushboolean(L, l->health.is_tripped);
  return 4;
}

/* --- sockets of the policy's own ------------------------------------------------------------------------ */

/* core.redis_encode(commands): their bytes -1 +1 */
static int encode(lua_State *L) {
  redis_write_list(L, 1);
  return push_text(L, buf_str(&vm_of(L)->scratch));
}

static enum enough read_reply(struct socket *s) {
  if (buf_len(&s->in) == 0) return ENOUGH_NOT;
  switch (resp_scan(&s->reply, buf_ptr(&s->in), buf_len(&s->in))) {
  case RESP_BAD: return ENOUGH_BAD;
  case RESP_MORE: return buf_len(&s->in) > s->limit ? ENOUGH_LONG : ENOUGH_NOT;
  case RESP_WHOLE: break;
  }
  s->used = s->reply.at;
  s->piece = (struct str){buf_ptr(&s->in), s->used};
  return ENOUGH_WHOLE;
}

/* core.redis_receive(socket, limit): the next reply. A timeout loses none of it. -2 +0 (yields) */
static int receive_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  s->limit = (size_t)luaL_checknumber(L, 2);
  return socket_read(L, read_reply, "redis");
}

/* As redis_push_reply; or nil, a sentence and "timeout", "too long", "malformed" or "closed" -2 +1 | -2 +3 */
static int receive_result(lua_State *L) {
  struct socket *s = socket_check(L);
  if (s && s->reading.task) return task_not_done(L, "redis");
  if (!s || s->reading.outcome != OUTCOME_OK) {
    enum outcome outcome = s ? s->reading.outcome : OUTCOME_CLOSED;
    socket_push_failure(L, s, outcome);
    if (outcome == OUTCOME_FAILED)
      lua_pushliteral(L, "closed");
    else
      lua_pushvalue(L, -1);
    return 3;
  }
  int count = redis_push_reply(L, s->piece);
  buf_consume(&s->in, s->used);
  resp_scan_forget(&s->reply, s->used);
  return count;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"redis_check", redis_check},
                                     {"redis_open", redis_open},
                                     {"redis_status", redis_status},
                                     {"redis_encode", encode},
                                     {NULL, NULL}};

void open_redis(lua_State *L) {
  handle_define(L, HANDLE_REDIS, "perilune.redis.link", methods, NULL);
  handle_set_end(L, HANDLE_REDIS, end);
  handle_push_waiting(L, call_start, call_result);
  lua_setfield(L, -2, "redis_call");
  handle_push_waiting(L, batch_start, batch_result);
  lua_setfield(L, -2, "redis_batch");
  handle_push_waiting(L, receive_start, receive_result);
  lua_setfield(L, -2, "redis_receive");
  redis_open_replies(L);
  luaL_register(L, NULL, functions);
}
