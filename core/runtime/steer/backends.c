// SPDX-License-Identifier: Apache-2.0
// steer/backends: finds the backend that is meant, notes the order, and tells the set. Sets are found by their names in
// the registry, as policies find them; without a name, by the address, where one set alone has it.
#include "runtime/steer/backends.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/server.h"
#include "runtime/steer/drain.h"
#include "runtime/steer/list.h"
#include "shared/backends.h"
#include "shared/registry.h"

struct steering {
  struct str action, set, address, weight;
  uint64_t for_ms;
  struct registry_entry *entry; /* held: the set that is meant; NULL: not found */
  unsigned matches;             /* sets that have the address */
};

static bool read_line(struct str line, struct steering *s) {
  struct str words, rest = line, number;
  return str_split(&rest, '\t', &words) && str_split(&words, ' ', &s->action) && words.ptr &&
         str_split(&words, ' ', &number) && str_to_u64(number, &s->for_ms) && rest.ptr &&
         str_split(&rest, '\t', &s->set) && rest.ptr && str_split(&rest, '\t', &s->address) && rest.ptr &&
         str_split(&rest, '\t', &s->weight);
}

/* --- which one -------------------------------------------------------------------------------------------- */

static bool has_address(struct registry_entry *entry, struct str address) {
  struct backends_view *view = backends_watch(registry_object(entry));
  bool has = view && backends_find(view, address) != BACKEND_NONE;
  if (view) backends_view_release(view);
  return has;
}

/* Of the sets in force; what is found stays held. */
static void find(struct steering *s, struct registry *registry) {
  unsigned count;
  struct registry_entry **sets = registry_hold_all(registry, backends_kind.name, &count);
  for (unsigned i = 0; i < count; i++) {
    bool is_named = !s->set.len || str_equal(registry_name(sets[i]), s->set);
    if (is_named && has_address(sets[i], s->address)) {
      s->matches++;
      if (s->entry) registry_release(registry, s->entry);
      s->entry = sets[i];
    } else {
      registry_release(registry, sets[i]);
    }
  }
  free(sets);
}

/* "a, b": the names of all sets, or of one set's addresses. Malloc'd. */
static void add_name(char **names, struct str name) {
  char *longer = why_text("%s%s%.*s", *names ? *names : "", *names ? ", " : "", STR_ARG(name));
  free(*names);
  *names = longer;
}

enum { NAMED_MOST = 12 };

static void add_addresses(char **names, struct registry_entry *entry) {
  struct backends_view *view = backends_watch(registry_object(entry));
  unsigned count = view ? backends_count(view) : 0;
  for (unsigned i = 0; i < count && i < NAMED_MOST; i++) add_name(names, backends_at(view, i)->address);
  if (count > NAMED_MOST) add_name(names, STR("..."));
  if (view) backends_view_release(view);
}

/* What there is instead. */
static char *refusal(const struct steering *s, struct registry *registry) {
  char *sets = NULL, *addresses = NULL, *why;
  unsigned count;
  struct registry_entry **entries = registry_hold_all(registry, backends_kind.name, &count);
  bool is_set_known = false;
  for (unsigned i = 0; i < count; i++) {
    bool is_meant = !s->set.len || str_equal(registry_name(entries[i]), s->set);
    is_set_known |= is_meant;
    if (i < NAMED_MOST) add_name(&sets, registry_name(entries[i]));
    if (is_meant) add_addresses(&addresses, entries[i]);
  }
  if (!count)
    why = why_text("the policy has no set of backends");
  else if (s->matches > 1)
    why = why_text("several sets have %.*s: say which of %s", STR_ARG(s->address), sets);
  else if (!is_set_known)
    why = why_text("there is no set '%.*s'; there is %s", STR_ARG(s->set), sets);
  else
    why = why_text("there is no backend '%.*s'%s%.*s; there is %s", STR_ARG(s->address),
                   s->set.len ? " in " : "", STR_ARG(s->set), addresses ? addresses : "none");
  for (unsigned i = 0; i < count; i++) registry_release(registry, entries[i]);
  free(entries);
  free(sets);
  free(addresses);
  return why;
}

/* --- what to do ------------------------------------------------------------------------------------------- */

static void tell_sets(struct registry *registry) {
  unsigned count;
  struct registry_entry **sets = registry_hold_all(registry, backends_kind.name, &count);
  for (unsigned i = 0; i < count; i++) {
    backends_take_orders(registry_object(sets[i]));
    registry_release(registry, sets[i]);
  }
  free(sets);
}

/* Of a set's list: how many may be used at all. */
static unsigned enabled_in(struct registry_entry *entry) {
  struct backends_view *view = backends_watch(registry_object(entry));
  unsigned enabled = 0;
  for (unsigned i = 0; view && i < backends_count(view); i++)
    enabled += backend_is_enabled(backends_at(view, i));
  if (view) backends_view_release(view);
  return enabled;
}

