// SPDX-License-Identifier: Apache-2.0
// steer/list: also orders for addresses that no list has at the moment: they hold when the address comes back.
#include "runtime/steer/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/why.h"
#include "runtime/command.h"
#include "runtime/observe/backends_report.h"
#include "runtime/observe/json.h"
#include "runtime/server.h"
#include "shared/orders.h"

struct listing {
  FILE *out;
  struct json *json; /* NULL: text */
  struct registry *registry;
  struct str wanted;     /* empty: all */
  struct str looked_for; /* set and address of an order */
  struct str address;
  bool is_listed;
  unsigned shown;
};

static bool is_wanted(const struct listing *l, struct str set) {
  return !l->wanted.len || str_equal(set, l->wanted);
}

/* --- text ------------------------------------------------------------------------------------------------- */

static void put_text(const struct backend_report *b, void *context) {
  struct listing *l = context;
  if (!is_wanted(l, b->set)) return;
  l->shown++;
  fprintf(l->out, "%-20.*s  %-24.*s  %-10s  weight %u", STR_ARG(b->set), STR_ARG(b->address),
          backend_report_state(b), b->weight);
  if (b->weight != b->given_weight) fprintf(l->out, " (policy: %u)", b->given_weight);
  fprintf(l->out, ", %u request%s in flight", b->in_flight, plural(b->in_flight));
  if (b->latency_us) fprintf(l->out, ", expected latency %.1f ms", b->latency_us / 1e3);
  fputc('\n', l->out);
}

static void compare(const struct backend_report *b, void *context) {
  struct listing *l = context;
  l->is_listed |= str_equal(b->set, l->looked_for) && str_equal(b->address, l->address);
}

struct copied_order {
  char *set, *address;
  struct order order;
};

struct copied_orders {
  struct copied_order *items; /* owned */
  unsigned count;
};

/* The table is locked while it is read, and the sets have locks of their own. */
static void copy_order(struct str set, struct str address, struct order order, void *context) {
  struct copied_orders *c = context;
  c->items = realloc(c->items, (c->count + 1) * sizeof *c->items);
  if (!c->items) abort();
  c->items[c->count++] = (struct copied_order){str_to_cstring(set), str_to_cstring(address), order};
}

static void put_absent(struct listing *l, const struct copied_order *o) {
  const char *name = order_name(o->order.use);
  l->looked_for = str_of(o->set);
  l->address = str_of(o->address);
  l->is_listed = false;
  if (!is_wanted(l, l->looked_for)) return;
  backends_report_read(l->registry, compare, l);
  if (l->is_listed) return;
  l->shown++;
  fprintf(l->out, "%-20s  %-24s  %-10s", o->set, o->address, name ? name : "enabled");
  if (o->order.weight) fprintf(l->out, "  weight %u", o->order.weight);
  fputs("  (the set has it not at the moment)\n", l->out);
}

static void put_all_absent(struct listing *l) {
  struct copied_orders c = {NULL, 0};
  orders_each((struct str){NULL, 0}, copy_order, &c);
  for (unsigned i = 0; i < c.count; i++) {
    put_absent(l, &c.items[i]);
    free(c.items[i].set);
    free(c.items[i].address);
  }
  free(c.items);
}

/* --- JSON ------------------------------------------------------------------------------------------------- */

static void put_json(const struct backend_report *b, void *context) {
  struct listing *l = context;
  if (!is_wanted(l, b->set)) return;
  l->shown++;
  backend_report_put_json(b, l->json);
}

void steer_list(struct command_client *client, struct str set, bool as_json) {
  char *text = NULL;
  size_t bytes;
  struct json json = {open_memstream(&text, &bytes), true};
  struct listing l = {.out = json.out, .registry = command_server_of(client)->registry, .wanted = set};
  if (as_json) {
    l.json = &json;
    json_open(&json, NULL, '[');
    backends_report_read(l.registry, put_json, &l);
    json_close(&json, ']');
    fputc('\n', json.out);
  } else {
    backends_report_read(l.registry, put_text, &l);
    put_all_absent(&l);
  }
  fclose(json.out);
  if (l.shown || as_json)
    command_answer(client, EXIT_FINE, text);
  else if (set.len)
    command_refuse(client, EXIT_BAD_INPUT, why_text("there is no set '%.*s' with backends", STR_ARG(set)));
  else
    command_refuse(client, EXIT_FAILED, why_text("the policy has no set of backends"));
  free(text);
}
