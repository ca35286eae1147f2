// SPDX-License-Identifier: Apache-2.0
// resolver_query: a query takes what the cache has for its name, and waits for the rest: struct part is its place in
// the list of those that wait for a set of records. A set is requested once, and its reply wakes all of them. The
// hard problem is when a query has enough: see `patience`. If a name has none of the records, the query continues
// with the next of q->names.
#include "net/resolver_query.h"

#include "base/log.h"
#include "base/memory.h"
#include "net/addresses.h"

#define RESOLUTION_DELAY_S 0.05 /* RFC 8305 section 3 */
#define STALE_WAIT_S       0.5  /* for something better than what is over its time */
#define FOREVER_S          1e9
enum { TTL_LEAST_S = 1, TTL_MOST_S = 3600, STALE_S = 600 };
enum { NONE_UNSAID_S = 5, NONE_MOST_S = 60, FAILURE_S = 1 };

static void decide(struct resolver_query *q);

/* --- sets ---------------------------------------------------------------------------------------------- */

static bool holds(const struct cached_set *set, double now) { return set->answered > 0 && now < set->until; }

/* The last question for it failed: nobody waits for the next one. */
static bool is_failing(const struct cached_set *set) {
  return set->answered > 0 && set->result == DNS_FAILED;
}

static bool has_stale(const struct cached_set *set, double now) {
  return set->records.count > 0 && now < set->stale_until;
}

static unsigned bounded(unsigned value, unsigned least, unsigned most) {
  return value < least ? least : value > most ? most : value;
}

/* What the reply says, with what may be used of it until when. A failure leaves the records as they are. */
static void store(struct cached_set *set, struct dns_reply *reply, double now) {
  const struct dns_records *found = &reply->records;
  unsigned ttl_s = FAILURE_S;
  if (reply->result == DNS_FOUND) ttl_s = bounded(found->ttl_s, TTL_LEAST_S, TTL_MOST_S);
  if (reply->result == DNS_NO_DATA || reply->result == DNS_NO_NAME)
    ttl_s = bounded(found->has_ttl ? found->ttl_s : NONE_UNSAID_S, TTL_LEAST_S, NONE_MOST_S);
  set->result = reply->result;
  set->why = reply->why;
  set->is_local = reply->is_local;
  set->answered = now;
  set->until = now + ttl_s;
  if (reply->result == DNS_FAILED) return;
  dns_records_clear(&set->records);
  set->records = reply->records;
  reply->records = (struct dns_records){0};
  set->stale_until = set->until + STALE_S;
}

static void on_reply(void *owner, struct dns_reply *reply) {
  struct cached_set *set = owner;
  struct cached_name *name = set->name;
  struct resolver *r = name->owner;
  CHECK_OBJ(name, CACHED_NAME_MAGIC);
  CHECK_OBJ(r, RESOLVER_MAGIC);
  CHECK(set->is_asked);
  set->is_asked = false;
  store(set, reply, ev_now(r->loop));
  LIST_EACH(node, &set->waiters) LIST_ENTRY(node, struct part, link)->waits = false;
  while (!list_is_empty(&set->waiters)) {
    struct part *part = LIST_ENTRY(set->waiters.next, struct part, link);
    list_remove(&part->link);
    decide(part->query);
  }
  name_cache_release(name);
}

static void ask_for(struct resolver *r, struct cached_set *set) {
  name_cache_hold(set->name);
  set->is_asked = true;
  set->asked = ev_now(r->loop);
  dns_ask(resolver_servers(r), set->name->text, set->type, on_reply, set);
}

/* --- queries ------------------------------------------------------------------------------------------- */

void query_leave_name(struct resolver_query *q) {
  if (q->name) ev_timer_stop(q->resolver->loop, &q->delay);
  for (unsigned i = 0; i < q->part_count; i++) list_remove(&q->parts[i].link);
  q->part_count = 0;
  if (q->name) name_cache_release(q->name);
  q->name = NULL;
}

static void add_part(struct resolver_query *q, struct cached_set *set) {
  struct part *part = &q->parts[q->part_count++];
  double now = ev_now(q->resolver->loop);
  bool needs_answer = q->is_fresh || !holds(set, now);
  *part = (struct part){.query = q, .set = set, .waits = needs_answer};
  list_init(&part->link);
  if (!needs_answer) return;
  list_push_back(&set->waiters, &part->link);
  if (!set->is_asked) ask_for(q->resolver, set);
}

static void look_up_next(struct resolver_query *q) {
  const char *text = q->names[q->names_tried++];
  query_leave_name(q);
  q->name = name_cache_get(&q->resolver->cache, text);
  if (q->is_for_services) add_part(q, &q->name->sets[SET_SRV]);
  if (!q->is_for_services && q->family != FAMILY_IPV6) add_part(q, &q->name->sets[SET_A]);
  if (!q->is_for_services && q->family != FAMILY_IPV4) add_part(q, &q->name->sets[SET_AAAA]);
  decide(q);
}

/* Records of one family are enough after a short delay, which counts from when they were there and the others asked
 * for; records that are over their time, after a longer one. There is no delay where the last question failed. Without
 * any records it waits as long as it takes, which dns_client bounds. */
