// SPDX-License-Identifier: Apache-2.0
// Units for net/resolver, with a name server on the loopback.
#include "net/resolver.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

#include "name_server.h"
#include "unit.h"

struct bench {
  struct ev_loop *loop;
  struct resolver *resolver;
  struct name_server server;
};

static void bench_open(struct bench *bench) {
  bench->loop = ev_loop_new(0);
  bench->resolver = resolver_new(bench->loop);
  name_server_start(&bench->server, bench->loop);
  CHECK(resolver_set_servers(bench->resolver, bench->server.address, NULL));
}

static void bench_close(struct bench *bench) {
  resolver_free(bench->resolver);
  name_server_stop(&bench->server);
  ev_loop_destroy(bench->loop);
}

/* What an owner saw. */
struct seen {
  struct ev_loop *loop;
  unsigned calls, count, ttl_s, priority[RESOLVER_ADDRESSES], weight[RESOLVER_ADDRESSES];
  char text[RESOLVER_ADDRESSES][ADDR_TEXT], why[64];
};

static void see(void *owner, const struct resolver_answer *answer) {
  struct seen *seen = owner;
  seen->calls++;
  seen->count = answer->count;
  seen->ttl_s = answer->ttl_s;
  for (unsigned i = 0; i < answer->count; i++) {
    const struct resolver_service *service = answer->services ? &answer->services[i] : NULL;
    addr_format(service ? &service->address : &answer->addresses[i], seen->text[i]);
    if (service) seen->priority[i] = service->priority, seen->weight[i] = service->weight;
  }
  snprintf(seen->why, sizeof seen->why, "%s", answer->why ? answer->why : "");
  ev_break(seen->loop, EVBREAK_ALL);
}

static struct seen look_up(struct bench *bench, const char *host, unsigned short port) {
  struct seen seen = {.loop = bench->loop};
  resolver_lookup(bench->resolver, host, port, see, &seen);
  CHECK(seen.calls == 0);
  ev_run(bench->loop, 0);
  CHECK(seen.calls == 1);
  return seen;
}

static void turn(struct bench *bench, int times) {
  for (int i = 0; i < times; i++) ev_run(bench->loop, EVRUN_NOWAIT);
}

IT("finds localhost without asking a server") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = look_up(&bench, "localhost", 80);
  bool has_ipv4 = false;
  for (unsigned i = 0; i < seen.count; i++) {
    has_ipv4 = has_ipv4 || strcmp(seen.text[i], "127.0.0.1:80") == 0;
    CHECK(strcmp(seen.text[i], "127.0.0.1:80") == 0 || strcmp(seen.text[i], "[::1]:80") == 0);
  }
  CHECK(seen.count >= 1 && has_ipv4 && bench.server.questions == 0);
  bench_close(&bench);
}

IT("answers for IP addresses, later, too") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = look_up(&bench, "192.0.2.7", 8080);
  CHECK(seen.count == 1);
  CHECK_STR(str_of(seen.text[0]), "192.0.2.7:8080");
  seen = look_up(&bench, "2001:db8::7", 1);
  CHECK(seen.count == 1);
  CHECK_STR(str_of(seen.text[0]), "[2001:db8::7]:1");
  CHECK(bench.server.questions == 0);
  bench_close(&bench);
}

IT("gives all addresses that the server knows, with the port") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = look_up(&bench, "good.test", 443);
  CHECK(seen.count == 2 && bench.server.questions >= 1);
  CHECK(str_starts_with(str_of(seen.text[0]), STR("192.0.2.")) && strstr(seen.text[0], ":443"));
  CHECK(str_starts_with(str_of(seen.text[1]), STR("192.0.2.")) && strcmp(seen.text[0], seen.text[1]) != 0);
  CHECK_STR(str_of(seen.why), "");
  bench_close(&bench);
}

IT("reports a name that does not exist") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = look_up(&bench, "no.such.name.invalid", 80);
  CHECK(seen.count == 0);
  CHECK_STR(str_of(seen.why), "Domain name not found");
  bench_close(&bench);
}

IT("does not call back for a query cancelled before its answer was delivered") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  resolver_cancel(
      resolver_lookup(bench.resolver, "192.0.2.7", 80, see, &seen)); /* answered already, inside */
  turn(&bench, 2);
  CHECK(seen.calls == 0);
  look_up(&bench, "192.0.2.8", 80);
  CHECK(seen.calls == 0);
  bench_close(&bench);
}

