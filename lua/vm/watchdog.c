// SPDX-License-Identifier: Apache-2.0
// watchdog: see watchdog.h. The hard problem is to stop code from another thread: exactly the turn that is meant, and
// nothing after it. So the watchdog names the turn and sends its thread a signal; the handler, which runs in that
// thread, sets Lua's hook if that turn still runs. The hook raises, and stays set until the turn has ended: so a
// pcall does not save an endless loop. It interrupts what the interpreter runs, and calls of C functions that come
// back to it. Machine code of the JIT compiler checks no hook, and neither does a finalizer: if a turn goes on, the
// handler leaves it, and its Lua state is given up (lost.h). If even this is not possible, the turn is in C code, and
// is reported.
#include "lua/vm/watchdog.h"

#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/log.h"
#include "lua/vm/cap.h"
#include "lua/vm/handle.h"
#include "lua/vm/lost.h"
#include "lua/vm/vm.h"
#include "lua/vm/whereabouts.h"
#include "net/virtual_time.h"
#include "exchange/hooks.h"

enum { LOOKS_PER_BUDGET = 4, LOOK_LEAST_MS = 5, LOOK_MOST_MS = 250, HOOK_MS = 1000, LOADING_MS = 10000 };
/* A main chunk may wait, or get little time of the processor: by the clock it has this many times its budget. But what
 * has used that part of it is no slow start: it has only so much more. */
enum { LOADING_PATIENCE = 3, LOADING_MORE_MS = 5000 };
/* Where a turn is that is blocked is looked up so long after its budget: before anybody asks, and late enough that no
 * call that lasts a little is interrupted by the signal. */
enum { LOOK_UP_MS = 400, REPORT_MS = 2000, BLOCKED_MS = 5000, GRACE_LEAST_MS = 100, GRACE_MOST_MS = 1000 };
/* The thread sanitizer holds signals back until a call that it knows, and an endless loop makes none; only those
 * that a fault could have sent come at once. */
#ifdef __SANITIZE_THREAD__
#define WATCH_SIGNAL SIGSYS
#else
#define WATCH_SIGNAL SIGVTALRM
#endif

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_once_t made; /* `changed` */
  pthread_t thread;
  struct list watches;
  unsigned serial; /* of the thread that is to run */
  bool runs;
  bool hurries; /* nobody wants what is being loaded */
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER, .made = PTHREAD_ONCE_INIT};

static _Thread_local struct vm *volatile current; /* whose Lua this thread runs */
static _Thread_local int thread_id;

static void *look_after_all(void *serial);
static void on_signal(int number, siginfo_t *info, void *context);

/* --- the thread's own side ------------------------------------------------------------------------------ */

struct vm *watch_running(void) {
  return current;
}

static __attribute__((cold)) int know_thread(void) { return thread_id = (int)syscall(SYS_gettid); }

void watch_enter(struct vm *vm, const char *place, unsigned hook) {
  struct watch *w = &vm->watch;
  if (vm->depth++) return;
  int thread = thread_id ? thread_id : know_thread();
  unsigned turn = atomic_load_explicit(&w->turns, memory_order_relaxed) + 1;
  atomic_store_explicit(&w->thread, thread, memory_order_relaxed);
  atomic_store_explicit(&w->place, place, memory_order_relaxed);
  atomic_store_explicit(&w->hook, (int)hook, memory_order_relaxed);
  w->overran = false;
  vm->use.turn_bytes = vm->memory.used_bytes;
  current = vm;
  atomic_store_explicit(&w->turns, turn, memory_order_release);
}

static __attribute__((cold)) void disarm(struct vm *vm) {
  vm->set_hook(vm);
  vm->watch.is_armed = false;
  cap_stop(vm);
}

void watch_leave(struct vm *vm) {
  struct watch *w = &vm->watch;
  if (--vm->depth) return;
  current = NULL;
  unsigned turn = atomic_load_explicit(&w->turns, memory_order_relaxed) + 1;
  atomic_store_explicit(&w->turns, turn, memory_order_release);
  if (w->is_armed) disarm(vm);
}

