// SPDX-License-Identifier: Apache-2.0
// profiler: see profiler.h. What is written here comes from three places in one thread: the signal's handler, which
// notes which turn it has interrupted and asks LuaJIT to call back; LuaJIT's call, at the next instruction that is
// interpreted or the next line of compiled code, where the stack is at rest and can be read; and the loop.
#include "lua/vm/profiler.h"

#include <errno.h>
#include <luajit.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "lua/vm/profile_stack.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"
#include "net/timer.h"

enum { SAMPLE_US = 1000 };
/* Lines; and a time of LuaJIT's own timer that is never reached, since that is stopped. */
#define MODE "li1000000"
/* The thread sanitizer holds signals back until a call that it knows: see watchdog.c. */
#ifdef __SANITIZE_THREAD__
#define SAMPLE_SIGNAL SIGTRAP
#else
#define SAMPLE_SIGNAL SIGPROF
#endif

/* What a VM has while it is profiled. */
struct profiled {
  struct vm *vm;           /* borrowed */
  struct profile *profile; /* borrowed */
  timer_t timer;
  /* By the handler, until LuaJIT calls back: samples, and the turn that they are of. */
  volatile unsigned samples, turn;
  volatile int hook;
  const char *volatile place;
  bool begun; /* LuaJIT's profiler is ours */
};

/* The VM that LuaJIT's profiler is for. */
static _Atomic(struct profiled *) sampled;
static void (*luajit_handler)(int number);

/* --- samples -------------------------------------------------------------------------------------------- */

/* Not ours are those of somebody else's kill, in whichever thread they come. */
static void on_sample(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  if (info->si_code != SI_TIMER) return;
  struct profiled *p = atomic_load(&sampled);
  if (!p || info->si_value.sival_ptr != p) return;
  unsigned samples = 1 + (unsigned)info->si_overrun;
  struct vm *vm = p->vm;
  if (watch_running() != vm || vm->lost.why || vm->closing) {
    p->profile->outside_us += (uint64_t)samples * SAMPLE_US;
    return;
  }
  int before = errno;
  p->samples += samples;
  p->turn = atomic_load_explicit(&vm->watch.turns, memory_order_relaxed);
  p->hook = atomic_load_explicit(&vm->watch.hook, memory_order_relaxed);
  p->place = atomic_load_explicit(&vm->watch.place, memory_order_relaxed);
  luajit_handler(SIGPROF);
  errno = before;
}

static const char *leaf_of(int state) {
  return state == 'C' ? "[C]" : state == 'G' ? "[gc]" : state == 'J' ? "[jit]" : NULL;
}

/* LuaJIT calls back late where the turn ended first: then the stack is another's. -0 +0 */
static void on_stack(void *data, lua_State *L, int unused, int state) {
  struct profiled *p = data;
  struct vm *vm = p->vm;
  char room[PROFILE_STACK_BYTES];
  unsigned samples = p->samples;
  (void)unused;
  p->samples = 0;
  if (!samples) return;
  bool is_late = p->turn != atomic_load_explicit(&vm->watch.turns, memory_order_relaxed);
  struct profile_at at = {L, vm->watch.co, (unsigned)p->hook, leaf_of(state), state == 'C'};
  struct str text =
      is_late ? profile_stack_late((unsigned)p->hook, p->place, room) : profile_stack(vm, &at, room);
  stacks_add(&p->profile->stacks, text, (uint64_t)samples * SAMPLE_US);
}

/* What ended before LuaJIT called. */
static void add_last(struct profiled *p) {
  char room[PROFILE_STACK_BYTES];
  if (!p->samples) return;
  struct str text = profile_stack_late((unsigned)p->hook, p->place, room);
  stacks_add(&p->profile->stacks, text, (uint64_t)p->samples * SAMPLE_US);
  p->samples = 0;
}

/* --- LuaJIT's profiler ---------------------------------------------------------------------------------- */

/* The handler is there before LuaJIT's, which puts it back at its end: a signal that comes late is nobody's. */
static void set_handler(void) {
  struct sigaction ours = {.sa_sigaction = on_sample, .sa_flags = SA_RESTART | SA_SIGINFO};
  sigfillset(&ours.sa_mask);
  sigaction(SAMPLE_SIGNAL, &ours, NULL);
  if (SAMPLE_SIGNAL != SIGPROF) sigaction(SIGPROF, &ours, NULL);
}

