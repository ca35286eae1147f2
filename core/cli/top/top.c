// SPDX-License-Identifier: Apache-2.0
// top: asks the proxy once a second, and draws. A proxy that does not answer, or has gone, is told on the screen, and
// asked again.
#include "cli/top/top.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cli/steer.h"
#include "cli/top/routes.h"
#include "cli/top/screen.h"
#include "runtime/process.h"
#include "runtime/running.h"

enum { EACH_MS = 1000, ANSWER_BYTES = 4 << 20 };

struct top {
  struct running running;
  struct top_model model;
  struct routes *routes; /* owned */
  struct top_choice choice;
  const char *trouble; /* static; NULL: none */
};

static volatile sig_atomic_t is_ended; /* by a signal: the terminal is put in order first */

static void on_signal(int number) { is_ended = number; }

static double now(void) { return (double)clock_now_ms(&clock_system) / 1000; }

/* NULL: what is wrong is in top->trouble. */
static char *ask(struct top *top) {
  int fd = running_reach(&top->running);
  if (fd < 0) {
    top->trouble = "THE PROXY HAS GONE";
    return NULL;
  }
  char *text = memory_alloc(ANSWER_BYTES);
  bool is_trusted = running_is_trusted(fd, top->running.owner);
  size_t length = is_trusted ? running_ask(fd, "figures\n", text, ANSWER_BYTES) : 0;
  close(fd);
  top->trouble = length ? NULL : is_trusted ? "NO ANSWER" : "ANOTHER USER'S PROXY IS THERE";
  if (length) return memory_realloc(text, length + 1);
  free(text);
  return NULL;
}

/* Takes over the text. */
static char *with_routes(struct top *top, char *text) {
  char *all = NULL;
  size_t bytes;
  FILE *out = open_memstream(&all, &bytes);
  fputs(text, out);
  routes_write(top->routes, out);
  fclose(out);
  free(text);
  return all;
}

/* Requests are looked on at only where somebody looks. */
static bool shows_routes(const struct top *top) {
  const struct top_model *m = &top->model;
  return top->choice.table < m->table_count && str_equal(m->tables[top->choice.table].name, STR("routes"));
}

static void renew(struct top *top) {
  struct top_model before = top->model;
  routes_read(top->routes);
  char *text = ask(top);
  if (!text) return;
  top_model_read(&top->model, with_routes(top, text), now(), &before);
  top_model_free(&before);
}

static void run(struct top *top) {
  double due = 0;
  while (!is_ended) {
    if (now() >= due) {
      if (!top->choice.is_paused) renew(top);
      due = now() + EACH_MS / 1000.0;
    }
    routes_watch(top->routes, &top->running, shows_routes(top));
    routes_read(top->routes);
    screen_draw(&top->model, &top->choice, top->trouble);
    double left_ms = (due - now()) * 1000;
    if (!screen_key(&top->model, &top->choice, left_ms > 1 ? (int)left_ms : 1)) return;
  }
}

/* The first answer is waited for before the screen is taken: what is wrong with it is said in plain lines. */
static bool begin(struct top *top, const struct client_target *target) {
  if (!running_find(target, &top->running)) return false;
  int fd = running_connect(&top->running);
  if (fd < 0) return false;
  close(fd);
  renew(top);
  if (top->trouble)
    fputs(
        "perilune: the proxy does not say its figures: it is of an older version, or its control worker does "
        "not come back to its loop; see 'perilune status'\n",
        stderr);
  return !top->trouble && screen_begin();
}

int top_command(struct arguments *a) {
  struct client_target target;
  if (!command_target(a, &target)) return EXIT_BAD_INPUT;
  struct top top = {.routes = routes_new()};
  signal(SIGPIPE, SIG_IGN);
  bool has_begun = begin(&top, &target);
  if (has_begun) {
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    run(&top);
    screen_end();
  }
  top_model_free(&top.model);
  routes_free(top.routes);
  return has_begun ? EXIT_FINE : EXIT_FAILED;
}
