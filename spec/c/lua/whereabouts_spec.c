// SPDX-License-Identifier: Apache-2.0
// Units for lua/vm/whereabouts: what is said of a turn, and how often its line is looked up.
#include "lua/vm/whereabouts.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include "lua/vm/task.h"
#include "exchange/hooks.h"
#include "unit.h"

static const char *described(const struct watch *w) {
  static char text[256];
  whereabouts_describe(w, text, sizeof text);
  return text;
}

static void know(struct watch *w, unsigned turn, const char *file, int line) {
  char text[sizeof w->whereabouts.source] = "";
  memcpy(text, file, strlen(file));
  memcpy((void *)w->whereabouts.source, text, sizeof text);
  atomic_store(&w->whereabouts.line, line);
  atomic_store(&w->whereabouts.known, turn);
}

IT("names the hook with where it is defined, as long as its line is not known") {
  struct watch w = {.turns = 3, .hook = HOOK_request_filter, .place = "policy.lua:12"};
  CHECK_STR(str_of(described(&w)), "request_filter (defined at policy.lua:12)");
}

IT("names the line of this turn, not that of an earlier one") {
  struct watch w = {.turns = 3, .hook = HOOK_request_filter, .place = "policy.lua:12"};
  know(&w, 1, "policy.lua", 14);
  CHECK_STR(str_of(described(&w)), "request_filter (defined at policy.lua:12)");
  know(&w, 3, "policy.lua", 15);
  CHECK_STR(str_of(described(&w)), "request_filter at policy.lua:15");
}

IT("says of a policy that is being loaded that it is its main chunk") {
  struct watch w = {.turns = 1, .hook = TASK_NO_HOOK, .loads = true};
  CHECK_STR(str_of(described(&w)), "the main chunk");
  know(&w, 1, "module.lua", 2);
  CHECK_STR(str_of(described(&w)), "the main chunk at module.lua:2");
}

IT("says of other work that it is background work") {
  struct watch w = {.turns = 1, .hook = TASK_NO_HOOK};
  CHECK_STR(str_of(described(&w)), "background work");
}

IT("wants a line a few times in a turn, and no more once it is known") {
  struct watch w = {.turns = 5};
  unsigned count = 0;
  while (count < 100 && whereabouts_want(&w, 5)) count++;
  CHECK(count == 8);
  CHECK(whereabouts_want(&w, 7));
  know(&w, 7, "policy.lua", 1);
  CHECK(!whereabouts_want(&w, 7));
}

#if defined __x86_64__ || defined __aarch64__
/* Machine code, in the middle of a page: nothing, the call of the kernel, nothing. */
static _Alignas(4096) const unsigned char code[4096] = {
#ifdef __x86_64__
    [64] = 0x0f,
    0x05,
#else
    [64] = 0x01,
    0x00,
    0x00,
    0xd4,
#endif
};

static bool is_blocked(size_t offset, long result) {
  ucontext_t context = {0};
#ifdef __x86_64__
  context.uc_mcontext.gregs[REG_RIP] = (greg_t)(code + offset);
  context.uc_mcontext.gregs[REG_RAX] = result;
#else
  context.uc_mcontext.pc = (uintptr_t)(code + offset);
  context.uc_mcontext.regs[0] = (unsigned long)result;
#endif
  return whereabouts_is_blocked(&context);
}

IT("is looked up where a system call waited, and not behind one that is through") {
#ifdef __x86_64__
  enum { CALL = 64, BEHIND = 66 };
#else
  enum { CALL = 64, BEHIND = 68 };
#endif
  CHECK(is_blocked(CALL, 0)); /* to be begun again */
  CHECK(is_blocked(BEHIND, -EINTR));
  CHECK(!is_blocked(BEHIND, 0) && !is_blocked(BEHIND, -ENOMEM)); /* as sigaltstack, mremap */
  CHECK(!is_blocked(CALL - 16, -EINTR) && !is_blocked(BEHIND + 16, -EINTR));
  CHECK(!is_blocked(0, -EINTR) && !is_blocked(sizeof code - 1, -EINTR)); /* a page of others may follow */
}
#endif

IT("says of a turn that cannot be interrupted whether it waits in a call, is in compiled code, or in C") {
  struct watch w = {.turns = 5, .hook = HOOK_request_filter, .code_from = 100, .code_to = 200};
  CHECK(strstr(whereabouts_why(&w), "it is in a C function") != NULL);
  w.pc = 150;
  CHECK(strstr(whereabouts_why(&w), "a loop that LuaJIT has compiled") != NULL);
  w.pc = 200;
  CHECK(strstr(whereabouts_why(&w), "it is in a C function") != NULL);
  know(&w, 5, "policy.lua", 14);
  CHECK(strstr(whereabouts_why(&w), "it waits in a call") != NULL);
}
