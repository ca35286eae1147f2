// SPDX-License-Identifier: Apache-2.0
// Units for net/resolver, with a name server on the loopback.
#include "net/resolver.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
  resolver_use_files(bench->resolver, "/nowhere/resolv.conf", "/nowhere/hosts");
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

static struct resolver_query *lookup(struct bench *bench, const char *host, unsigned short port,
                                     struct seen *seen) {
  seen->loop = bench->loop;
  return resolver_lookup(bench->resolver, &(struct resolver_question){.host = host, .port = port}, see, seen);
}

static struct seen look_up(struct bench *bench, const char *host, unsigned short port) {
  struct seen seen = {.loop = bench->loop};
  lookup(bench, host, port, &seen);
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
  resolver_cancel(lookup(&bench, "192.0.2.7", 80, &seen)); /* answered already, inside */
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
  resolver_cancel(lookup(&bench, "good.test", 80, &seen));
  CHECK(look_up(&bench, "good.test", 81).count == 2); /* the server has answered both by then */
  turn(&bench, 3);
  CHECK(seen.calls == 0);
  bench_close(&bench);
}

IT("ends with queries under way and answers undelivered, without a callback") {
  struct bench bench;
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  lookup(&bench, "slow.test", 80, &seen);
  resolver_cancel(lookup(&bench, "slow.test", 81, &seen));
  turn(&bench, 3);
  CHECK(bench.server.questions >= 1);
  lookup(&bench, "192.0.2.7", 80, &seen);
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
    lookup(bench, "192.0.2.9", 9, &inside->again);
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
  resolver_lookup(bench.resolver, &(struct resolver_question){.host = "192.0.2.7", .port = 80}, act, &inside);
  inside.victim = lookup(&bench, "192.0.2.8", 80, &seen);
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
  lookup(&bench, "slow.test", 80, &never);
  lookup(&bench, "good.test", 80, &old);
  CHECK(resolver_set_servers(bench.resolver, other.address, NULL));
  lookup(&bench, "good.test", 81, &new);
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
  resolver_lookup_services(bench.resolver, &(struct resolver_question){.host = "good.test"}, see, &seen);
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
  resolver_lookup_services(bench.resolver, &(struct resolver_question){.host = "gone.test"}, see, &seen);
  ev_run(bench.loop, 0);
  CHECK(seen.calls == 1 && seen.count == 0);
  CHECK_STR(str_of(seen.why), "Domain name not found");
  resolver_cancel(
      resolver_lookup_services(bench.resolver, &(struct resolver_question){.host = "good.test"}, see, &seen));
  CHECK(look_up(&bench, "good.test", 80).ttl_s == 60 && seen.calls == 1);
  bench_close(&bench);
}

/* --- memory -------------------------------------------------------------------------------------------- */

static double seconds_of(struct bench *bench, const char *host, struct seen *seen) {
  ev_now_update(bench->loop);
  double begun = ev_now(bench->loop);
  *seen = look_up(bench, host, 80);
  return ev_now(bench->loop) - begun;
}

static void wait_for(struct bench *bench, double seconds) {
  double end = ev_now(bench->loop) + seconds;
  while (ev_now(bench->loop) < end) {
    usleep(20000);
    ev_run(bench->loop, EVRUN_NOWAIT);
  }
}

IT("asks one question per family, however many ask for a name at once and later") {
  enum { MANY = 200 };
  struct bench bench;
  static struct seen all[MANY];
  bench_open(&bench);
  memset(all, 0, sizeof all);
  for (int i = 0; i < MANY; i++) lookup(&bench, "good.test", 80, &all[i]);
  for (int i = 0; i < MANY; i++)
    while (!all[i].calls) ev_run(bench.loop, EVRUN_ONCE);
  for (int i = 0; i < MANY; i++) CHECK(all[i].calls == 1 && all[i].count == 2);
  CHECK(look_up(&bench, "GOOD.test.", 81).count == 2);
  CHECK(bench.server.questions == 2);
  CHECK(resolver_counts(bench.resolver).lookups == MANY + 1 && resolver_counts(bench.resolver).hits == 1);
  bench_close(&bench);
}

