// SPDX-License-Identifier: Apache-2.0
// resolver: its life, the servers in force, names that need no server (IP addresses, hosts, localhost), and the
// delivery of answers. Answers are queued, and the loop delivers them one at a time, since an owner may then look up
// more names, cancel other lookups, or free the resolver.
#include "net/resolver.h"
#include "net/virtual_time.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/addresses.h"
#include "net/resolver_query.h"

static void deliver(struct ev_loop *loop, ev_timer *timer, int events);
static void query_free(struct resolver_query *q);

/* --- the resolver -------------------------------------------------------------------------------------- */

struct resolver *resolver_new(struct ev_loop *loop) {
  struct resolver *r = memory_zalloc(sizeof *r);
  r->loop = loop;
  list_init(&r->retired);
  list_init(&r->open);
  list_init(&r->answered);
  name_files_init(&r->files);
  name_cache_init(&r->cache, r);
  ev_timer_init(&r->delivery, deliver, 0., 0.);
  r->delivery.data = r;
  OBJ_INIT(r, RESOLVER_MAGIC);
  return r;
}

void resolver_free(struct resolver *r) {
  if (!r) return;
  CHECK_OBJ(r, RESOLVER_MAGIC);
  while (!list_is_empty(&r->open)) query_free(LIST_ENTRY(r->open.next, struct resolver_query, link));
  while (!list_is_empty(&r->answered)) query_free(LIST_ENTRY(r->answered.next, struct resolver_query, link));
  dns_servers_free(r->servers); /* tells us of its questions: see resolver_query.c */
  dns_servers_free_all(&r->retired);
  name_cache_drop(&r->cache);
  name_files_clear(&r->files);
  ev_clear_pending(r->loop, &r->delivery);
  free(r->said);
  OBJ_END(r, RESOLVER_MAGIC);
  free(r);
}

void resolver_use_files(struct resolver *r, const char *resolv_conf, const char *hosts) {
  r->files.resolv_path = resolv_conf;
  r->files.hosts_path = hosts;
}

bool resolver_check_servers(const char *servers, char **why) {
  const char *reason;
  bool is_fine = dns_servers_check(servers, &reason);
  if (!is_fine && why) why_say(why, "%s", reason);
  return is_fine;
}

static void leave_servers(struct resolver *r) {
  if (r->servers) dns_servers_retire(r->servers, &r->retired);
  r->servers = NULL;
  name_cache_drop(&r->cache);
}

bool resolver_set_servers(struct resolver *r, const char *servers, char **why) {
  CHECK_OBJ(r, RESOLVER_MAGIC);
  bool is_same = servers && r->said ? strcmp(servers, r->said) == 0 : servers == r->said;
  name_files_doubt(&r->files);
  if (is_same) return true;
  if (servers && !resolver_check_servers(servers, why)) return false;
  leave_servers(r);
  free(r->said);
  r->said = servers ? str_to_cstring(str_of(servers)) : NULL;
  return true;
}

static void refresh_files(struct resolver *r) {
  bool are_other = name_files_refresh(&r->files, ev_now(r->loop));
  if (are_other && !r->said && r->servers) {
    log_info("the system's name servers are %s now", r->files.servers);
    leave_servers(r);
  }
}

struct dns_servers *resolver_servers(struct resolver *r) {
  const struct dns_options none = {0};
  if (r->servers) return r->servers;
  if (r->said)
    r->servers = dns_servers_new(r->loop, r->said, &none, &r->asked);
  else
    r->servers = dns_servers_new(r->loop, r->files.servers, &r->files.options, &r->asked);
  return r->servers;
}

struct resolver_counts resolver_counts(const struct resolver *r) {
  struct resolver_counts counts = r->counts;
  counts.questions = r->asked.questions;
  counts.failures = r->asked.failures;
  counts.silent = r->servers ? dns_servers_silent(r->servers) : 0;
  return counts;
}

