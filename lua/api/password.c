// SPDX-License-Identifier: Apache-2.0
// password: checks of passwords that take their time: core.password_crypt and core.password_argon2 begin one in a
// thread of core/net/offload, core.password_wait parks the task, core.password_result says how it went.
// lua/perilune/password.lua calls them, and bounds what a hash may cost.
//
// A job is for all checks of its VM that have the same tag: it owns the copies of password and hash, and stands in
// vm->password_jobs as long as somebody waits. When the last one has gone (its client has), the job is taken out of the
// queue, or, if it runs, comes back to nobody. Jobs of other VMs with the same tag follow it there (offload.h), so that
// the process checks a pair of name and password once at a time.
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "exchange/proxy.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/offload.h"
#include "net/password.h"

_Static_assert((int)OFFLOAD_KEY == PASSWORD_TAG, "a tag is the key of a job");

enum { WAIT_MS = 10000 }; /* the longest, with the time in the queue */

struct check {
  struct handle handle;
  struct list link;      /* in job->checks */
  struct check_job *job; /* borrowed: while it is under way */
  struct task *task;     /* borrowed: that waits for it */
  struct timer timer;    /* set while it waits */
  enum password_result result;
};

struct check_job {
  struct offload_job job; /* first */
  struct list link;       /* in vm->password_jobs while somebody waits */
  struct list checks;     /* borrowed: struct check */
  struct str tag;         /* owned */
  bool is_argon2;
  struct argon2_hash argon2;
  struct str password, hash; /* owned, with a NUL behind; `hash` of libcrypt, or digest and salt of argon2 */
  enum password_result result;
};

/* --- the job ---------------------------------------------------------------------------------------------- */

static void run(struct offload_job *job) {
  struct check_job *c = (struct check_job *)job;
  c->result =
      c->is_argon2 ? password_argon2(c->password, &c->argon2) : password_crypt(c->password, c->hash.ptr);
}

static void share(struct offload_job *job, const struct offload_job *done) {
  ((struct check_job *)job)->result = ((const struct check_job *)done)->result;
}

static void free_text(struct str text) {
  char *bytes = (char *)(uintptr_t)text.ptr;
  explicit_bzero(bytes, text.len);
  free(bytes);
}

static void free_job(struct check_job *c) {
  CHECK(list_is_empty(&c->checks));
  list_remove(&c->link);
  free_text(c->password);
  free_text(c->hash);
  free_text(c->tag);
  free(c);
}

/* The check is over. Its task goes on in the next turn, for handles may not go away here. */
static void settle(struct check *check, enum password_result result) {
  struct task *task = check->task;
  check->job = NULL;
  check->task = NULL;
  check->result = result;
  list_remove(&check->link);
  timer_stop(&check->timer);
  if (task) task_wake_soon(task);
}

/* The check does not wait for its job any more; nor does the job run, if nobody else does. */
static void give_up(struct check *check) {
  struct check_job *c = check->job;
  if (!c) return;
  settle(check, PASSWORD_FAILED);
  if (!list_is_empty(&c->checks)) return;
  list_remove(&c->link);
  if (offload_withdraw(OFFLOAD_PASSWORDS, &c->job)) free_job(c);
}

static void on_due(struct timer *timer) { give_up(CONTAINER_OF(timer, struct check, timer)); }

static void on_done(struct offload_job *job) {
  struct check_job *c = (struct check_job *)job;
  list_remove(&c->link);
  while (!list_is_empty(&c->checks)) settle(LIST_ENTRY(c->checks.next, struct check, link), c->result);
  free_job(c);
}

/* --- beginning -------------------------------------------------------------------------------------------- */

static struct check_job *make(struct vm *vm, struct str tag, struct str password, struct str hash) {
  struct check_job *c = memory_zalloc(sizeof *c);
  CHECK(tag.len == OFFLOAD_KEY);
  c->job = (struct offload_job){.home = vm->host.proxy->mailbox, .run = run, .done = on_done, .share = share};
  memcpy(c->job.key, tag.ptr, OFFLOAD_KEY);
  c->result = PASSWORD_FAILED;
  c->tag = str_own(tag);
  c->password = str_own(password);
  c->hash = str_own(hash);
  list_init(&c->checks);
  list_push_back(&vm->password_jobs, &c->link);
  return c;
}

static struct check_job *find(struct vm *vm, struct str tag) {
  LIST_EACH(node, &vm->password_jobs) {
    struct check_job *c = LIST_ENTRY(node, struct check_job, link);
    if (str_equal(c->tag, tag)) return c;
  }
  return NULL;
}

static void join(struct check *check, struct check_job *c, struct ev_loop *loop) {
  check->job = c;
  list_push_back(&c->checks, &check->link);
  timer_init(&check->timer, loop, on_due);
}

/* The handle for a job that is under way or new, and whether an equal one is under way already; nil: too many wait.
 * `at_once`: it is done here. -0 +2 */