IT("keeps an answer for its time to live, and no longer") {
  struct bench bench;
  bench_open(&bench);
  bench.server.ttl_s = 1;
  CHECK(look_up(&bench, "good.test", 80).ttl_s == 1);
  wait_for(&bench, 1.05);
  CHECK(look_up(&bench, "good.test", 80).count == 2);
  CHECK(bench.server.questions == 3); /* that there is no IPv6 address holds for five seconds */
  bench_close(&bench);
}

IT("asks again while an answer holds, where a fresh one is wanted") {
  struct bench bench;
  struct resolver_question question = {.host = "good.test", .port = 80, .is_fresh = true};
  bench_open(&bench);
  look_up(&bench, "good.test", 80);
  struct seen seen = {.loop = bench.loop};
  resolver_lookup(bench.resolver, &question, see, &seen);
  ev_run(bench.loop, 0);
  CHECK(seen.count == 2 && bench.server.questions == 4);
  bench_close(&bench);
}

IT("asks for one family where one is wanted") {
  struct bench bench;
  struct resolver_question question = {.host = "half.test", .port = 80, .family = FAMILY_IPV4};
  bench_open(&bench);
  struct seen seen = {.loop = bench.loop};
  resolver_lookup(bench.resolver, &question, see, &seen);
  ev_run(bench.loop, 0);
  CHECK(seen.count == 2 && bench.server.questions == 1);
  bench_close(&bench);
}

IT("asks once for a name that does not exist") {
  struct bench bench;
  bench_open(&bench);
  for (int i = 0; i < 5; i++) CHECK(look_up(&bench, "gone.test", 80).count == 0);
  CHECK(bench.server.questions == 2);
  bench_close(&bench);
}

IT("uses the addresses of one family shortly after they are there, where nobody answers for the other") {
  struct bench bench;
  struct seen seen;
  bench_open(&bench);
  double first_s = seconds_of(&bench, "half.test", &seen);
  CHECK(seen.count == 2 && first_s > 0.04 && first_s < 0.35);
  double second_s = seconds_of(&bench, "half.test", &seen);
  CHECK(seen.count == 2 && second_s < 0.04);
  bench_close(&bench);
}

/* --- servers ------------------------------------------------------------------------------------------- */

IT("asks the next server where one is silent, and that one first from then on") {
  struct bench bench;
  struct name_server dead;
  struct seen seen;
  char list[80];
  bench_open(&bench);
  name_server_start(&dead, bench.loop);
  dead.is_silent = true;
  snprintf(list, sizeof list, "%s,%s", dead.address, bench.server.address);
  CHECK(resolver_set_servers(bench.resolver, list, NULL));
  double first_s = seconds_of(&bench, "good.test", &seen);
  CHECK(seen.count == 2 && first_s > 0.3 && first_s < 1.5 && dead.questions == 2);
  CHECK(seconds_of(&bench, "db.corp.test", &seen) < 0.3 && seen.count == 2);
  CHECK(dead.questions == 2);
  name_server_stop(&dead);
  bench_close(&bench);
}

IT("asks the next server at once where one fails, and says so where all do") {
  struct bench bench;
  struct name_server bad;
  struct seen seen;
  char list[80];
  bench_open(&bench);
  name_server_start(&bad, bench.loop);
  bad.fails = true;
  snprintf(list, sizeof list, "%s,%s", bad.address, bench.server.address);
  CHECK(resolver_set_servers(bench.resolver, list, NULL));
  CHECK(seconds_of(&bench, "good.test", &seen) < 0.3 && seen.count == 2);
  bench.server.fails = true;
  CHECK(seconds_of(&bench, "db.corp.test", &seen) < 0.3 && seen.count == 0);
  CHECK_STR(str_of(seen.why), "DNS server returned general failure");
  name_server_stop(&bad);
  bench_close(&bench);
}

