// SPDX-License-Identifier: Apache-2.0
// instance: load, retire, free. The one hard problem is that the last exchange ends inside a call from the
// very policy that is then unused, so it is freed by the reaper and never from inside.
#include "runtime/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "runtime/listening.h"
#include "runtime/logs.h"
#include "shared/registry.h"

struct instance *instance_load(const struct policy_source *source, const struct policy_host *host,
                               unsigned generation, char **why) {
  void *policy = source->kind->load(source->source, host, why);
  if (!policy) return NULL;
  struct instance *instance = memory_zalloc(sizeof *instance);
  instance->source = source;
  instance->policy = policy;
  instance->registry = registry_hold(host->registry);
  instance->generation = generation;
  return instance;
}

bool instance_load_tls(struct instance *instance, char **why) {
  unsigned count;
  struct policy_listener *said = instance->source->kind->listeners(instance->policy, &count);
  for (unsigned i = 0; i < count; i++)
    if (!listening_load(&said[i], why)) return false;
  return true;
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
  if (instance->is_bound) return;
  instance->is_bound = true;
  if (instance->source->kind->bind) instance->source->kind->bind(instance->policy, loop, proxy);
}

static void free_grave(struct grave *grave) { instance_free(LIST_ENTRY(grave, struct instance, grave)); }

static void on_old(struct timer *timer) {
  const struct instance *instance = LIST_ENTRY(timer, struct instance, old);
  log_info("generation %u is still in use by %u exchanges; 'perilune reload --close-old' would close them",
           instance->generation, instance->use.exchanges);
}

static void on_unused(struct policy_use *use) {
  struct instance *instance = LIST_ENTRY(use, struct instance, use);
  timer_stop(&instance->old);
  list_remove(&instance->link);
  reaper_add(instance->reaper, &instance->grave, free_grave);
}

void instance_retire(struct instance *instance, struct list *retired, struct reaper *reaper,
                     unsigned drain_ms) {
  instance->source->kind->retire(instance->policy);
  instance->reaper = reaper;
  instance->use.on_unused = on_unused;
  list_push_back(retired, &instance->link);
  timer_init(&instance->old, reaper->loop, on_old);
  if (instance->use.exchanges == 0)
    on_unused(&instance->use);
  else
    timer_set(&instance->old, drain_ms);
}

bool instance_open_logs(struct instance *instance, struct logs *logs, const char *fallback, char **why) {
  unsigned count;
  struct policy_listener *listeners = instance->source->kind->listeners(instance->policy, &count);
  instance->logs = logs;
  return logs_hold(logs, listeners, count, fallback, why);
}

static void close_listeners(struct instance *instance) {
  unsigned count;
  struct policy_listener *listeners = instance->source->kind->listeners(instance->policy, &count);
  if (instance->logs) logs_release(instance->logs, listeners, count);
  for (unsigned i = 0; i < count; i++) tls_context_release(listeners[i].context);
}

void instance_free(struct instance *instance) {
  if (!instance) return;
  close_listeners(instance);
  instance->source->kind->close(instance->policy);
  registry_free(instance->registry);
  free(instance);
}