static void raise_overrun(lua_State *L, int level) {
  struct watch *w = &vm_of(L)->watch;
  w->overran = true;
  handle_push_where(L, level);
  lua_pushfstring(L, "used up its time: it ran for more than %f s without a pause",
                  (lua_Number)atomic_load(&w->budget_ms) / 1000);
  lua_concat(L, 2);
  lua_error(L);
}

bool watch_is_doomed(const struct vm *vm) {
  return atomic_load(&vm->watch.doomed) == atomic_load(&vm->watch.turns);
}

static bool is_condemned(struct watch *w) { return atomic_load(&w->condemned) == atomic_load(&w->turns); }

/* Set for the time, and stays; or for memory, and is set again by the next allocation beyond the limit. */
static void on_hook(lua_State *L, lua_Debug *unused) {
  struct vm *vm = vm_of(L);
  (void)unused;
  if (is_condemned(&vm->watch)) raise_overrun(L, 0);
  disarm(vm);
  if (is_condemned(&vm->watch)) watch_arm(vm); /* meanwhile */
  cap_heed(L);
}

void watch_check(struct vm *vm, lua_State *L) {
  if (vm->watch.is_armed && is_condemned(&vm->watch)) raise_overrun(L, 1);
}

void watch_arm(struct vm *vm) {
  vm->watch.is_armed = true;
  lua_sethook(vm->L, on_hook, LUA_MASKCOUNT, 1);
}

/* In the thread that is meant. lua_sethook is one of the calls that LuaJIT allows here. */
static void on_signal(int number, siginfo_t *unused, void *context) {
  struct vm *vm = current;
  (void)number, (void)unused;
  if (vm) whereabouts_look(vm, context);
  if (!vm || !is_condemned(&vm->watch)) return;
  struct watch *w = &vm->watch;
  uintptr_t pc = lost_pc(context);
  atomic_store(&w->pc, pc);
  if (watch_is_doomed(vm)) {
    if (lost_can_land(vm) && lost_is_lua(w, pc)) {
      pthread_sigmask(SIG_SETMASK, &((const ucontext_t *)context)->uc_sigmask,
                      NULL); /* as the return would */
      lost_give_up(vm, LOST_TIME);
    }
    vm->memory.asks_at = 0; /* the allocator is as good a place: see cap_beyond */
  }
  if (!vm->closing) watch_arm(vm); /* a state that closes is freed piece by piece, and runs finalizers only */
}

/* --- the watchdog's side -------------------------------------------------------------------------------- */

static uint64_t now_ms(void) { return clock_now_ms(&clock_system); }

