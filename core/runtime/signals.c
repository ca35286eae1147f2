// SPDX-License-Identifier: Apache-2.0
// signals: a handler adds the signal to a set and wakes the control worker's loop, which takes the whole set: so many
// equal signals are one request. The hard problem is a loop that is blocked: the guard thread waits a moment for it
// to take a stop, and then carries it out itself.
#include "runtime/signals.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/observe/logs.h"
#include "runtime/server.h"
#include "runtime/starting.h"

enum { TAKEN_WITHIN_MS = 1000, LOOK_MS = 20, OVERDUE_MS = 5000 };

/* What handlers need. */
static struct {
  atomic_uint pending; /* bits */
  sem_t stops;         /* for the guard */
  struct ev_loop *loop;
  ev_async *wake;
  atomic_bool ends;
} caught;

/* However many signals come: the log throttles the lines of each. */
static void refused(const char *what, const char *why) {
  log_about(LOG_ERROR, str_of(what), "%s: %s", what, why);
}

/* --- what they ask ------------------------------------------------------------------------------------------ */

static const char *on_term(struct server *s) { return server_stop(s, false); }

/* The second one ends the process even if the first cannot. */
static const char *on_interrupt(struct server *s) {
  signal(SIGINT, SIG_DFL);
  return server_stop(s, true);
}

static const char *on_hup(struct server *s) {
  server_request_reload(s); /* does nothing where it is over */
  return phase_is_over(s->phase) ? server_refusal(s, DEMAND_RELOAD) : NULL;
}

/* Log files were renamed. */
static const char *on_usr1(struct server *s) {
  logs_reopen(s->logs);
  log_info("logs are opened anew");
  return NULL;
}

static const char *on_usr2(struct server *s) {
  char *why = NULL;
  if (!server_upgrade(s, &why)) refused("upgrade", why);
  free(why);
  return NULL;
}

/* For a successor that was started by somebody else. */
static const char *on_quit(struct server *s) { return server_retire(s); }

/* In the order in which they are taken. */
static const struct {
  int number;
  const char *name;
  const char *(*run)(struct server *s); /* NULL, or why it is refused */
} table[] = {
    {SIGINT, "INT", on_interrupt}, {SIGTERM, "TERM", on_term}, {SIGQUIT, "QUIT", on_quit},
    {SIGUSR1, "USR1", on_usr1},    {SIGUSR2, "USR2", on_usr2}, {SIGHUP, "HUP", on_hup},
};
enum { SIGNALS = sizeof table / sizeof *table, INT_BIT = 1, TERM_BIT = 2 };

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events) {
  struct server *s = watcher->data;
  unsigned taken = atomic_exchange(&caught.pending, 0);
  (void)loop, (void)events;
  for (int i = 0; i < SIGNALS; i++) {
    const char *why = taken >> i & 1 ? table[i].run(s) : NULL;
    if (why) refused(table[i].name, why);
  }
}

/* Async-signal-safe calls only. */
static void on_signal(int number) {
  int code = errno;
  for (int i = 0; i < SIGNALS; i++)
    if (table[i].number == number) atomic_fetch_or(&caught.pending, 1u << i);
  ev_async_send(caught.loop, caught.wake);
  if (number == SIGTERM || number == SIGINT) sem_post(&caught.stops);
  errno = code;
}

/* --- the guard ---------------------------------------------------------------------------------------------- */

static unsigned pending_stops(void) { return atomic_load(&caught.pending) & (INT_BIT | TERM_BIT); }

bool signals_stop_waits(void) { return pending_stops() != 0; }

/* Until another stop is asked for, or the time is over. */
static bool wait_for_stop(unsigned ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += (long)(ms % 1000) * 1000000;
  until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  return sem_clockwait(&caught.stops, CLOCK_MONOTONIC, &until) == 0;
}

static bool is_taken(void) {
  const struct timespec look = {0, LOOK_MS * 1000000};
  for (int ms = 0; ms < TAKEN_WITHIN_MS && !atomic_load(&caught.ends); ms += LOOK_MS) {
    if (!pending_stops()) return true;
    nanosleep(&look, NULL);
  }
  return !pending_stops() || atomic_load(&caught.ends);
}

/* The loop may come back meanwhile: then it takes over. */
static void stop_without_loop(struct server *s) {
  unsigned grace_ms = config_number(s->options->config, CONFIG_grace), waited_ms = 0;
  struct worker_end end = {grace_ms, grace_ms, TAKEN_WITHIN_MS, true};
  log_error(
      "the control worker does not come back to its loop: the workers stop without it, within %g s; a second "
      "TERM, or INT, ends the process",
      grace_ms / 1000.0);
  for (unsigned i = 0; i < s->worker_count; i++) worker_stop(&s->workers[i], &end);
  while (pending_stops() && waited_ms < grace_ms + OVERDUE_MS) {
    if (wait_for_stop(LOOK_MS)) break;
    waited_ms += LOOK_MS;
    if (atomic_load(&s->signals.ended) == s->worker_count) break;
  }
  if (!pending_stops()) return;
  log_error("the process ends without its control worker");
  server_leave(s);
}

static void *guard(void *argument) {
  struct server *s = argument;
  log_set_thread("signals");
  pthread_setname_np(pthread_self(), "signals");
  while (!atomic_load(&caught.ends)) { /* whoever waits may have taken the post that goes with it */
    while (sem_wait(&caught.stops) != 0) {
    }
    if (atomic_load(&caught.ends) || is_taken()) continue;
    bool is_graceful = !(atomic_load(&caught.pending) & INT_BIT) && !starting_is_under_way();
    if (is_graceful) stop_without_loop(s);
    if (!pending_stops()) continue;
    log_error("the control worker does not come back to its loop: the process ends without it");
    server_leave(s);
  }
  return NULL;
}

/* Signals are the other threads' business. */
static int start_guard(struct signals *signals) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = pthread_create(&signals->guard, NULL, guard, signals->server);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  signals->is_guarded = code == 0;
  return code;
}

/* --- life --------------------------------------------------------------------------------------------------- */

bool signals_watch(struct signals *signals, struct server *s, char **why) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  signals->server = s;
  signal(SIGPIPE, SIG_IGN);
  sem_init(&caught.stops, 0, 0);
  ev_async_init(&signals->wake, on_wake);
  signals->wake.data = s;
  ev_async_start(s->control.loop, &signals->wake);
  caught.loop = s->control.loop;
  caught.wake = &signals->wake;
  int code = start_guard(signals);
  if (code) return why_say(why, "cannot start the thread for signals: %s", strerror(code));
  sigfillset(&action.sa_mask);
  for (int i = 0; i < SIGNALS; i++) sigaction(table[i].number, &action, NULL);
  return true;
}

void signals_forget(struct signals *signals) {
  if (!signals->is_guarded) return;
  for (int i = 0; i < SIGNALS; i++) signal(table[i].number, table[i].number == SIGINT ? SIG_DFL : SIG_IGN);
  atomic_store(&caught.ends, true);
  sem_post(&caught.stops);
  pthread_join(signals->guard, NULL);
  ev_async_stop(caught.loop, &signals->wake);
  signals->is_guarded = false;
}
