// SPDX-License-Identifier: Apache-2.0
// signals: one handler for each, run by the control worker's loop.
#include "runtime/signals.h"

#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "runtime/logs.h"
#include "runtime/server.h"

static void on_term(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)loop, (void)events;
  server_stop(watcher->data, false);
}

/* The second one ends the process even if the first cannot. */
static void on_interrupt(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)events;
  ev_signal_stop(loop, watcher);
  server_stop(watcher->data, true);
}

static void on_hup(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)loop, (void)events;
  server_request_reload(watcher->data);
}

/* Log files were renamed. */
static void on_usr1(struct ev_loop *loop, ev_signal *watcher, int events) {
  struct server *s = watcher->data;
  (void)loop, (void)events;
  logs_reopen(s->logs);
  log_info("logs are opened anew");
}

static void on_usr2(struct ev_loop *loop, ev_signal *watcher, int events) {
  char *why = NULL;
  (void)loop, (void)events;
  if (!server_upgrade(watcher->data, &why)) log_error("upgrade: %s", why);
  free(why);
}

/* For a successor that was started by somebody else. */
static void on_quit(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)loop, (void)events;
  server_retire(watcher->data);
}

static void watch(struct server *s, ev_signal *watcher, int number,
                  void (*on_signal)(struct ev_loop *, ev_signal *, int)) {
  ev_signal_init(watcher, on_signal, number);
  watcher->data = s;
  ev_signal_start(s->control.loop, watcher);
}

void signals_watch(struct signals *signals, struct server *s) {
  signal(SIGPIPE, SIG_IGN);
  watch(s, &signals->term, SIGTERM, on_term);
  watch(s, &signals->interrupt, SIGINT, on_interrupt);
  watch(s, &signals->hup, SIGHUP, on_hup);
  watch(s, &signals->usr1, SIGUSR1, on_usr1);
  watch(s, &signals->usr2, SIGUSR2, on_usr2);
  watch(s, &signals->quit, SIGQUIT, on_quit);
}
