// SPDX-License-Identifier: Apache-2.0
// loader: a thread that ends with a message to the control worker. It runs the script for the control worker first, as
// a check; then for the workers, with as many threads as there are cores. The hard problem is its end if the process
// stops meanwhile: running main chunks are interrupted, and a thread that does not end even then (it is blocked in a
// C call) is left until the process ends.
#include "runtime/deploy/loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/cores.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/deploy/changes.h"
#include "runtime/deploy/findings.h"
#include "runtime/server.h"
#include "shared/registry.h"

enum { LOAD_TRIES = 20, FILE_TICK_NS = 4000000, ABANDON_MS = 500, ABORT_MS = 2000 };
enum { LOADER_MAGIC = 0x10adeu };

struct loader {
  struct message message; /* first: to the control worker, at the end of the thread */
  OBJ_MAGIC;
  struct server *server;     /* borrowed */
  struct registry *registry; /* borrowed */
  struct loaded loaded;
  loader_done *done;
  void *owner; /* borrowed */
  pthread_t thread;
  struct timer patience; /* of those who wait */
  unsigned seen;         /* VMs loaded when it was set */
  atomic_uint progress;  /* VMs loaded */
  bool joined;
  atomic_bool abandoned, ended;
};

/* --- loading ---------------------------------------------------------------------------------------------- */

/* What a policy may use while it loads: neither a loop nor connections, which it gets once it is in force. */
static struct policy_host loading_host(const struct server *s, unsigned index, struct registry *registry) {
  struct policy_host host = index == s->worker_count ? s->control.host : s->workers[index].host;
  host.loop = NULL;
  host.proxy = NULL;
  host.config = NULL;
  host.registry = registry;
  return host;
}

/* The instances of the workers, which several threads load: each takes the next one. */
struct batch {
  struct server *server; /* borrowed, as what follows */
  struct registry *registry;
  struct loader *loader;       /* NULL: at once, in the calling thread */
  struct instance **instances; /* what is loaded goes there */
  char **whys;                 /* owned array of owned: why it could not be */
  atomic_uint next;
  atomic_bool failed;
};

static void load_next(struct batch *batch, unsigned index) {
  struct server *s = batch->server;
  struct policy_host host = loading_host(s, index, batch->registry);
  if (batch->loader && atomic_load(&batch->loader->abandoned))
    batch->whys[index] = str_to_cstring(STR("the proxy is stopping"));
  else
    batch->instances[index] =
        instance_load(&s->options->source, &host, s->generation + 1, &batch->whys[index]);
  if (!batch->instances[index]) atomic_store(&batch->failed, true);
  if (batch->loader) atomic_fetch_add(&batch->loader->progress, 1);
}

static void load_rest(struct batch *batch) {
  unsigned index;
  while (!atomic_load(&batch->failed) &&
         (index = atomic_fetch_add(&batch->next, 1)) < batch->server->worker_count)
    load_next(batch, index);
}

static void *help(void *batch) {
  log_set_thread("loader");
  pthread_setname_np(pthread_self(), "loader");
  load_rest(batch);
  memory_thread_end();
  return NULL;
}

/* Additional threads: no more than there are cores, and none if loading takes almost no time. */
static unsigned count_helpers(const struct server *s) {
  unsigned cores = cores_available(), most = s->worker_count < cores ? s->worker_count : cores;
  return s->options->source.kind->hurry ? most - 1 : 0;
}

/* A thread that cannot be had is done without. */
static void load_side_by_side(struct batch *batch) {
  unsigned count = count_helpers(batch->server), begun = 0;
  pthread_t *helpers = memory_zalloc((count + 1) * sizeof *helpers);
  while (begun < count && pthread_create(&helpers[begun], NULL, help, batch) == 0) begun++;
  load_rest(batch);
  for (unsigned i = 0; i < begun; i++) pthread_join(helpers[i], NULL);
  free(helpers);
}

/* The first worker's, where several have failed. */
static void take_why(struct batch *batch, char **why) {
  for (unsigned i = 0; i < batch->server->worker_count; i++) {
    if (!*why) *why = batch->whys[i];
    if (*why != batch->whys[i]) free(batch->whys[i]);
  }
}

static bool load_workers(struct server *s, struct registry *registry, struct loader *loader,
                         struct instance **instances, char **why) {
  struct batch batch = {.server = s, .registry = registry, .loader = loader, .instances = instances};
  batch.whys = memory_zalloc(s->worker_count * sizeof *batch.whys);
  load_side_by_side(&batch);
  take_why(&batch, why);
  free(batch.whys);
  return !atomic_load(&batch.failed);
}