/* --- queries ------------------------------------------------------------------------------------------- */

static void query_free(struct resolver_query *q) {
  CHECK_OBJ(q, QUERY_MAGIC);
  query_leave_name(q);
  list_remove(&q->link);
  for (unsigned i = 0; i < q->name_count; i++) free(q->names[i]);
  free((void *)q->answer.addresses);
  free((void *)q->answer.services);
  OBJ_END(q, QUERY_MAGIC);
  free(q);
}

void query_answered(struct resolver_query *q) {
  query_leave_name(q);
  list_remove(&q->link);
  list_push_back(&q->resolver->answered, &q->link);
  ev_feed_event(q->resolver->loop, &q->resolver->delivery, EV_CUSTOM);
}

static void query_failed(struct resolver_query *q, const char *why) {
  q->answer.count = 0;
  q->answer.why = why;
  query_answered(q);
}

/* --- names --------------------------------------------------------------------------------------------- */

static void add_name(struct resolver_query *q, const char *domain) {
  char text[2 * NAME_TEXT];
  snprintf(text, sizeof text, domain ? "%s.%s" : "%s", q->host, domain);
  if (strlen(text) < NAME_TEXT) q->names[q->name_count++] = str_to_cstring(str_of(text));
}

/* resolv.conf(5): a name with enough dots is looked up as it is first, others last; one that ends with a dot, no
 * other way. */
static void list_names(struct resolver_query *q, bool is_absolute) {
  const struct name_files *f = &q->resolver->files;
  unsigned dots = 0;
  for (const char *c = q->host; *c; c++) dots += *c == '.';
  bool is_first = is_absolute || dots >= f->ndots;
  if (is_first) add_name(q, NULL);
  for (unsigned i = 0; !is_absolute && i < f->search_count; i++) add_name(q, f->search[i]);
  if (!is_first) add_name(q, NULL);
}

/* In lower case, without a dot behind: whether there was one. A name that is too long is empty. */
static bool take_name(const char *host, char name[NAME_TEXT]) {
  size_t length = strlen(host);
  bool is_absolute = length > 1 && host[length - 1] == '.';
  if (is_absolute) length--;
  if (length >= NAME_TEXT) length = 0;
  for (size_t i = 0; i < length; i++) name[i] = (char)tolower((unsigned char)host[i]);
  name[length] = '\0';
  return is_absolute;
}

static bool wants(const struct resolver_query *q, int family) {
  return family == AF_INET ? q->family != FAMILY_IPV6 : q->family != FAMILY_IPV4;
}

static bool read_literal(const char *host, struct addresses *found, const struct resolver_query *q) {
  struct dns_address address;
  int family = strchr(host, ':') ? AF_INET6 : AF_INET;
  if (inet_pton(family, host, address.bytes) != 1) return false;
  if (wants(q, family)) addresses_add(found, family, &address);
  return true;
}

static bool is_localhost(const char *host) {
  size_t length = strlen(host), tail = strlen(".localhost");
  return strcmp(host, "localhost") == 0 || (length > tail && strcmp(host + length - tail, ".localhost") == 0);
}

/* hosts(5), and localhost without it (RFC 6761 section 6.3). */
static void find_host(const struct resolver_query *q, struct addresses *found) {
  static const struct dns_address here4 = {{127, 0, 0, 1}}, here6 = {{[15] = 1}};
  unsigned count = 0;
  const struct host_entry *entries = name_files_find(&q->resolver->files, q->host, &count);
  for (unsigned i = 0; i < count; i++)
    if (wants(q, entries[i].family)) addresses_add(found, entries[i].family, &entries[i].address);
  if (count || !is_localhost(q->host)) return;
  if (wants(q, AF_INET6)) addresses_add(found, AF_INET6, &here6);
  if (wants(q, AF_INET)) addresses_add(found, AF_INET, &here4);
}