static int begin(lua_State *L, struct check_job *c, bool is_new, bool at_once) {
  struct check *check = handle_new(L, HANDLE_PASSWORD_CHECK, sizeof *check);
  bool shares = !is_new;
  list_init(&check->link);
  if (at_once) {
    run(&c->job);
    check->result = c->result;
    free_job(c);
  } else if (!is_new || offload_submit(OFFLOAD_PASSWORDS, &c->job)) {
    join(check, c, vm_of(L)->host.proxy->loop);
    shares |= c->job.follows;
  } else {
    free_job(c);
    lua_pushnil(L);
  }
  lua_pushboolean(L, shares);
  return 2;
}

/* --- what Lua calls --------------------------------------------------------------------------------------- */

/* The first argument: what core.password_tag has made. -0 +0 */
static struct str tag_at(lua_State *L) {
  struct str tag = text_at(L, 1);
  luaL_argcheck(L, tag.len == PASSWORD_TAG, 1, "expected a tag");
  return tag;
}

/* core.password_crypt(tag, password, hash, at once): see begin -4 +2 */
static int crypt_open(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct str tag = tag_at(L), password = text_at(L, 2), hash = text_at(L, 3);
  bool at_once = lua_toboolean(L, 4) || !vm->host.proxy->mailbox;
  task_to_park(L, "crypto.verify_password");
  struct check_job *c = find(vm, tag);
  return begin(L, c ? c : make(vm, tag, password, hash), !c, at_once);
}

/* core.password_argon2(tag, password, at once, kind, version, memory in KiB, passes, lanes, salt, digest) -10 +2 */
static int argon2_open(lua_State *L) {
  static const char *const kinds[] = {"argon2d", "argon2i", "argon2id", NULL};
  struct vm *vm = vm_of(L);
  struct str tag = tag_at(L), password = text_at(L, 2), salt = text_at(L, 9), digest = text_at(L, 10);
  bool at_once = lua_toboolean(L, 3) || !vm->host.proxy->mailbox;
  struct argon2_hash argon2 = {.kind = (enum argon2_kind)luaL_checkoption(L, 4, NULL, kinds),
                               .version = (unsigned)luaL_checkinteger(L, 5),
                               .memory_kib = (unsigned)luaL_checkinteger(L, 6),
                               .passes = (unsigned)luaL_checkinteger(L, 7),
                               .lanes = (unsigned)luaL_checkinteger(L, 8)};
  task_to_park(L, "crypto.verify_password");
  struct check_job *c = find(vm, tag);
  if (c) return begin(L, c, false, at_once);
  lua_pushlstring(L, digest.ptr, digest.len);
  lua_pushlstring(L, salt.ptr, salt.len);
  lua_concat(L, 2);
  c = make(vm, tag, password, text_of(L, -1));
  c->is_argon2 = true;
  c->argon2 = argon2;
  c->argon2.digest = (struct str){c->hash.ptr, digest.len};
  c->argon2.salt = str_from(c->hash, digest.len);
  return begin(L, c, true, at_once);
}

static void cancel(void *what) {
  struct check *check = what;
  check->task = NULL;
  give_up(check);
}

/* core.password_wait(check) -1 +0 (yields) */
static int wait(lua_State *L) {
  struct check *check = handle_check(L, 1, HANDLE_PASSWORD_CHECK);
  if (!check->job) return 0;
  check->task = task_to_park(L, "crypto.verify_password");
  timer_set(&check->timer, WAIT_MS);
  return task_wait(L, cancel, check);
}

/* core.password_result(check): does it fit? nil: it could not be computed -1 +1 */
static int result(lua_State *L) {
  const struct check *check = handle_check(L, 1, HANDLE_PASSWORD_CHECK);
  if (check->job) return task_not_done(L, "crypto.verify_password");
  if (check->result == PASSWORD_FAILED) return push_nil(L);
  lua_pushboolean(L, check->result == PASSWORD_RIGHT);
  return 1;
}

/* A coroutine that waited for it may be gone, and not its task. */
static void end(void *ended) { give_up(ended); }

/* core.password_knows(hash): has libcrypt its method? -1 +1 */
static int knows(lua_State *L) {
  lua_pushboolean(L, password_crypt_knows(luaL_checkstring(L, 1)));
  return 1;
}

/* core.password_tag(text): bytes that stand for the text in this process alone -1 +1 */
static int tag(lua_State *L) {
  unsigned char bytes[PASSWORD_TAG];
  if (!password_tag(text_at(L, 1), bytes)) return handle_raise(L, "basic_auth: OpenSSL has no random bytes");
  lua_pushlstring(L, (const char *)bytes, sizeof bytes);
  return 1;
}

static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"password_crypt", crypt_open},
                                     {"password_argon2", argon2_open},
                                     {"password_wait", wait},
                                     {"password_result", result},
                                     {"password_knows", knows},
                                     {"password_tag", tag},
                                     {NULL, NULL}};

void open_password(lua_State *L) {
  list_init(&vm_of(L)->password_jobs);
  luaL_register(L, NULL, functions);
  lua_pushboolean(L, password_has_argon2());
  lua_setfield(L, -2, "password_has_argon2");
  lua_pushinteger(L, PASSWORD_MOST);
  lua_setfield(L, -2, "password_most");
  handle_define(L, HANDLE_PASSWORD_CHECK, "perilune.password_check", no_methods, NULL);
  handle_set_end(L, HANDLE_PASSWORD_CHECK, end);
}