/* The control worker's, whose settings are as good as any. The first run has made it, if it can be used. */
static struct instance *load_control(struct server *s, struct registry *registry, struct config *config,
                                     struct first_load *first, char **why) {
  struct policy_host host = loading_host(s, s->worker_count, registry);
  const struct policy_kind *kind = s->options->source.kind;
  struct instance *instance = first ? first->instance : NULL;
  if (instance) {
    first->instance = NULL;
    if (!kind->adopt || kind->adopt(instance->policy, &host)) return instance;
    instance_free(instance);
  }
  host.config = config;
  return instance_load(&s->options->source, &host, s->generation + 1, why);
}

/* One for each worker. The control worker's is the last in the array and the first to be loaded: that is the check of
 * the policy, and what fails fails there, once. */
static struct instance **load_all(struct server *s, struct registry *registry, struct config *config,
                                  struct first_load *first, struct loader *loader, char **why) {
  unsigned count = s->worker_count + 1;
  struct instance **instances = memory_zalloc(count * sizeof *instances);
  instances[count - 1] = load_control(s, registry, config, first, why);
  if (instances[count - 1] && loader) atomic_fetch_add(&loader->progress, 1);
  if (instances[count - 1] && load_workers(s, registry, loader, instances, why)) return instances;
  instances_free(instances, count);
  return NULL;
}

/* Each worker's instance is loaded from the files: were one written meanwhile, some could be older than others. */
static bool is_torn(const struct instance *control, const struct timespec *begin) {
  const struct policy_kind *kind = control->source->kind;
  char *files = kind->files ? kind->files(control->policy) : NULL;
  struct stamps *stamps = stamps_take(files);
  bool torn = stamps_have_changed(stamps, begin);
  stamps_free(stamps);
  free(files);
  return torn;
}

static struct instance **load_whole(struct server *s, struct registry *registry, struct config *config,
                                    struct first_load *first, struct loader *loader, char **why) {
  for (int i = 0; i < LOAD_TRIES; i++) {
    struct timespec begin, tick = {0, FILE_TICK_NS};
    clock_gettime(CLOCK_REALTIME_COARSE, &begin);
    if (first && first->instance) begin = first->begun;
    config_init(config);
    struct instance **instances = load_all(s, registry, config, first, loader, why);
    if (instances && !is_torn(instances[s->worker_count], &begin)) return instances;
    config_free(config);
    if (!instances) return NULL;
    instances_free(instances, s->worker_count + 1);
    nanosleep(&tick, NULL); /* files' times are no finer than that */
  }
  why_say(why, "the policy's files are written all the time");
  return NULL;
}

/* The listeners of one instance are served by the hooks of the others, by number. */
static bool is_same_everywhere(struct server *s, struct instance **instances, char **why) {
  const struct policy_kind *kind = s->options->source.kind;
  unsigned count, other;
  const struct policy_listener *said = kind->listeners(instances[s->worker_count]->policy, &count);
  for (unsigned w = 0; w < s->worker_count; w++) {
    const struct policy_listener *theirs = kind->listeners(instances[w]->policy, &other);
    bool same = other == count;
    for (unsigned i = 0; same && i < count; i++) same = str_equal(said[i].address, theirs[i].address);
    if (same) continue;
    return why_say(why,
                   "the policy listens elsewhere in worker %u than in the control worker; perilune.listen "
                   "must be the same in all",
                   w);
  }
  return true;
}

static void load(struct server *s, struct registry *registry, struct first_load *first, struct loaded *loaded,
                 struct loader *loader) {
  struct instance **instances = load_whole(s, registry, &loaded->config, first, loader, &loaded->why);
  if (instances && !is_same_everywhere(s, instances, &loaded->why)) {
    instances_free(instances, s->worker_count + 1);
    config_free(&loaded->config);
    instances = NULL;
  }
  loaded->instances = instances;
  if (!instances) return;
  instance_load_tls(instances[s->worker_count]);
  loaded->findings = findings_take(instances[s->worker_count]);
  loaded->tls = tls_refresh_begin();
}

void first_load_free(struct first_load *first) {
  instance_free(first->instance);
  registry_free(first->registry);
  *first = (struct first_load){0};
}

void loader_run(struct server *s, struct registry *registry, struct first_load *first,
                struct loaded *loaded) {
  *loaded = (struct loaded){0};
  load(s, registry, first, loaded, NULL);
}

/* --- the thread ------------------------------------------------------------------------------------------- */

static void discard(struct loaded *loaded, unsigned workers, const char *why) {
  if (loaded->instances) {
    instances_free(loaded->instances, workers + 1);
    config_free(&loaded->config);
    tls_refresh_drop(loaded->tls);
    free(loaded->findings);
  }
  free(loaded->why);
  *loaded = (struct loaded){.why = str_to_cstring(str_of(why))};
}

