// SPDX-License-Identifier: Apache-2.0
// tracing: the C side of lua/perilune/tracing.lua: what the policy says of traces, for all of its listeners, and the
// batches for its exporter. The queue is shared (shared/span_queue); each VM of a worker that has a handle is a user of
// it until it closes, which at a stop is before the control worker ends: so the exporter knows when all has come.
#include <lauxlib.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/protobuf.h"
#include "base/version.h"
#include "lua/api/shared.h"
#include "lua/api/trace.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/policy.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "shared/span_queue.h"

enum { RESOURCE_BYTES = 8192, SCOPE_BYTES = 64, HEADS_BYTES = RESOURCE_BYTES + 2 * SCOPE_BYTES };
/* Fields of ExportTraceServiceRequest, ResourceSpans, ScopeSpans, InstrumentationScope, Resource and KeyValue. */
enum { RESOURCE_SPANS = 1, RESOURCE = 1, SCOPE_SPANS = 2, SCOPE = 1, SCOPE_NAME = 1, SCOPE_VERSION = 2 };
enum { RESOURCE_ATTRIBUTES = 1, PAIR_KEY = 1, PAIR_VALUE = 2 };

struct tracing_handle {
  struct shared shared; /* first */
  bool is_user;
  unsigned reader;     /* 0: it reads no batches */
  struct str resource; /* owned: Resource of OTLP */
};

static struct tracing_handle *check(lua_State *L) { return handle_check(L, 1, HANDLE_TRACING); }
static struct span_queue *queue(lua_State *L) { return check(L)->shared.object; }

/* --- life --- */

/* The pairs of the table at `index`. -0 +0 */
static void read_resource(lua_State *L, int index, struct protobuf *p) {
  char any_room[SPAN_ANY_BYTES], room[SPAN_ANY_BYTES + SPAN_KEY_BYTES + 2 * PROTOBUF_HEAD];
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    struct protobuf pair = {room, room + sizeof room, 0};
    lua_pushvalue(L, -2);
    struct str key = trace_key_at(L, lua_gettop(L));
    protobuf_put_bytes(&pair, PAIR_KEY, key);
    protobuf_put_bytes(&pair, PAIR_VALUE, trace_any_at(L, lua_gettop(L) - 1, any_room));
    lua_pop(L, 1);
    protobuf_put_bytes(p, RESOURCE_ATTRIBUTES, (struct str){room, (size_t)(pair.at - room)});
  }
}

static void set_rules(lua_State *L, struct policy *policy, struct span_queue *of) {
  static const char *const parents[] = {[TRACE_FOLLOW] = "follow", [TRACE_JOIN] = "join", "ignore", NULL};
  lua_Number ratio = luaL_checknumber(L, 2);
  struct tracing *tracing = arena_zalloc(&policy->arena, sizeof *tracing);
  tracing->queue = of;
  tracing->samples_all = ratio >= 1;
  tracing->threshold = tracing->samples_all ? 0 : (uint64_t)(ratio * 18446744073709551616.0);
  tracing->parent = (enum trace_parent)luaL_checkoption(L, 3, NULL, parents);
  policy->tracing = tracing;
}

/* core.tracing(bytes, ratio, parent, resource): a handle -4 +1 */
static int new_tracing(lua_State *L) {
  char room[RESOURCE_BYTES];
  struct vm *vm = vm_of(L);
  struct protobuf p = {room, room + sizeof room, 0};
  struct span_queue_config config = {(size_t)luaL_checknumber(L, 1)};
  if (!vm->loading)
    return handle_raise(L, "perilune.tracing is for the policy's main chunk: it is loaded already");
  if (vm->policy->tracing) return handle_raise(L, "perilune.tracing: it was called before");
  shared_check_room(L, "perilune.tracing", "queue", luaL_checknumber(L, 1), 1);
  luaL_checktype(L, 4, LUA_TTABLE);
  read_resource(L, 4, &p);
  if (p.missed) return handle_raise(L, "perilune.tracing: the attributes of the resource are too long");
  lua_settop(L, 4);
  lua_pushliteral(L, "tracing");
  struct tracing_handle *handle = handle_new(L, HANDLE_TRACING, sizeof *handle);
  shared_take(L, &handle->shared, &span_queue_kind, 5, &config);
  set_rules(L, vm->policy, handle->shared.object);
  handle->resource.ptr = str_to_cstring((struct str){room, handle->resource.len = (size_t)(p.at - room)});
  handle->is_user = !vm->host.is_control;
  if (handle->is_user) span_queue_add_user(handle->shared.object);
  return 1;
}