/* -0 +0 */
static int start(lua_State *L) {
  struct profiled *p = lua_touserdata(L, 1);
  static const struct itimerval never;
  struct sigaction theirs;
  set_handler();
  luaJIT_profile_start(L, MODE, on_stack, p);
  setitimer(ITIMER_PROF, &never, NULL);
  sigaction(SIGPROF, NULL, &theirs);
  luajit_handler = theirs.sa_handler;
  p->begun = !(theirs.sa_flags & SA_SIGINFO);
  set_handler();
  return 0;
}

/* -0 +0 */
static int stop(lua_State *L) {
  luaJIT_profile_stop(L);
  return 0;
}

static bool start_timer(struct profiled *p) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SAMPLE_SIGNAL};
  const struct itimerspec times = {{0, SAMPLE_US * 1000}, {0, SAMPLE_US * 1000}};
  event.sigev_value.sival_ptr = p;
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &p->timer) != 0) return false;
  timer_settime(p->timer, 0, &times, NULL);
  return true;
}

/* Not by task_protect where the state is given up: nothing runs in it. */
static void stop_sampling(struct profiled *p) {
  struct vm *vm = p->vm;
  timer_delete(p->timer);
  add_last(p);
  if (vm->lost.why || vm->closing)
    luaJIT_profile_stop(vm->L);
  else
    free(task_protect(vm, stop, NULL));
  atomic_store(&sampled, NULL);
}

static const char *start_sampling(struct profiled *p) {
  struct profiled *nobody = NULL;
  if (!atomic_compare_exchange_strong(&sampled, &nobody, p))
    return "another worker is still profiled: it is stuck";
  char *why = task_protect(p->vm, start, p);
  bool is_fine = !why && p->begun;
  free(why);
  if (is_fine && start_timer(p)) return NULL;
  if (is_fine) free(task_protect(p->vm, stop, NULL));
  atomic_store(&sampled, NULL);
  return is_fine ? "the system has no timer left" : "LuaJIT's profiler could not be started";
}

/* --- waits ---------------------------------------------------------------------------------------------- */

struct wait_note {
  uint64_t since_us;
  struct str stack; /* behind this struct */
};

void profiler_wait_begins(lua_State *L, struct task *task) {
  struct vm *vm = task->vm;
  char room[PROFILE_STACK_BYTES];
  if (vm->profiled->profile->of != PROFILE_WAIT || task->note) return;
  struct profile_at at = {L, task->co, task->hook, NULL, false};
  struct str stack = profile_stack(vm, &at, room);
  task->note = memory_alloc(sizeof *task->note + stack.len);
  task->note->since_us = loop_now_us(vm->host.loop);
  task->note->stack = (struct str){(char *)(task->note + 1), stack.len};
  memcpy(task->note + 1, stack.ptr, stack.len);
}

void profiler_wait_ends(struct task *task) {
  struct wait_note *note = task->note;
  struct profiled *p = task->vm->profiled;
  task->note = NULL;
  uint64_t now_us = loop_now_us(task->vm->host.loop);
  if (p && now_us > note->since_us) stacks_add(&p->profile->stacks, note->stack, now_us - note->since_us);
  free(note);
}

static void begin_waits(struct vm *vm) {
  loop_update_now(vm->host.loop);
  LIST_EACH(node, &vm->tasks) {
    struct task *task = LIST_ENTRY(node, struct task, link);
    if (task->cancel) profiler_wait_begins(task->co, task);
  }
}

static void end_waits(struct vm *vm) {
  loop_update_now(vm->host.loop);
  LIST_EACH(node, &vm->tasks) {
    struct task *task = LIST_ENTRY(node, struct task, link);
    if (task->note) profiler_wait_ends(task);
  }
}

/* --- life ----------------------------------------------------------------------------------------------- */

const char *profiler_begin(struct vm *vm, struct profile *profile) {
  const char *why = NULL;
  if (vm->profiled) return "the policy is profiled already";
  if (vm->lost.why) return "its VM was given up";
  struct profiled *p = memory_zalloc(sizeof *p);
  *p = (struct profiled){.vm = vm, .profile = profile};
  vm->profiled = p;
  if (profile->of == PROFILE_WAIT)
    begin_waits(vm);
  else
    why = start_sampling(p);
  profile->script = vm;
  if (!why) return NULL;
  profile->script = vm->profiled = NULL;
  free(p);
  return why;
}

void profiler_vm_ends(struct vm *vm) {
  struct profiled *p = vm->profiled;
  if (!p) return;
  if (p->profile->of == PROFILE_WAIT)
    end_waits(vm);
  else
    stop_sampling(p);
  p->profile->script = NULL;
  vm->profiled = NULL;
  free(p);
}

void profiler_end(struct profile *profile) {
  if (profile->script) profiler_vm_ends(profile->script);
}