static void hurry(const struct loader *loader, bool hurries) {
  const struct policy_kind *kind = loader->server->options->source.kind;
  if (kind->hurry) kind->hurry(hurries);
}

/* In the control thread. */
static void on_end(struct message *message, void *receiver) {
  struct loader *loader = (struct loader *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  CHECK_OBJ(loader, LOADER_MAGIC);
  CHECK(s->loader == loader);
  s->loader = NULL;
  timer_stop(&loader->patience);
  if (!loader->joined) pthread_join(loader->thread, NULL);
  bool stops = phase_is_over(s->phase);
  if (atomic_load(&loader->abandoned))
    discard(&loader->loaded, s->worker_count, stops ? "the proxy is stopping" : LOADER_ABORTED);
  if (s->load_aborted && !stops) hurry(loader, false);
  loader->done(s, &loader->loaded, loader->owner);
  OBJ_END(loader, LOADER_MAGIC);
  free(loader);
}

static void *run(void *argument) {
  struct loader *loader = argument;
  struct server *s = loader->server;
  log_set_thread("loader");
  pthread_setname_np(pthread_self(), "loader");
  load(s, loader->registry, NULL, &loader->loaded, loader);
  memory_thread_end();
  mailbox_post(&s->control.mailbox, &loader->message);
  atomic_store(&loader->ended, true); /* it is joined before it is freed */
  return NULL;
}

static void set_patience(struct loader *loader) {
  loader->seen = atomic_load(&loader->progress);
  timer_set(&loader->patience, config_number(loader->server->options->config, CONFIG_reload_timeout));
}

/* A main chunk that is blocked in a call can be neither interrupted nor abandoned. The client that waits is told. If
 * the chunk ends later, its policy is dropped if that was asked for; else it is put in force or refused as usual, and
 * that is logged. */
static void tell_overdue(struct server *s) {
  static const char waits[] =
      "%s has not come to its end in %g s (reload_timeout); it is waited for in the "
      "background, and the log says how it ends\ngeneration %u stays in force until then\n";
  static const char aborted[] =
      "%s is blocked in a call and has not ended in %g s; it is dropped when the call "
      "comes back, and until then nothing else can be loaded\ngeneration %u stays in force\n";
  char text[512], what[256] = "";
  const struct policy_kind *kind = s->options->source.kind;
  unsigned ms = s->load_aborted ? ABORT_MS : config_number(s->options->config, CONFIG_reload_timeout);
  if (kind->doing) kind->doing(POLICY_LOADING, what, sizeof what);
  snprintf(text, sizeof text, s->load_aborted ? aborted : waits, *what ? what : "the main chunk", ms / 1000.0,
           s->generation);
  log_error("reload: %.*s", (int)strcspn(text, "\n"), text);
  if (s->command) command_load_ended(s->command, EXIT_FAILED, text);
}

static void on_overdue(struct timer *timer) {
  struct loader *loader = CONTAINER_OF(timer, struct loader, patience);
  struct server *s = loader->server;
  CHECK_OBJ(loader, LOADER_MAGIC);
  if (atomic_load(&loader->progress) != loader->seen && !s->load_aborted)
    set_patience(loader);
  else
    tell_overdue(s);
}

struct loader *loader_start(struct server *s, struct registry *registry, loader_done *done, char **why) {
  struct loader *loader = memory_zalloc(sizeof *loader);
  loader->message.run = on_end;
  loader->server = s;
  loader->registry = registry;
  loader->done = done;
  OBJ_INIT(loader, LOADER_MAGIC);
  int error = pthread_create(&loader->thread, NULL, run, loader);
  if (error == 0) {
    timer_init(&loader->patience, s->control.loop, on_overdue);
    set_patience(loader);
    return loader;
  }
  why_say(why, "cannot start a thread to load the policy: %s", strerror(error));
  free(loader);
  return NULL;
}

void loader_set_owner(struct loader *loader, void *owner) { loader->owner = owner; }

void loader_abandon(struct loader *loader) {
  if (!loader) return;
  CHECK_OBJ(loader, LOADER_MAGIC);
  atomic_store(&loader->abandoned, true);
  hurry(loader, true);
}

void loader_abort(struct loader *loader) {
  CHECK_OBJ(loader, LOADER_MAGIC);
  if (loader->server->load_aborted) return;
  loader->server->load_aborted = true;
  timer_set(&loader->patience, ABORT_MS);
  loader_abandon(loader);
}

bool loader_end(struct loader *loader) {
  if (!loader) return true;
  loader_abandon(loader);
  if (!clock_await(&loader->ended, ABANDON_MS)) return false;
  pthread_join(loader->thread, NULL);
  loader->joined = true;
  return true;
}
