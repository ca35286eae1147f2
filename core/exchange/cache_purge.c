// SPDX-License-Identifier: Apache-2.0
// cache_purge: what the cache is told to forget, by a policy, by a command, or by the answer to an unsafe request
// (RFC 9111 section 4.4, RFC 9875); and whether something that is stored, or on its way, is to be forgotten.
#include <xxhash.h>

#include "exchange/cache_parts.h"
#include "http/cache_tags.h"
#include "http/members.h"

/* --- tags ------------------------------------------------------------------------------------------------- */

static uint64_t tag_of(struct str name) { return XXH3_64bits(name.ptr, name.len); }

/* A group is one of its origin. */
static uint64_t group_of(const struct cache_visit *v, struct str name) {
  size_t lines = 0, end = 0;
  while (end < v->url.len && lines < 2) lines += v->url.ptr[end++] == '\n';
  return XXH3_64bits_withSeed(name.ptr, name.len, XXH3_64bits(v->url.ptr, end));
}

static void add(struct stored_facts *facts, uint64_t tag) {
  if (facts->tag_count < STORED_TAGS)
    facts->tags[facts->tag_count++] = tag;
  else
    facts->has_more_tags = true;
}

void cache_take_tags(const struct cache_visit *v, const struct headers *h, struct stored_facts *facts) {
  struct tag_walk walk;
  struct str name;
  bool is_group;
  tag_walk_begin(&walk, h);
  while (tag_walk_next(&walk, &name, &is_group)) {
    add(facts, tag_of(name));
    if (is_group) add(facts, group_of(v, name));
  }
  for (unsigned i = 0; v->says && i < v->says->tag_count; i++) add(facts, tag_of(v->says->tags[i]));
}

/* --- forgotten? ------------------------------------------------------------------------------------------- */

static struct purge_object object_of(const struct cache_visit *v, const struct stored_facts *facts) {
  return (struct purge_object){.number = facts->number,
                               .key = v->url,
                               .tags = facts->tags,
                               .tag_count = facts->tag_count,
                               .has_more_tags = facts->has_more_tags};
}

/* It is stale since it was softly purged. If the time of day was put forward in between, that would be in the future:
 * it is stale now, all the same. */
static void end_lifetime(struct cache_visit *v, int64_t soft_ms) {
  struct stored_facts *facts = &v->facts;
  uint64_t kept_ms = soft_ms > facts->wall_ms ? (uint64_t)(soft_ms - facts->wall_ms) : 0;
  uint64_t most_ms = cache_kept_ms(v);
  if (kept_ms > most_ms) kept_ms = most_ms;
  uint64_t age_s = freshness_age_ms(&facts->freshness, kept_ms) / 1000;
  if (age_s < facts->freshness.lifetime_s) facts->freshness.lifetime_s = (uint32_t)age_s;
}

bool cache_is_forgotten(struct cache_visit *v) {
  struct purge_object object = object_of(v, &v->facts);
  int64_t soft_ms;
  object.looks_at_key = v->key.len > v->url.len || cache_is_inherited(visit_cache(v), object.number);
  switch (purges_look(cache_purges(visit_cache(v)), &object, &soft_ms)) {
  case PURGE_NOTHING: return false;
  case PURGE_SOFT: end_lifetime(v, soft_ms); return false;
  case PURGE_HARD: break;
  }
  return true;
}

bool cache_is_current(const struct cache_visit *v, const struct stored_facts *facts) {
  struct purge_object object = object_of(v, facts);
  int64_t soft_ms;
  object.looks_at_key = true;
  return purges_look(cache_purges(visit_cache(v)), &object, &soft_ms) != PURGE_HARD;
}

/* Its tags are not known before its head is here. */
bool cache_may_join(const struct cache_visit *v, const struct fill *fill) {
  struct purge_object object = {
      .number = fill->number, .key = v->url, .has_more_tags = true, .looks_at_key = true};
  int64_t soft_ms;
  return purges_look(cache_purges(visit_cache(v)), &object, &soft_ms) == PURGE_NOTHING;
}

/* --- forgetting ------------------------------------------------------------------------------------------- */

static const char *purge_url(const struct cache_order *order, struct arena *arena, bool *was_there) {
  struct str key = cache_key_of_url(order->what, arena);
  if (!key.ptr) return "expected a URL such as \"https://a.example/path\"";
  *was_there = cache_purge_key(order->cache, key, order->is_soft);
  return NULL;
}

static const char *purge_prefix(const struct cache_order *order, struct arena *arena) {
  struct str key = cache_key_of_prefix(order->what, arena);
  if (!key.ptr)
    return "expected the beginning of URLs, with their host, such as \"https://a.example/images/\"";
  if (key.len > PURGE_PREFIX_MOST) return "a prefix has at most 512 characters";
  cache_purge_prefix(order->cache, key, order->is_soft);
  return NULL;
}

static const char *forget(const struct cache_order *order, struct arena *arena, bool *was_there) {
  switch (order->kind) {
  case PURGE_KEY: return purge_url(order, arena, was_there);
  case PURGE_PREFIX: return purge_prefix(order, arena);
  case PURGE_TAG:
    if (!order->what.len) return "expected the name of a tag";
    cache_purge_tag(order->cache, tag_of(order->what), order->is_soft);
    break;
  case PURGE_ALL: cache_purge_all(order->cache, order->is_soft); break;
  }
  return NULL;
}

/* A restart must not bring back what somebody was told is gone. */
const char *cache_forget(const struct cache_order *order, struct arena *arena, bool *was_there) {
  *was_there = true;
  const char *fault = forget(order, arena, was_there);
  if (fault) return fault;
  cache_keep_purges(order->cache);
  struct purge_note note = {order->kind, order->is_soft};
  if (!order->is_remote) purge_outbox_put(cache_outbox(order->cache), note, order->what);
  return NULL;
}

/* --- by an answer ----------------------------------------------------------------------------------------- */

static void invalidate_named(struct cache_visit *v, struct str name) {
  struct exchange *x = v->exchange;
  struct str target = invalidated_target(field_alone(&x->response.headers, name),
                                         x->secure ? STR("https") : STR("http"), x->request.authority);
  if (target.len) cache_purge_key(visit_cache(v), cache_key_of(x, target), false);
}

static void invalidate_groups(struct cache_visit *v) {
  struct tag_walk walk;
  struct str name;
  bool is_group;
  tag_walk_begin_invalidation(&walk, &v->exchange->response.headers);
  while (tag_walk_next(&walk, &name, &is_group)) cache_purge_tag(visit_cache(v), group_of(v, name), false);
}

void cache_invalidate(struct cache_visit *v) {
  if (!v->invalidates || !invalidates(v->exchange->request.method, v->exchange->response.status)) return;
  cache_purge_key(visit_cache(v), v->url, false);
  invalidate_named(v, STR("Location"));
  invalidate_named(v, STR("Content-Location"));
  invalidate_groups(v);
}
