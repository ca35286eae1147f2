// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct thing {
  OBJ_MAGIC;
  int value;
};

enum { THING_MAGIC = 0x7419 };

static void use(struct thing *thing) {
  CHECK_OBJ(thing, THING_MAGIC);
  CHECK(thing->value == 1);
}

/* In a process of its own, whose last words nobody needs. */
static int signal_of(void (*run)(struct thing *), struct thing *thing) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    signal(SIGABRT, SIG_DFL);
    run(thing);
    _exit(0);
  }
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

#include "unit.h"

#ifdef INVARIANTS
static const int at_a_broken_one = SIGABRT;
#else
static const int at_a_broken_one = 0;
#endif

IT("lets an object pass that is what it says") {
  struct thing thing = {.value = 1};
  OBJ_INIT(&thing, THING_MAGIC);
  CHECK(signal_of(use, &thing) == 0);
}

IT("ends the process at a broken condition, in the builds that check") {
  struct thing thing = {.value = 2};
  OBJ_INIT(&thing, THING_MAGIC);
  CHECK(signal_of(use, &thing) == at_a_broken_one);
}

IT("ends the process at an object that was ended, in the builds that check") {
  struct thing thing = {.value = 1};
  OBJ_INIT(&thing, THING_MAGIC);
  struct thing *ended = &thing;
  OBJ_END(ended, THING_MAGIC);
  CHECK(signal_of(use, &thing) == at_a_broken_one);
}
