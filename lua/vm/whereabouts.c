// SPDX-License-Identifier: Apache-2.0
// whereabouts: see whereabouts.h. Other threads read the handler's result: each word is atomic, and they are valid
// for the turn whose number is stored after them. It is written once per turn.
#include "lua/vm/whereabouts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "lua/vm/handle.h"
#include "lua/vm/lost.h"
#include "lua/vm/vm.h"
#include "exchange/hooks.h"

enum { TRIES = 8, FRAMES_MOST = 50, PAGE_BYTES = 4096 };

bool whereabouts_want(struct watch *w, unsigned turn) {
  struct whereabouts *at = &w->whereabouts;
  if (atomic_load(&at->wanted) != turn) at->tries = 0;
  if (atomic_load(&at->known) == turn || at->tries >= TRIES) return false;
  at->tries++;
  atomic_store(&at->wanted, turn);
  return true;
}

/* --- in the handler --------------------------------------------------------------------------------------- */

#if defined __x86_64__
static const unsigned char system_call[] = {0x0f, 0x05};
#elif defined __aarch64__
static const unsigned char system_call[] = {0x01, 0x00, 0x00, 0xd4};
#else
static const unsigned char system_call[] = {0};
#endif

/* What the call returned, if the thread is behind one. */
static long result_of(const void *context) {
#if defined __x86_64__
  return (long)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RAX];
#elif defined __aarch64__
  return (long)((const ucontext_t *)context)->uc_mcontext.regs[0];
#else
  (void)context;
  return 0;
#endif
}

static bool is_system_call(uintptr_t at) {
  return memcmp((const void *)at, system_call, sizeof system_call) == 0;
}

bool whereabouts_is_blocked(const void *context) {
  uintptr_t pc = lost_pc(context);
  size_t length = sizeof system_call;
  if (length == 1 || pc % PAGE_BYTES < length || pc % PAGE_BYTES > PAGE_BYTES - length) return false;
  return is_system_call(pc) || (is_system_call(pc - length) && result_of(context) == -EINTR);
}

static void note(struct whereabouts *at, const lua_Debug *ar, unsigned turn) {
  char text[sizeof at->source] = "";
  const char *source = ar->source + 1; /* behind the @ */
  size_t length = strlen(source), most = sizeof text - 1;
  memcpy(text, length > most ? source + length - most : source, length > most ? most : length);
  for (size_t i = 0; i < sizeof at->source / sizeof *at->source; i++) {
    uint64_t word;
    memcpy(&word, text + i * sizeof word, sizeof word);
    atomic_store_explicit(&at->source[i], word, memory_order_relaxed);
  }
  atomic_store_explicit(&at->line, ar->currentline, memory_order_relaxed);
  atomic_store_explicit(&at->known, turn, memory_order_release);
}

void whereabouts_look(struct vm *vm, const void *context) {
  struct whereabouts *at = &vm->watch.whereabouts;
  unsigned turn = atomic_load(&vm->watch.turns);
  lua_State *L = vm->watch.co ? vm->watch.co : vm->L;
  lua_Debug ar;
  if (atomic_load(&at->wanted) != turn || atomic_load(&at->known) == turn || vm->closing) return;
  if (vm->memory.moves) return; /* the stack of Lua, perhaps */
  if (!whereabouts_is_blocked(context)) return;
  for (int level = 0; level < FRAMES_MOST && lua_getstack(L, level, &ar); level++) {
    if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0 || *ar.source != '@') continue;
    if (handle_is_own_source(vm, ar.source)) continue; /* what is looked for has called it */
    note(at, &ar, turn);
    return;
  }
}

/* --- told ------------------------------------------------------------------------------------------------- */

static bool are_known(const struct watch *w) {
  return atomic_load_explicit(&w->whereabouts.known, memory_order_acquire) == atomic_load(&w->turns);
}

static void read_source(const struct whereabouts *at, char text[sizeof at->source]) {
  for (size_t i = 0; i < sizeof at->source / sizeof *at->source; i++) {
    uint64_t word = atomic_load_explicit(&at->source[i], memory_order_relaxed);
    memcpy(text + i * sizeof word, &word, sizeof word);
  }
}

static const char *name_of(const struct watch *w) {
  int hook = atomic_load(&w->hook);
  if (atomic_load(&w->loads)) return "the main chunk";
  return hook == TASK_NO_HOOK ? "background work" : hook_name((enum hook)hook);
}

void whereabouts_describe(const struct watch *w, char *text, size_t bytes) {
  const char *place = atomic_load(&w->place);
  const struct whereabouts *at = &w->whereabouts;
  char source[sizeof at->source];
  if (are_known(w)) {
    read_source(at, source);
    snprintf(text, bytes, "%s at %s:%d", name_of(w), source, atomic_load(&at->line));
  } else if (place)
    snprintf(text, bytes, "%s (defined at %s)", name_of(w), place);
  else
    snprintf(text, bytes, "%s", name_of(w));
}

const char *whereabouts_why(const struct watch *w) {
  if (are_known(w)) return "cannot be interrupted: it waits in a call, as os.execute does";
  if (lost_is_compiled(w, atomic_load(&w->pc)))
    return "cannot be interrupted: it is in a loop that LuaJIT has compiled, which tells no line";
  return "cannot be interrupted: it is in a C function, or waits in one, as os.execute does";
}