static double patience(const struct resolver_query *q, double now) {
  double since = 0, longest_s = 0;
  bool has_some = false, has_old = false, fails = true;
  for (unsigned i = 0; i < q->part_count; i++) {
    const struct cached_set *set = q->parts[i].set;
    if (!q->parts[i].waits) has_some = has_some || (holds(set, now) && set->records.count > 0);
    if (has_stale(set, now)) has_old = true;
    double begun = q->parts[i].waits ? set->asked : set->answered;
    if (begun > since) since = begun;
    if (q->parts[i].waits) fails = fails && is_failing(set);
  }
  if (!has_some && (!has_old || q->is_fresh)) return FOREVER_S;
  if (!fails) longest_s = has_some ? RESOLUTION_DELAY_S : STALE_WAIT_S;
  return since + longest_s - now;
}

/* May its records be used: fresh ones, or, if nothing fresh is there, stale ones? */
static bool is_of_use(const struct part *part, double now, bool takes_stale) {
  if (holds(part->set, now) && part->set->result == DNS_FOUND) return true;
  return takes_stale && has_stale(part->set, now);
}

static unsigned seconds_left(const struct cached_set *set, double now) {
  double left = set->until - now;
  return left > 1 ? (unsigned)(left + 0.999) : 1;
}

static void take_services(struct resolver_query *q, const struct dns_records *records) {
  size_t bytes = records->count * sizeof *records->services;
  struct resolver_service *services = memory_alloc(bytes);
  memcpy(services, records->services, bytes);
  q->answer.services = services;
  q->answer.count = records->count;
}

/* False: there is nothing to take. */
static bool take_records(struct resolver_query *q, double now, bool takes_stale) {
  struct addresses found = {0};
  unsigned ttl_s = TTL_MOST_S;
  for (unsigned i = 0; i < q->part_count; i++) {
    const struct cached_set *set = q->parts[i].set;
    if (!is_of_use(&q->parts[i], now, takes_stale)) continue;
    unsigned left_s = seconds_left(set, now);
    if (left_s < ttl_s) ttl_s = left_s;
    if (set->type == DNS_SRV && set->records.count) take_services(q, &set->records);
    if (set->type == DNS_SRV) continue;
    int family = set->type == DNS_A ? AF_INET : AF_INET6;
    for (unsigned n = 0; n < set->records.count; n++)
      addresses_add(&found, family, &set->records.addresses[n]);
  }
  if (found.count) {
    struct cached_name *memory = name_cache_get(&q->resolver->cache, q->host);
    q->answer.addresses = addresses_in_order(&found, memory, q->family, q->port, now);
    q->answer.count = found.count;
    name_cache_release(memory);
  }
  if (q->answer.count) q->answer.ttl_s = ttl_s;
  return q->answer.count > 0;
}

/* Of what kept a name from being found the gravest is told: that nobody could say; else what was said last. */
static bool is_graver(const struct resolver_query *q, const struct cached_set *set) {
  if (!q->answer.why || q->failure == DNS_FAILED || set->result == DNS_FAILED)
    return !q->answer.why || q->failure != DNS_FAILED;
  return set->answered > q->failed || (set->answered == q->failed && set->result == DNS_NO_DATA);
}

static void note_failure(struct resolver_query *q) {
  for (unsigned i = 0; i < q->part_count; i++) {
    const struct cached_set *set = q->parts[i].set;
    if (!set->why || !is_graver(q, set)) continue;
    q->failure = set->result;
    q->failed = set->answered;
    q->answer.why = set->why;
    q->answer.is_local = set->is_local;
  }
}

static void conclude(struct resolver_query *q, double now) {
  bool is_found = take_records(q, now, false);
  if (!is_found && take_records(q, now, true)) {
    is_found = true;
    q->resolver->counts.stale++;
    log_warn("%s: no name server answers, what was known of it is used", q->host);
  }
  if (!is_found) note_failure(q);
  if (!is_found && q->names_tried < q->name_count)
    look_up_next(q);
  else
    query_answered(q);
}

static void decide(struct resolver_query *q) {
  double now = ev_now(q->resolver->loop), left = 0;
  bool waits = false;
  CHECK_OBJ(q, QUERY_MAGIC);
  for (unsigned i = 0; i < q->part_count; i++) waits = waits || q->parts[i].waits;
  ev_timer_stop(q->resolver->loop, &q->delay);
  if (waits) left = patience(q, now);
  if (left >= FOREVER_S / 2) return;
  if (left > 0) {
    ev_timer_set(&q->delay, left, 0.);
    ev_timer_start(q->resolver->loop, &q->delay);
    return;
  }
  conclude(q, now);
}

static void on_delay(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  decide(timer->data);
}

/* A query that has its answer when it begins was served from memory. */
void query_begin(struct resolver_query *q) {
  ev_timer_init(&q->delay, on_delay, 0., 0.);
  ev_set_priority(&q->delay, EV_MINPRI); /* an answer that has arrived goes first */
  q->delay.data = q;
  look_up_next(q);
  if (q->answer.count) q->resolver->counts.hits++;
}
