// SPDX-License-Identifier: Apache-2.0
// instance: load, retire, free. The hard problem is that the last exchange may end inside a call from the
// policy that is unused after that, so the reaper frees it later.
#include "runtime/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/tls_identity.h"
#include "runtime/listening.h"
#include "runtime/observe/logs.h"
#include "shared/registry.h"

struct instance *instance_load(const struct policy_source *source, const struct policy_host *host,
                               unsigned generation, char **why) {
  struct instance *instance = memory_zalloc(sizeof *instance);
  struct policy_host own = *host;
  own.use = &instance->use;
  instance->source = source;
  instance->generation = generation;
  instance->policy = source->kind->load(source->source, &own, why);
  if (!instance->policy) {
    free(instance);
    return NULL;
  }
  instance->registry = registry_hold(host->registry);
  OBJ_INIT(instance, INSTANCE_MAGIC);
  return instance;
}

void instance_load_tls(struct instance *instance) {
  unsigned count;
  struct policy_listener *said = instance->source->kind->listeners(instance->policy, &count);
  for (unsigned i = 0; i < count; i++) listening_load(&said[i], &said[i].fault);
}

static void warn_of_file(struct str file, const char *user) {
  char *name = str_to_cstring(file);
  if (file.len && !tls_is_text(file) && access(name, R_OK) != 0)
    log_warn("TLS file %s: user %s may not read it (%s): reloads go on with what is loaded until the file "
             "changes, then "
             "they are refused, as an upgrade is; let that user read it",
             name, user, strerror(errno));
  free(name);
}

void instance_warn_of_files(const struct instance *instance, const char *user) {
  unsigned count;
  const struct policy_listener *said = instance->source->kind->listeners(instance->policy, &count);
  for (unsigned i = 0; i < count; i++) {
    for (unsigned k = 0; k < said[i].tls.count; k++) {
      warn_of_file(said[i].tls.certificates[k].certificate, user);
      warn_of_file(said[i].tls.certificates[k].key, user);
      warn_of_file(said[i].tls.certificates[k].ocsp, user);
    }
    warn_of_file(said[i].tls.client_ca, user);
  }
}

void instance_bind(struct instance *instance, struct ev_loop *loop, struct proxy *proxy) {
  CHECK_OBJ(instance, INSTANCE_MAGIC);
  CHECK(!instance->is_winding_down);
  if (instance->is_bound) return;
  instance->is_bound = true;
  if (instance->source->kind->bind) instance->source->kind->bind(instance->policy, loop, proxy);
}

static void free_reaped(struct reaped *reaped) {
  instance_free(CONTAINER_OF(reaped, struct instance, reaped));
}

void instance_cut(struct instance *instance) {
  if (instance->use.jobs && instance->source->kind->cut) instance->source->kind->cut(instance->policy);
  CHECK(instance->use.jobs == 0);
}

/* The last thing here is the cut: nothing may be left of it then. */
static void on_old(struct timer *timer) {
  struct instance *instance = CONTAINER_OF(timer, struct instance, old);
  unsigned jobs = instance->use.jobs, exchanges = instance->use.exchanges - jobs;
  if (exchanges && instance->reaper) /* not at a stop, which closes them */
    log_info("generation %u is still in use by %u exchange%s; 'perilune reload --close-old' would close them",
             instance->generation, exchanges, plural(exchanges));
  if (!jobs) return;
  bool is_asked_for = !instance->reaper && !instance->patience_ms; /* a stop at once */
  log_line(is_asked_for ? LOG_DEBUG : LOG_WARN,
           "generation %u: %u run%s of background work did not end in time and %s cut", instance->generation,
           jobs, plural(jobs), jobs == 1 ? "is" : "are");
  instance_cut(instance);
}

static void on_unused(struct policy_use *use) {
  struct instance *instance = CONTAINER_OF(use, struct instance, use);
  CHECK_OBJ(instance, INSTANCE_MAGIC);
  CHECK(instance->is_winding_down && use->exchanges == 0 && use->jobs == 0);
  timer_stop(&instance->old);
  list_remove(&instance->link);
  reaper_add(instance->reaper, &instance->reaped, free_reaped);
}

void instance_retire(struct instance *instance, struct list *retired, struct reaper *reaper,
                     unsigned drain_ms) {
  CHECK_OBJ(instance, INSTANCE_MAGIC);
  CHECK(instance->is_bound && !instance->reaper); /* it ran, and it retires once */
  instance->reaper = reaper;
  instance->use.on_unused = on_unused;
  list_push_back(retired, &instance->link);
  instance->use.exchanges++; /* it stays until we are through */
  instance_wind_down(instance, reaper->loop, drain_ms);
  if (--instance->use.exchanges == 0) on_unused(&instance->use);
}

/* Once in its life: a stop that follows on an upgrade hastens what was patient. */
void instance_wind_down(struct instance *instance, struct ev_loop *loop, unsigned ms) {
  if (!instance->is_winding_down) timer_init(&instance->old, loop, on_old);
  instance->is_winding_down = true;
  instance->patience_ms = ms;
  timer_set(&instance->old, ms);
  instance->source->kind->retire(instance->policy);
}

bool instance_open_logs(struct instance *instance, struct logs *logs, const struct config *config,
                        char **why) {
  unsigned count;
  struct policy_listener *listeners = instance->source->kind->listeners(instance->policy, &count);
  instance->logs = logs;
  return logs_hold(logs, listeners, count, config, why);
}

static void close_listeners(struct instance *instance) {
  unsigned count;
  struct policy_listener *listeners = instance->source->kind->listeners(instance->policy, &count);
  if (instance->logs) logs_release(instance->logs, listeners, count);
  for (unsigned i = 0; i < count; i++) {
    tls_context_release(listeners[i].context);
    free(listeners[i].fault);
  }
}

void instance_free(struct instance *instance) {
  if (!instance) return;
  CHECK_OBJ(instance, INSTANCE_MAGIC);
  if (instance->is_winding_down) timer_stop(&instance->old);
  close_listeners(instance);
  instance->source->kind->close(instance->policy);
  registry_free(instance->registry);
  OBJ_END(instance, INSTANCE_MAGIC);
  free(instance);
}

void instances_free(struct instance **instances, unsigned count) {
  for (unsigned i = 0; i < count; i++) instance_free(instances[i]);
  free(instances);
}