IT("uses what is over its time where no server answers") {
  struct bench bench;
  struct seen seen;
  bench_open(&bench);
  bench.server.ttl_s = 1;
  look_up(&bench, "good.test", 80);
  bench.server.is_silent = true;
  wait_for(&bench, 1.05);
  double waited_s = seconds_of(&bench, "good.test", &seen);
  CHECK(seen.count == 2 && waited_s > 0.4 && waited_s < 2 && resolver_counts(bench.resolver).stale == 1);
  bench_close(&bench);
}

/* --- files --------------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *format, const char *value) {
  FILE *file = fopen(path, "w");
  fprintf(file, format, value);
  fclose(file);
}

struct files {
  char resolv[UNIT_PATH_BYTES], hosts[UNIT_PATH_BYTES];
};

static void open_with_files(struct bench *bench, struct files *files) {
  bench_open(bench);
  unit_temporary(files->resolv, "resolv");
  unit_temporary(files->hosts, "hosts");
  resolver_use_files(bench->resolver, files->resolv, files->hosts);
  CHECK(resolver_set_servers(bench->resolver, NULL, NULL));
}

static void close_with_files(struct bench *bench, struct files *files) {
  unlink(files->resolv);
  unlink(files->hosts);
  bench_close(bench);
}

/* resolv.conf with that server, one more in front of it, and such options. */
static void write_resolv(struct bench *bench, struct files *files, const char *first, const char *options) {
  char text[400];
  snprintf(text, sizeof text, "nameserver %s\nnameserver %s\n%s\n", first, bench->server.address, options);
  write_file(files->resolv, "%s", text);
}

IT("asks as often and as long as resolv.conf says, where nobody answers") {
  struct bench bench;
  struct files files;
  struct seen seen;
  struct name_server other;
  open_with_files(&bench, &files);
  name_server_start(&other, bench.loop);
  bench.server.is_silent = other.is_silent = true;
  write_resolv(&bench, &files, other.address, "options timeout:1 attempts:1");
  CHECK(resolver_set_servers(bench.resolver, NULL, NULL));
  struct resolver_question question = {.host = "good.test.", .port = 80, .family = FAMILY_IPV4};
  seen = (struct seen){.loop = bench.loop};
  double begun = ev_time();
  resolver_lookup(bench.resolver, &question, see, &seen);
  ev_run(bench.loop, 0);
  double waited_s = ev_time() - begun;
  CHECK(seen.calls == 1 && seen.count == 0 && waited_s > 0.9 && waited_s < 2);
  CHECK(bench.server.questions == 1 && other.questions == 1);
  name_server_stop(&other);
  close_with_files(&bench, &files);
}

IT("begins with one server after the other where resolv.conf says rotate") {
  struct bench bench;
  struct files files;
  struct name_server other;
  open_with_files(&bench, &files);
  name_server_start(&other, bench.loop);
  write_resolv(&bench, &files, other.address, "options rotate");
  CHECK(resolver_set_servers(bench.resolver, NULL, NULL));
  for (int i = 0; i < 4; i++) {
    char name[24];
    snprintf(name, sizeof name, "n%d.test", i);
    look_up(&bench, name, 80);
  }
  CHECK(bench.server.questions >= 2 && other.questions >= 2);
  bench.server.questions = 0;
  write_resolv(&bench, &files, other.address, "");
  CHECK(resolver_set_servers(bench.resolver, NULL, NULL));
  look_up(&bench, "good.test", 80);
  look_up(&bench, "db.corp.test", 80);
  CHECK(bench.server.questions == 0);
  name_server_stop(&other);
  close_with_files(&bench, &files);
}