/* Malloc'd: a line about a set that has no backend left, or an empty text. */
static char *warning_of(struct registry_entry *entry) {
  struct str set = registry_name(entry);
  if (enabled_in(entry)) return str_to_cstring(STR(""));
  log_warn("set '%.*s': no backend is left that is not drained or disabled: its requests get 503",
           STR_ARG(set));
  return why_text(
      "WARNING: no backend of set '%.*s' is left: its requests get 503 now. Put one back with 'perilune "
      "backend enable', or all with 'perilune backend --forget'\n",
      STR_ARG(set));
}

/* NULL, or what is wrong with the order. Malloc'd. */
static char *change(const struct steering *s, struct order *order) {
  uint64_t weight;
  if (str_equal(s->action, STR("drain")))
    order->use = ORDER_DRAIN;
  else if (str_equal(s->action, STR("disable")))
    order->use = ORDER_DISABLE;
  else if (str_equal(s->action, STR("enable")))
    order->use = ORDER_USE;
  else if (!str_to_u64(s->weight, &weight) || weight < 1 || weight > BACKENDS_MAX)
    return why_text("a weight is a whole number from 1 to %d, not '%.*s'%s", (int)BACKENDS_MAX,
                    STR_ARG(s->weight), str_equal(s->weight, STR("0")) ? "; drain takes a backend out" : "");
  else
    order->weight = (unsigned)weight;
  return NULL;
}

/* Malloc'd. */
static char *describe(const struct steering *s, struct str set, struct order order) {
  if (str_equal(s->action, STR("weight")))
    return why_text("backend %.*s of set '%.*s' has weight %u", STR_ARG(s->address), STR_ARG(set),
                    order.weight);
  const char *name = order_name(order.use);
  return why_text("backend %.*s of set '%.*s' is %s", STR_ARG(s->address), STR_ARG(set),
                  name ? name : "enabled");
}

static void obey(struct command_client *client, struct steering *s, struct registry *registry) {
  struct str set = registry_name(s->entry);
  struct order order = orders_find(set, s->address);
  char *why = change(s, &order);
  if (why) {
    command_refuse(client, EXIT_BAD_INPUT, why);
    return;
  }
  if (!orders_put(set, s->address, order)) {
    command_refuse(
        client, EXIT_FAILED,
        why_text("%d orders are kept already; 'perilune backend --forget' drops them", (int)ORDERS_MOST));
    return;
  }
  tell_sets(registry);
  char *said = describe(s, set, order), *warning = warning_of(s->entry);
  log_info("%s", said);
  if (order.use == ORDER_DRAIN && str_equal(s->action, STR("drain"))) {
    drain_await(client, s->entry, s->address, s->for_ms, warning);
  } else {
    char *text = why_text("%s\n%s", said, warning);
    command_answer(client, EXIT_FINE, text);
    free(text);
  }
  free(said);
  free(warning);
}

static void forget(struct command_client *client, const struct steering *s, struct registry *registry) {
  struct str all = {NULL, 0};
  unsigned count = orders_forget(s->set.len ? s->set : all, s->address.len ? s->address : all);
  tell_sets(registry);
  char *text = why_text("forgotten: %u order%s; what the policy says holds\n", count, plural(count));
  log_info("backends: %.*s", (int)strlen(text) - 1, text);
  command_answer(client, EXIT_FINE, text);
  free(text);
}

/* Orders that the successor would not come to know are refused. */
static const char *obstacle_of(const struct server *s) {
  if (s->phase == PHASE_UPGRADING) return "an upgrade is under way: say it again when it has ended";
  return phase_is_over(s->phase) ? "this process is ending" : NULL;
}

void steer_backends(struct command_client *client, const char *line) {
  struct server *server = command_server_of(client);
  struct registry *registry = server->registry;
  struct steering s = {.entry = NULL};
  const char *obstacle = obstacle_of(server);
  if (!read_line(str_of(line), &s)) {
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
  } else if (str_equal(s.action, STR("list")) || str_equal(s.action, STR("json"))) {
    steer_list(client, s.set, str_equal(s.action, STR("json")));
  } else if (obstacle) {
    command_refuse(client, EXIT_FAILED, str_to_cstring(str_of(obstacle)));
  } else if (str_equal(s.action, STR("forget"))) {
    forget(client, &s, registry);
  } else {
    find(&s, registry);
    if (s.matches == 1)
      obey(client, &s, registry);
    else
      command_refuse(client, EXIT_BAD_INPUT, refusal(&s, registry));
    if (s.entry) registry_release(registry, s.entry);
  }
}
