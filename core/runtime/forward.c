// SPDX-License-Identifier: Apache-2.0
// forward: one hook in C, upstream_peer, on a backend set that all workers share. It is also the proof that
// the proxy knows no Lua (invariant I4).
#include "runtime/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "net/addr.h"
#include "net/timer.h"
#include "proxy/exchange.h"
#include "proxy/peer.h"
#include "proxy/proxy.h"
#include "shared/choose.h"
#include "shared/registry.h"

struct forward {
  struct policy_listener listener;
  struct hooks hooks;
  struct registry *registry;    /* borrowed */
  struct registry_entry *entry; /* reference */
  struct backends_view *view;   /* of the entry; reference */
};

enum { BACKENDS_MOST = 1024 };

struct list_of_specs {
  struct backend_spec specs[BACKENDS_MOST];
  unsigned count;
};

static void *make_backends(const void *config) {
  (void)config;
  return backends_new(&clock_system);
}
static void free_backends(void *object) { backends_free(object); }
static const struct registry_kind kind = {"backends", make_backends, free_backends, NULL};

static enum hook_status upstream_peer(struct exchange *x) {
  const struct forward *f = x->hooks->policy;
  const char *why = NULL;
  struct choice choice = {.tried = &x->tried};
  int index = backends_choose(f->view, ALGORITHM_round_robin, &choice);
  if (index == BACKEND_NONE) {
    x->outcome.error = ERROR_NO_BACKEND;
    return HOOK_FAILED;
  }
  struct peer_options options = {.address = backends_at(f->view, (unsigned)index)->address};
  x->outcome.peer = peer_intern(x->proxy, &options, &why);
  lease_begin(&x->now.lease, f->view, (unsigned)index, loop_now_us(x->proxy->loop));
  tried_add(&x->tried, backends_at(f->view, (unsigned)index)->hash);
  return HOOK_DONE;
}

static char *complaint(const char *option, struct str value, const char *why) {
  char text[256];
  snprintf(text, sizeof text, "%s \"%.*s\": %s", option, STR_ARG(value), why);
  return str_to_cstring(str_of(text));
}

static bool is_address(const char *option, struct str text, bool is_peer, char **why) {
  struct addr addr;
  const char *reason = NULL;
  if (!addr_parse(text, &addr, &reason))
    *why = complaint(option, text, reason);
  else if (is_peer && addr.kind != ADDR_UNIX && addr.port == 0)
    *why = complaint(option, text, "the port must not be 0");
  else if (!is_peer && addr.kind == ADDR_NAME)
    *why = complaint(option, text, "a listener needs an IP address, a port alone, or unix:/path");
  else
    return true;
  return false;
}

static bool read_list(struct list_of_specs *list, struct str text, char **why) {
  struct str part;
  while (str_split(&text, ',', &part)) {
    part = str_trim(part);
    if (!is_address("--to", part, true, why)) return false;
    if (list->count == BACKENDS_MOST) {
      *why = complaint("--to", part, "too many addresses");
      return false;
    }
    list->specs[list->count++] = (struct backend_spec){part, 1, 0};
  }
  return true;
}

static void *load(const void *source, const struct policy_host *host, char **why) {
  const struct forward_options *options = source;
  struct list_of_specs *list = memory_zalloc(sizeof *list);
  struct forward *f = NULL;
  if (is_address("--listen", options->listen, false, why) && read_list(list, options->to, why)) {
    f = memory_zalloc(sizeof *f);
    f->registry = host->registry;
    f->entry = registry_get(host->registry, &kind, STR("to"), list); /* the only name there is */
    f->view = backends_view(registry_object(f->entry), list->specs, list->count, &backend_rules_default, 1);
    f->hooks = (struct hooks){.upstream_peer = upstream_peer, .policy = f};
    f->listener = (struct policy_listener){.address = options->listen,
                                           .settings = settings_default,
                                           .hooks = &f->hooks,
                                           .place = STR("--listen")};
  }
  free(list);
  return f;
}

static struct policy_listener *listeners(void *policy, unsigned *count) {
  *count = 1;
  return &((struct forward *)policy)->listener;
}

static void start(void *policy) { (void)policy; }

static void retire(void *policy) { (void)policy; }

static void close_policy(void *policy) {
  struct forward *f = policy;
  backends_view_release(f->view);
  registry_release(f->registry, f->entry);
  free(f);
}

const struct policy_kind forward_policy = {
    .load = load, .listeners = listeners, .start = start, .retire = retire, .close = close_policy};