/* CPU time of a thread; 0 where it has gone. The clock's number as the kernel makes it of a thread's id. */
static uint64_t cpu_ms(int thread) {
  struct timespec t;
  clockid_t clock = (clockid_t)(~(unsigned)thread << 3 | 6u);
  if (clock_gettime(clock, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void begin_to_look(struct watch *w, unsigned turn) {
  w->seen = turn;
  w->since_ms = now_ms();
  w->cpu_ms = cpu_ms(atomic_load(&w->thread));
  w->looked_ms = w->since_ms;
  w->used_ms = w->waited_ms = w->condemned_ms = w->reported_ms = 0;
  atomic_store(&w->pc, 0);
}

static void tell_stuck(struct watch *w, double seconds) {
  const struct vm *vm = CONTAINER_OF(w, struct vm, watch);
  if (atomic_load(&w->pc)) lost_find_code(w);
  bool is_starved = !w->condemned_ms && !w->is_blocked;
  const char *why = is_starved ? "gets little time of the processor" : whereabouts_why(w);
  char worker[24] = "control", what[256];
  whereabouts_describe(w, what, sizeof what);
  if (atomic_load(&w->loads)) {
    log_error("a policy is being loaded: %s has not come to its end in %.1f s and %s", what, seconds, why);
    return;
  }
  if (!vm->host.is_control) snprintf(worker, sizeof worker, "worker %u", vm->host.worker);
  log_error("%s is stuck: %s has run for %.1f s without a pause and %s; everything else there waits", worker,
            what, seconds, why);
}

/* Some time after it was to be given up, and then at twice the time, and so on. What takes no time of the processor
 * may be blocked in a call, or its thread may not get any: that is told late. */
static void report(struct watch *w, uint64_t passed, unsigned budget) {
  if (atomic_load(&w->loads) && !w->condemned_ms) return; /* it will be */
  uint64_t due = w->reported_ms    ? 2 * w->reported_ms
                 : w->condemned_ms ? w->condemned_ms + REPORT_MS
                                   : budget + BLOCKED_MS;
  if (passed < due || atomic_load(&w->turns) != w->seen) return;
  w->reported_ms = passed;
  tell_stuck(w, (double)passed / 1000);
}

/* Under the lock. */
static unsigned budget_of(const struct watch *w) {
  return dog.hurries && atomic_load(&w->loads) ? 1 : atomic_load(&w->budget_ms);
}

static void wake(const struct watch *w) {
  syscall(SYS_tgkill, getpid(), atomic_load(&w->thread), WATCH_SIGNAL);
}

/* How long a turn may go on once Lua's hook is set, in CPU time: a thread that gets none has not seen the hook yet. */
static unsigned grace_ms(unsigned budget) {
  if (budget < GRACE_LEAST_MS) return GRACE_LEAST_MS;
  return budget > GRACE_MOST_MS ? GRACE_MOST_MS : budget;
}

/* Told to stop again and again; and given up, where that has had its time to work. */
static void condemn(struct watch *w, unsigned turn, uint64_t passed, uint64_t used, unsigned budget) {
  atomic_store(&w->condemned, turn);
  if (!w->condemned_ms) {
    w->condemned_ms = passed;
    w->condemned_cpu_ms = used;
  }
  if (used >= w->condemned_cpu_ms + grace_ms(budget)) {
    lost_find_code(w);
    atomic_store(&w->doomed, turn);
  }
  wake(w);
}

/* What is blocked takes no time of the processor. A main chunk has a long budget, and is asked for before. */
static void look_up(struct watch *w, unsigned turn, uint64_t passed, uint64_t used, unsigned budget) {
  bool is_due = passed >= LOOK_UP_MS + (atomic_load(&w->loads) ? 0 : budget);
  w->is_blocked = used == w->used_ms;
  w->used_ms = used;
  if (w->is_blocked && is_due && whereabouts_want(w, turn)) wake(w);
}

bool watch_load_is_over(unsigned budget, uint64_t waited, uint64_t used) {
  if (waited >= (uint64_t)LOADING_PATIENCE * budget) return true;
  return waited >= (uint64_t)budget + LOADING_MORE_MS && used >= budget / LOADING_PATIENCE;
}

static void look_after(struct watch *w) {
  unsigned turn = atomic_load_explicit(&w->turns, memory_order_acquire);
  unsigned budget = budget_of(w);
  bool runs = turn & 1;
  if (!runs || !budget) return;
  if (turn != w->seen) {
    begin_to_look(w, turn);
    return;
  }
  int thread = atomic_load(&w->thread);
  uint64_t passed = now_ms() - w->since_ms, used = cpu_ms(thread) - w->cpu_ms;
  uint64_t step = now_ms() - w->looked_ms;
  w->looked_ms += step;
  w->waited_ms += step < 2 * LOOK_MOST_MS ? step : 2 * LOOK_MOST_MS;
  bool waits = atomic_load(&w->loads) && watch_load_is_over(budget, w->waited_ms, used);
  if (waits || (passed >= budget && used >= budget)) condemn(w, turn, passed, used, budget);
  look_up(w, turn, passed, used, budget);
  report(w, passed, budget);
}

/* As often as the shortest budget wants it. */
static unsigned next_look_ms(void) {
  unsigned least = LOOK_MOST_MS;
  LIST_EACH(node, &dog.watches) {
    unsigned budget = budget_of(LIST_ENTRY(node, struct watch, link));
    if (budget && budget / LOOKS_PER_BUDGET < least) least = budget / LOOKS_PER_BUDGET;
  }
  return least < LOOK_LEAST_MS ? LOOK_LEAST_MS : least;
}

static void sleep_a_while(void) {
  struct timespec until;
  unsigned ms = next_look_ms();
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += ms / 1000;
  until.tv_nsec += (long)(ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_cond_timedwait(&dog.changed, &dog.lock, &until);
}

static void *look_after_all(void *serial) {
  log_set_thread("watchdog");
  pthread_setname_np(pthread_self(), "watchdog");
  pthread_mutex_lock(&dog.lock);
  while (dog.serial == (unsigned)(uintptr_t)serial) {
    LIST_EACH(node, &dog.watches) look_after(LIST_ENTRY(node, struct watch, link));
    sleep_a_while();
  }
  pthread_mutex_unlock(&dog.lock);
  return NULL;
}

/* --- asked --------------------------------------------------------------------------------------------- */

void watch_doing(unsigned worker, char *text, size_t bytes) {
  *text = '\0';
  pthread_mutex_lock(&dog.lock);
  for (const struct list *node = dog.watches.next; node && node != &dog.watches; node = node->next) {
    const struct watch *w = LIST_ENTRY(node, struct watch, link);
    const struct vm *vm = CONTAINER_OF(w, struct vm, watch);
    bool runs = atomic_load(&w->turns) == w->seen && (w->seen & 1), loads = atomic_load(&w->loads);
    char what[256];
    if (!runs || loads != (worker == POLICY_LOADING)) continue;
    whereabouts_describe(w, what, sizeof what);
    if (loads) snprintf(text, bytes, "%s", what);
    if (vm->host.worker != worker || now_ms() - w->since_ms < atomic_load(&w->budget_ms)) continue;
    snprintf(text, bytes, "stuck in %s for %.0f s", what, (double)(now_ms() - w->since_ms) / 1000);
  }
  pthread_mutex_unlock(&dog.lock);
}

/* --- begin and end -------------------------------------------------------------------------------------- */

/* The time of day may step back. */
static void make_condition(void) {
  pthread_condattr_t steady;
  pthread_condattr_init(&steady);
  pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
  pthread_cond_init(&dog.changed, &steady);
  pthread_condattr_destroy(&steady);
}

/* Signals are the other threads' business. */
static void start(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO | SA_NODEFER};
  sigset_t all, before;
  pthread_once(&dog.made, make_condition);
  sigaddset(&action.sa_mask, SIGPROF); /* which sets a hook, too: profiler.c */
  sigaction(WATCH_SIGNAL, &action, NULL);
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  void *serial = (void *)(uintptr_t)++dog.serial;
  dog.runs = pthread_create(&dog.thread, NULL, look_after_all, serial) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void watch_begin(struct vm *vm) {
  vm->watch.hook_ms = HOOK_MS;
  atomic_store(&vm->watch.loads, true);
  atomic_store(&vm->watch.budget_ms, virtual_time.on && !virtual_time.is_replay ? 0 : LOADING_MS);
  pthread_mutex_lock(&dog.lock);
  if (!dog.watches.next) list_init(&dog.watches);
  list_push_back(&dog.watches, &vm->watch.link);
  if (!dog.runs) start();
  pthread_mutex_unlock(&dog.lock);
}

void watch_budget(struct vm *vm, unsigned ms) {
  pthread_mutex_lock(&dog.lock);
  atomic_store(&vm->watch.budget_ms, ms);
  pthread_cond_signal(&dog.changed);
  pthread_mutex_unlock(&dog.lock);
}

void watch_loaded(struct vm *vm) {
  atomic_store(&vm->watch.loads, false);
  if (!virtual_time.on || virtual_time.is_replay) watch_budget(vm, vm->watch.hook_ms);
}

void watch_hurry_loads(bool hurries) {
  pthread_mutex_lock(&dog.lock);
  dog.hurries = hurries;
  pthread_cond_signal(&dog.changed);
  pthread_mutex_unlock(&dog.lock);
}

static void end_thread(bool is_wanted) {
  pthread_t thread = dog.thread;
  if (is_wanted) {
    dog.serial++;
    dog.runs = false;
  }
  pthread_cond_signal(&dog.changed);
  pthread_mutex_unlock(&dog.lock);
  if (is_wanted) pthread_join(thread, NULL);
}

void watch_fork(bool is_over) {
  pthread_mutex_lock(&dog.lock);
  if (!is_over) {
    end_thread(dog.runs);
    return;
  }
  thread_id = 0; /* it is another in the child */
  if (dog.watches.next && !list_is_empty(&dog.watches)) start();
  pthread_mutex_unlock(&dog.lock);
}

void watch_end(struct vm *vm) {
  pthread_mutex_lock(&dog.lock);
  list_remove(&vm->watch.link);
  end_thread(list_is_empty(&dog.watches) && dog.runs);
}