static void end(void *ended) {
  struct tracing_handle *handle = ended;
  struct span_queue *of = handle->shared.object;
  if (of && handle->is_user) span_queue_remove_user(of);
  if (of) span_queue_leave(of, handle->reader);
  free((char *)handle->resource.ptr);
  handle->resource.ptr = NULL;
  shared_end(&handle->shared);
}

void tracing_apply(struct policy *policy) {
  for (unsigned i = 0; i < policy->count; i++) policy->listeners[i].settings.tracing = policy->tracing;
}

/* --- batches --- */

/* core.tracing_enter(handle): this VM sends from now on -1 +0 */
static int enter(lua_State *L) {
  struct tracing_handle *handle = check(L);
  handle->reader = span_queue_enter(handle->shared.object);
  return 0;
}

/* core.tracing_state(handle): bytes that wait, VMs that may add more, does nobody newer send? -1 +3 */
static int state(lua_State *L) {
  const struct tracing_handle *handle = check(L);
  const struct span_queue *of = handle->shared.object;
  unsigned users = span_queue_users(of); /* before the look at what they have put in last */
  lua_pushnumber(L, (lua_Number)span_queue_waiting(of));
  lua_pushinteger(L, (lua_Integer)users);
  lua_pushboolean(L, span_queue_is_newest(of, handle->reader));
  return 3;
}

/* What goes before so many bytes of spans: the lengths of all that contains them. */
static void put_heads(struct protobuf *p, struct str resource, size_t spans) {
  char room[SCOPE_BYTES];
  struct protobuf scope = {room, room + sizeof room, 0};
  protobuf_put_bytes(&scope, SCOPE_NAME, STR("perilune"));
  protobuf_put_bytes(&scope, SCOPE_VERSION, STR(PERILUNE_VERSION));
  struct str scope_text = {room, (size_t)(scope.at - room)};
  size_t scope_spans = protobuf_field_size(scope_text.len) + spans;
  protobuf_head(p, RESOURCE_SPANS, protobuf_field_size(resource.len) + protobuf_field_size(scope_spans));
  protobuf_put_bytes(p, RESOURCE, resource);
  protobuf_head(p, SCOPE_SPANS, scope_spans);
  protobuf_put_bytes(p, SCOPE, scope_text);
}

/* core.tracing_batch(handle, most): an ExportTraceServiceRequest, and how many spans are in it; nil: there are none, or
 * somebody else sends -2 +2 | -2 +1 */
static int batch(lua_State *L) {
  unsigned spans;
  struct tracing_handle *handle = check(L);
  char heads[HEADS_BYTES];
  size_t most = (size_t)luaL_checknumber(L, 2);
  char *room = lua_newuserdata(L, sizeof heads + most), *start = room + sizeof heads;
  size_t bytes = span_queue_take(handle->shared.object, handle->reader, start, most, &spans);
  if (!spans) return push_nil(L);
  struct protobuf p = {heads, heads + sizeof heads, 0};
  put_heads(&p, handle->resource, bytes);
  size_t length = (size_t)(p.at - heads);
  memcpy(start - length, heads, length);
  push_text(L, (struct str){start - length, length + bytes});
  lua_pushinteger(L, (lua_Integer)spans);
  return 2;
}

/* core.tracing_settle(handle, is_kept) -2 +0 */
static int settle(lua_State *L) {
  const struct tracing_handle *handle = check(L);
  span_queue_settle(handle->shared.object, handle->reader, lua_toboolean(L, 2));
  return 0;
}

/* core.tracing_note(handle, exported, refused, why or "") -4 +0 */
static int note(lua_State *L) {
  uint64_t exported = (uint64_t)luaL_checknumber(L, 2), refused = (uint64_t)luaL_checknumber(L, 3);
  span_queue_note(queue(L), exported, refused, text_at(L, 4));
  return 0;
}

/* core.host_name() -0 +1 */
static int host_name(lua_State *L) {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) name[0] = '\0';
  lua_pushstring(L, name);
  return 1;
}

static const luaL_Reg methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {
    {"tracing", new_tracing},   {"tracing_enter", enter}, {"tracing_state", state}, {"tracing_batch", batch},
    {"tracing_settle", settle}, {"tracing_note", note},   {"host_name", host_name}, {NULL, NULL}};

void open_tracing(lua_State *L) {
  handle_define(L, HANDLE_TRACING, "perilune.tracing", methods, NULL);
  handle_set_end(L, HANDLE_TRACING, end);
  luaL_register(L, NULL, functions);
}