static struct resolver_query *query_new(struct resolver *r, const struct resolver_question *question,
                                        resolver_done *done, void *owner) {
  CHECK_OBJ(r, RESOLVER_MAGIC);
  struct resolver_query *q = memory_zalloc(sizeof *q);
  q->resolver = r;
  q->done = done;
  q->owner = owner;
  q->port = question->port;
  q->family = question->family;
  q->is_fresh = question->is_fresh;
  list_init(&q->link);
  list_push_back(&r->open, &q->link);
  OBJ_INIT(q, QUERY_MAGIC);
  r->counts.lookups++;
  refresh_files(r);
  return q;
}

static void answer_with(struct resolver_query *q, struct addresses *found) {
  struct cached_name *memory = name_cache_get(&q->resolver->cache, q->host);
  q->answer.addresses = addresses_in_order(found, memory, q->family, q->port, ev_now(q->resolver->loop));
  q->answer.count = found->count;
  name_cache_release(memory);
  query_answered(q);
}

static void look_up(struct resolver_query *q, const char *host) {
  struct addresses found = {0};
  bool is_absolute = take_name(host, q->host), is_literal = read_literal(host, &found, q);
  if (!is_literal) find_host(q, &found);
  if (found.count) {
    answer_with(q, &found);
  } else if (is_literal) {
    query_failed(q, "it is of the other family of addresses");
  } else if (!q->host[0]) {
    query_failed(q, "the name is malformed");
  } else if (virtual_time.is_replay) {
    virtual_time.refused++;
    query_failed(q, "a replay has no network");
  } else {
    list_names(q, is_absolute);
    query_begin(q);
  }
}

struct resolver_query *resolver_lookup(struct resolver *r, const struct resolver_question *question,
                                       resolver_done *done, void *owner) {
  struct resolver_query *q = query_new(r, question, done, owner);
  look_up(q, question->host);
  return q;
}

struct resolver_query *resolver_lookup_services(struct resolver *r, const struct resolver_question *question,
                                                resolver_done *done, void *owner) {
  struct resolver_query *q = query_new(r, question, done, owner);
  q->is_for_services = true;
  take_name(question->host, q->host);
  if (virtual_time.is_replay) {
    virtual_time.refused++;
    query_failed(q, "a replay has no network");
  } else if (q->host[0]) {
    add_name(q, NULL);
    query_begin(q);
  } else {
    query_failed(q, "the name is malformed");
  }
  return q;
}

/* Its questions go on: their answers are for the next query. */
void resolver_cancel(struct resolver_query *q) { query_free(q); }

void resolver_note(struct resolver *r, const char *host, const struct addr *addr, bool works) {
  char name[NAME_TEXT];
  CHECK_OBJ(r, RESOLVER_MAGIC);
  take_name(host, name);
  struct cached_name *memory = name_cache_get(&r->cache, name);
  addresses_note(memory, addr, works, ev_now(r->loop));
  name_cache_release(memory);
}

/* --- delivery ------------------------------------------------------------------------------------------ */

/* One answer a time: its owner may cancel others, look up more, or free the resolver. */
static void deliver(struct ev_loop *loop, ev_timer *timer, int events) {
  struct resolver *r = timer->data;
  (void)events;
  CHECK_OBJ(r, RESOLVER_MAGIC);
  if (list_is_empty(&r->answered)) return;
  struct resolver_query *q = LIST_ENTRY(r->answered.next, struct resolver_query, link);
  CHECK_OBJ(q, QUERY_MAGIC);
  list_remove(&q->link);
  if (!list_is_empty(&r->answered)) ev_feed_event(loop, timer, EV_CUSTOM);
  resolver_done *done = q->done;
  void *owner = q->owner;
  struct resolver_answer answer = q->answer;
  q->answer.addresses = NULL;
  q->answer.services = NULL;
  query_free(q);
  done(owner, &answer);
  free((void *)answer.addresses);
  free((void *)answer.services);
}
