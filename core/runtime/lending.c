// SPDX-License-Identifier: Apache-2.0
// lending: the heartbeat tells which worker is blocked. The descriptor is lent as a copy, which is made in the
// control worker's thread: there the descriptors of the generation in force are known to be open, since a worker
// closes one only when it is told to. Newer generations and stops are ordered by this thread, too, unless it is
// blocked itself (signals.c): then nothing is lent any more. Unix sockets are not lent, since all workers have the
// same one.
#include "runtime/lending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "runtime/deploy/switching.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/server.h"
#include "runtime/signals.h"

enum { TEXT_BYTES = 256 };

void lending_init(struct lending *l, const struct server *s) {
  l->helpers = memory_alloc(s->worker_count * sizeof *l->helpers);
  for (unsigned i = 0; i < s->worker_count; i++) l->helpers[i] = -1;
}

void lending_free(struct lending *l) { free(l->helpers); }

static int copy_of(const struct listening_entry *entry, unsigned worker) {
  if (str_starts_with(entry->said, STR("unix:"))) return -1;
  int fd = fcntl(entry->fds[worker], F_DUPFD_CLOEXEC, 0);
  if (fd < 0) log_warn("a socket of worker %u cannot be lent: %s", worker, strerror(errno));
  return fd;
}

static void lend(struct server *s, unsigned of, unsigned helper) {
  const struct listening *l = s->listening;
  CHECK(of != helper && l->workers == s->worker_count);
  int *fds = memory_alloc((l->count + 1) * sizeof *fds);
  for (unsigned i = 0; i < l->count; i++) fds[i] = copy_of(&l->entries[i], of);
  worker_lend(&s->workers[helper], of, s->generation, fds, l->count);
  s->lending.helpers[of] = (int)helper;
  free(fds);
}

static void take_back(struct server *s, unsigned of) {
  int *helper = &s->lending.helpers[of];
  if (*helper >= 0) worker_return(&s->workers[*helper], of);
  *helper = -1;
}

/* The next one that is there; -1: none is. */
static int find_helper(const struct server *s, unsigned of) {
  for (unsigned i = 1; i < s->worker_count; i++) {
    unsigned candidate = (of + i) % s->worker_count;
    if (!heartbeat_is_away(s->heartbeat, candidate)) return (int)candidate;
  }
  return -1;
}

static void replace(struct server *s, unsigned of) {
  char doing[TEXT_BYTES];
  int before = s->lending.helpers[of], now = find_helper(s, of);
  if (now < 0 || (before >= 0 && !heartbeat_is_away(s->heartbeat, (unsigned)before))) return;
  take_back(s, of);
  lend(s, of, (unsigned)now);
  switching_describe_worker(s, of, doing, sizeof doing);
  log_warn("worker %u %s; worker %d accepts connections for it", of, doing, now);
}

void lending_beat(struct server *s) {
  if (!s->listening || phase_is_over(s->phase) || signals_stop_waits()) return;
  for (unsigned i = 0; i < s->worker_count; i++) {
    if (heartbeat_is_away(s->heartbeat, i)) {
      replace(s, i);
    } else if (s->lending.helpers[i] >= 0) {
      log_info("worker %u has come back to its loop and accepts its connections itself", i);
      take_back(s, i);
    }
  }
}

void lending_renew(struct server *s) {
  if (signals_stop_waits()) return;
  for (unsigned i = 0; i < s->worker_count; i++)
    if (s->lending.helpers[i] >= 0) lend(s, i, (unsigned)s->lending.helpers[i]);
}
