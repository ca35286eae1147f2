// SPDX-License-Identifier: Apache-2.0
// shared: handles of objects that all workers share. Every worker's VM runs the same script, so the n-th
// object of a kind that it makes while it is loaded is the same in all of them, and the same after a reload. With
// a name, an object stays the same even if the order in the script changes.
#ifndef PERILUNE_LUA_SHARED_H
#define PERILUNE_LUA_SHARED_H

#include "lua/vm/handle.h"
#include "shared/registry.h"

struct shared {
  struct handle handle;
  struct registry *registry;    /* borrowed */
  struct registry_entry *entry; /* reference; NULL once collected */
  void *object;                 /* of the entry */
};

/* A handle of the object under the name at `name` (string or nil: numbered). -0 +1 */
struct shared *shared_push(lua_State *L, enum handle_kind handle, const struct registry_kind *kind, int name,
                           const void *config);
/* The same for a handle made by the caller, which is on top of the stack, has `shared` first and more behind it.
 * `name` must not be counted from the top of the stack. -0 +0 */
void shared_take(lua_State *L, struct shared *shared, const struct registry_kind *kind, int name,
                 const void *config);
/* The most bytes that one object may take: more could not be had, or would leave nothing for the rest. */
lua_Number shared_most_bytes(void);
/* Raises unless an object of so many bytes has `least` or more, which is said as `words`, and no more than these.
 * -0 +0 */
void shared_check_size(lua_State *L, const char *call, lua_Number bytes, lua_Number least, const char *words);
/* Is there room for an object of `count` pieces of so many bytes each, rounded up to a power of two? Else raises: what
 * cannot be had would end the process. `option` is the name of the count in `call`. -0 +0 */
void shared_check_room(lua_State *L, const char *call, const char *option, lua_Number count,
                       unsigned bytes_each);
/* A number of the table at 1, times `scale`: raises unless that is from 1 to 2^31. -0 +0 */
unsigned shared_check_field(lua_State *L, const char *call, const char *name, lua_Number scale);
/* The end of all of them: see handle_set_end. */
void shared_end(void *shared);

/* Does the policy load, and is the object in use already? Then its main chunk changes nothing of it, since the policy
 * may be refused: methods that do put themselves off, and give what they would if nothing else happened. */
bool shared_is_foreign(lua_State *L, const struct shared *shared);
/* `call` is called with the arguments on the stack once the policy is in force, in this vm; never, if that does not
 * happen. What it gives is dropped, what it raises is logged. -0 +0 */
void shared_put_off(lua_State *L, lua_CFunction call);
/* Is the object in force, and this vm's policy not (yet, or any more)? */
bool shared_is_staged(lua_State *L, const struct shared *shared);
/* The policy is in force: does what was put off, in its order. */
void shared_start(struct vm *vm);

#endif