IT("asks the servers that resolv.conf has by now") {
  struct bench bench;
  struct files files;
  struct name_server other;
  open_with_files(&bench, &files);
  name_server_start(&other, bench.loop);
  write_file(files.resolv, "# none\nnameserver %s\n", bench.server.address);
  CHECK(look_up(&bench, "good.test", 80).count == 2 && bench.server.questions == 2);
  struct seen slow = {0};
  lookup(&bench, "half.test", 80, &slow);
  write_file(files.resolv, "nameserver nonsense\nnameserver %s\noptions ndots:2\n", other.address);
  wait_for(&bench, 2.1); /* it looks every two seconds */
  CHECK(look_up(&bench, "good.test", 80).count == 2 && other.questions == 2);
  CHECK(slow.calls == 1 && slow.count == 2);
  write_file(files.resolv, "nameserver %s\n", bench.server.address);
  CHECK(resolver_set_servers(bench.resolver, NULL, NULL)); /* a reload: at once */
  unsigned before = bench.server.questions;
  CHECK(look_up(&bench, "good.test", 80).count == 2 && bench.server.questions == before + 2);
  name_server_stop(&other);
  close_with_files(&bench, &files);
}

IT("looks names up in the domains of the search list, and a name with a dot behind in none") {
  struct bench bench;
  struct files files;
  open_with_files(&bench, &files);
  write_file(files.resolv, "nameserver %s\nsearch none.test corp.test\n", bench.server.address);
  CHECK(look_up(&bench, "db", 80).count == 2 && bench.server.questions == 4);
  CHECK(look_up(&bench, "db.", 80).count == 0 && bench.server.questions == 6);
  CHECK(look_up(&bench, "good.test", 80).count == 2 && bench.server.questions == 8);
  CHECK(look_up(&bench, "x.y", 80).count == 0 && bench.server.questions == 14);
  CHECK(look_up(&bench, "x.y", 80).count == 0 && bench.server.questions == 14);
  close_with_files(&bench, &files);
}

IT("takes names from the hosts file, as it is by now") {
  struct bench bench;
  struct files files;
  open_with_files(&bench, &files);
  write_file(files.resolv, "nameserver %s\n", bench.server.address);
  write_file(files.hosts, "192.0.2.5 Here.test also.test # %s\nbad line\n::5 here.test\n", "x");
  struct seen seen = look_up(&bench, "here.TEST", 80);
  CHECK(seen.count == 2 && bench.server.questions == 0);
  CHECK_STR(str_of(seen.text[0]), "[::5]:80");
  CHECK_STR(str_of(look_up(&bench, "also.test", 80).text[0]), "192.0.2.5:80");
  write_file(files.hosts, "192.0.2.66 also.test %s\n", "");
  resolver_set_servers(bench.resolver, NULL, NULL);
  CHECK_STR(str_of(look_up(&bench, "also.test", 80).text[0]), "192.0.2.66:80");
  CHECK(bench.server.questions == 0);
  close_with_files(&bench, &files);
}

/* --- order --------------------------------------------------------------------------------------------- */

IT("gives the addresses in turns, and one that failed last until it works") {
  struct bench bench;
  struct addr addr;
  const char *why;
  bench_open(&bench);
  struct seen one = look_up(&bench, "good.test", 80), other = look_up(&bench, "good.test", 80);
  CHECK(strcmp(one.text[0], other.text[0]) != 0);
  CHECK(addr_parse(str_of(one.text[0]), &addr, &why));
  resolver_note(bench.resolver, "good.test", &addr, false);
  for (int i = 0; i < 4; i++) CHECK_STR(str_of(look_up(&bench, "good.test", 80).text[1]), one.text[0]);
  resolver_note(bench.resolver, "good.test", &addr, true);
  other = look_up(&bench, "good.test", 80);
  CHECK(strcmp(other.text[0], look_up(&bench, "good.test", 80).text[0]) != 0);
  bench_close(&bench);
}
