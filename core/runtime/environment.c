// SPDX-License-Identifier: Apache-2.0
// environment: checks files from time to time. Loading a store of certificates takes milliseconds, so a thread does
// it; there is at most one.
#include "runtime/environment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "net/tls_context.h"

struct environment {
  pthread_t thread;
  bool runs;           /* the thread is to be joined */
  atomic_bool is_done; /* and will end at once */
  struct stat zone;    /* of the machine's time zone, when it was last read */
  unsigned seconds;
};

static const char zone_file[] = "/etc/localtime";

struct environment *environment_new(void) {
  return memory_zalloc(sizeof(struct environment));
}

static void *refresh(void *argument) {
  struct environment *e = argument;
  log_set_thread("certificates");
  if (tls_refresh_commit(tls_refresh_begin()))
    log_info("certificates towards peers have changed, and are loaded anew");
  memory_thread_end();
  atomic_store(&e->is_done, true);
  return NULL;
}

static void join(struct environment *e) {
  pthread_join(e->thread, NULL);
  e->runs = false;
}

static void look_at_certificates(struct environment *e) {
  if (e->runs && atomic_load(&e->is_done)) join(e);
  if (e->runs || !tls_refresh_is_due()) return;
  atomic_store(&e->is_done, false);
  e->runs = pthread_create(&e->thread, NULL, refresh, e) == 0;
}

/* The library reads the file again where it has changed; but it is not asked without need, since it allocates. */
static void look_at_zone(struct environment *e) {
  struct stat now = {0};
  if (stat(zone_file, &now) != 0 || file_is_unchanged(&e->zone, &now)) return;
  e->zone = now;
  tzset();
}

void environment_beat(struct environment *e) {
  if (!e || ++e->seconds % ENVIRONMENT_LOOK_S) return;
  look_at_zone(e);
  look_at_certificates(e);
}

void environment_free(struct environment *e) {
  if (!e) return;
  if (e->runs) join(e);
  free(e);
}
