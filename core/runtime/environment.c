// SPDX-License-Identifier: Apache-2.0
// environment: looks at files now and then. A store of certificates takes milliseconds to load, so that is left to a
// thread, of which there is one at most.
#include "runtime/environment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/tls_context.h"

struct environment {
  pthread_t thread;
  bool runs;           /* the thread is to be joined */
  atomic_bool is_done; /* and will end at once */
  unsigned seconds;
};

struct environment *environment_new(void) {
  return memory_zalloc(sizeof(struct environment));
}

static void *refresh(void *argument) {
  struct environment *e = argument;
  log_set_thread("certificates");
  tls_refresh_commit(tls_refresh_begin());
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

void environment_beat(struct environment *e) {
  if (!e || ++e->seconds % ENVIRONMENT_LOOK_S) return;
  tzset(); /* reads /etc/localtime again where it has changed */
  look_at_certificates(e);
}

void environment_free(struct environment *e) {
  if (!e) return;
  if (e->runs) join(e);
  free(e);
}