IT("does not call back for a query cancelled while the server is asked") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  resolver_cancel(resolver_lookup(bench.resolver, "good.test", 80, see, &seen));
  CHECK(look_up(&bench, "good.test", 81).count == 2); /* the server has answered both by then */
  turn(&bench, 3);
  CHECK(seen.calls == 0);
  bench_close(&bench);
}

IT("ends with queries under way and answers undelivered, without a callback") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  resolver_lookup(bench.resolver, "slow.test", 80, see, &seen);
  resolver_cancel(resolver_lookup(bench.resolver, "slow.test", 81, see, &seen));
  turn(&bench, 3);
  CHECK(bench.server.questions >= 1);
  resolver_lookup(bench.resolver, "192.0.2.7", 80, see, &seen);
  resolver_free(bench.resolver);
  bench.resolver = NULL;
  turn(&bench, 3);
  CHECK(seen.calls == 0);
  bench_close(&bench);
}

/* --- from inside the callback ------------------------------------------------------------------------ */

struct inside {
  struct bench *bench;
  struct resolver_query *victim;
  struct seen again;
  bool frees;
};

static void act(void *owner, const struct resolver_answer *answer) {
  struct inside *inside = owner;
  struct bench *bench = inside->bench;
  (void)answer;
  if (inside->victim) resolver_cancel(inside->victim);
  if (!inside->frees) {
    resolver_lookup(bench->resolver, "192.0.2.9", 9, see, &inside->again);
    return;
  }
  resolver_free(bench->resolver);
  bench->resolver = NULL;
}

static void check_inside(bool frees) {
  struct bench bench;
  bench_open(&bench);
  struct inside inside = {.bench = &bench, .again.loop = bench.loop, .frees = frees};
  struct seen seen = {.loop = bench.loop};
  resolver_lookup(bench.resolver, "192.0.2.7", 80, act, &inside);
  inside.victim = resolver_lookup(bench.resolver, "192.0.2.8", 80, see, &seen);
  turn(&bench, 3);
  CHECK(seen.calls == 0);
  CHECK(inside.again.calls == !frees);
  bench_close(&bench);
}

IT("lets an owner cancel and look up from inside its callback") { check_inside(false); }
IT("lets an owner free the resolver from inside its callback") { check_inside(true); }

IT("refuses servers that are no addresses") {
  struct bench bench;
  bench_open(&bench);
  char *why = NULL;
  CHECK(!resolver_set_servers(bench.resolver, "nonsense", &why) && why);
  free(why);
  CHECK(look_up(&bench, "good.test", 80).count == 2); /* the old ones are still asked */
  bench_close(&bench);
}

IT("takes other servers while the old ones are asked, and delivers both answers") {
  struct bench bench;
  struct name_server other;
  bench_open(&bench);
  name_server_start(&other, bench.loop);
  struct seen old = {.loop = bench.loop}, new = {.loop = bench.loop}, never = {.loop = bench.loop};
  resolver_lookup(bench.resolver, "slow.test", 80, see, &never);
  resolver_lookup(bench.resolver, "good.test", 80, see, &old);
  CHECK(resolver_set_servers(bench.resolver, other.address, NULL));
  resolver_lookup(bench.resolver, "good.test", 81, see, &new);
  while (!old.calls || !new.calls) ev_run(bench.loop, EVRUN_ONCE);
  CHECK(old.count == 2 && new.count == 2 && never.calls == 0);
  CHECK(bench.server.questions >= 2 && other.questions >= 1);
  name_server_stop(&other);
  bench_close(&bench);
}

/* --- services ------------------------------------------------------------------------------------------ */

IT("finds the services of a name, with the shortest time to live") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  resolver_lookup_services(bench.resolver, "good.test", see, &seen);
  CHECK(seen.calls == 0);
  ev_run(bench.loop, 0);
  if (CHECK(seen.calls == 1 && seen.count == 2)) {
    CHECK(seen.ttl_s == 30 && seen.priority[0] == 1 && seen.weight[0] == 5 && seen.priority[1] == 2);
    CHECK_STR(str_of(seen.text[0]), "a.test:8080");
    CHECK_STR(str_of(seen.text[1]), "b.test:81");
  }
  bench_close(&bench);
}

IT("says why there are no services") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  resolver_lookup_services(bench.resolver, "gone.test", see, &seen);
  ev_run(bench.loop, 0);
  CHECK(seen.calls == 1 && seen.count == 0);
  CHECK_STR(str_of(seen.why), "Domain name not found");
  resolver_cancel(resolver_lookup_services(bench.resolver, "good.test", see, &seen));
  CHECK(look_up(&bench, "good.test", 80).ttl_s == 60 && seen.calls == 1);
  bench_close(&bench);
}
