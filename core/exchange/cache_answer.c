// SPDX-License-Identifier: Apache-2.0
// cache_answer: a stored response as one request wants it: with its Age, as 304 where the client has it already, in
// parts where it asks for ranges, without a body for HEAD (RFC 9111 section 4, RFC 9110 sections 13 and 14).
#include "exchange/cache_parts.h"

#include <time.h>

#include "exchange/proxy.h"
#include "http/conditions.h"
#include "http/ranges.h"

static void set_body(struct cache_visit *v, uint64_t bytes) {
  struct exchange *x = v->exchange;
  bool is_known = bytes != STORE_LENGTH_UNKNOWN;
  struct body body = {is_known ? FRAMING_LENGTH : FRAMING_CLOSE, is_known ? bytes : 0};
  bool is_silent = x->request.method == METHOD_HEAD || x->response.status == 204;
  bool is_stated = is_known && x->response.status != 204;
  x->response.body = is_silent ? (struct body){FRAMING_NONE, 0} : body;
  x->response.announced = x->heads.stated = is_stated ? body : (struct body){FRAMING_NONE, 0};
}

static void not_modified(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  condition_leave_out(&x->response.headers);
  x->response.status = 304;
  x->response.reason = (struct str){0};
  x->response.body = x->response.announced = x->heads.stated = (struct body){FRAMING_NONE, 0};
  v->body.count = 0;
}

/* --- ranges ----------------------------------------------------------------------------------------------- */

static void set_status(struct exchange *x, unsigned status) {
  x->response.status = (unsigned short)status;
  x->response.reason = (struct str){0};
}

static void one_range(struct cache_visit *v, const struct range *range, uint64_t length) {
  struct exchange *x = v->exchange;
  set_status(x, 206);
  headers_add(&x->response.headers, STR("Content-Range"), range_field(range, length, &x->arena));
  cache_body_begin(v, range->first, range_length(range));
  set_body(v, range_length(range));
}

static void many_ranges(struct cache_visit *v, const struct ranges *ranges, uint64_t length) {
  struct exchange *x = v->exchange;
  const struct field *field = headers_find_id(&x->response.headers, FIELD_CONTENT_TYPE);
  struct str type = field ? field->value : (struct str){0},
             boundary = ranges_boundary(&x->proxy->dice, &x->arena);
  struct cache_piece *pieces = arena_zalloc(&x->arena, (2 * ranges->count + 1) * sizeof *pieces);
  for (unsigned i = 0; i < ranges->count; i++) {
    const struct range *range = &ranges->items[i];
    pieces[2 * i].text = ranges_part_head(range, length, boundary, type, &x->arena);
    pieces[2 * i + 1] = (struct cache_piece){.first = range->first, .bytes = range_length(range)};
  }
  pieces[2 * ranges->count].text = ranges_end(boundary, &x->arena);
  v->body.pieces = pieces;
  v->body.count = 2 * ranges->count + 1;
  set_status(x, 206);
  headers_set_id(&x->response.headers, FIELD_CONTENT_TYPE, ranges_content_type(boundary, &x->arena));
  set_body(v, ranges_body_length(ranges, length, boundary, type));
}

static void outside(struct cache_visit *v, uint64_t length) {
  struct exchange *x = v->exchange;
  not_modified(v); /* what describes the content goes, too */
  set_status(x, 416);
  headers_add(&x->response.headers, STR("Content-Range"), range_field_outside(length, &x->arena));
  cache_body_begin(v, 0, 0);
  set_body(v, 0);
}

static void cut(struct cache_visit *v, uint64_t length, const struct validators *validators, int64_t now) {
  struct exchange *x = v->exchange;
  const struct field *field = headers_find(&x->request.headers, STR("Range"));
  struct ranges ranges;
  bool is_asked =
      field && x->request.method == METHOD_GET && x->response.status == 200 && length != STORE_LENGTH_UNKNOWN;
  if (!is_asked || !condition_if_range(&x->request.headers, validators, now)) return;
  switch (ranges_parse(field->value, length, &ranges)) {
  case RANGES_WHOLE: break;
  case RANGES_OUTSIDE: outside(v, length); break;
  case RANGES_SOME:
    if (ranges.count == 1)
      one_range(v, &ranges.items[0], length);
    else
      many_ranges(v, &ranges, length);
    break;
  }
}

/* --- the whole -------------------------------------------------------------------------------------------- */

/* RFC 9111 section 5.1: of what comes from the cache, always; of what comes from the peer just now, where that was not
 * its origin. */
static void add_age(struct cache_visit *v) {
  struct exchange *x = v->exchange;
  bool is_new = v->result == CACHE_RESULT_MISS || v->result == CACHE_RESULT_EXPIRED ||
                v->result == CACHE_RESULT_REVALIDATED;
  uint32_t age = freshness_age_field(&v->facts.freshness, cache_kept_ms(v));
  if (is_new && !age) return;
  headers_add(&x->response.headers, STR("Age"), arena_number(&x->arena, age));
}

/* Most requests ask for the whole, without a condition. What starts like a field of those counts as one. */
static bool is_conditional(const struct headers *h) {
  for (unsigned i = 0; i < h->count; i++) {
    struct str name = h->items[i].name;
    char first = ascii_lower(name.ptr[0]), second = name.len > 1 ? ascii_lower(name.ptr[1]) : 0;
    if ((first == 'i' && second == 'f') || (first == 'r' && second == 'a')) return true;
  }
  return false;
}

static void obey_conditions(struct cache_visit *v, uint64_t length) {
  struct exchange *x = v->exchange;
  struct validators validators;
  int64_t now = time(NULL);
  validators_of(&validators, &v->stored.headers, v->facts.wall_ms / 1000);
  if (condition_for_cache(&x->request, x->response.status, &validators, now) == CONDITION_NOT_MODIFIED)
    not_modified(v);
  else
    cut(v, length, &validators, now);
}

void cache_answer(struct cache_visit *v, uint64_t length) {
  struct exchange *x = v->exchange;
  x->response = v->stored;
  add_age(v);
  cache_say_status(v, &x->response.headers);
  cache_body_begin(v, 0, length);
  set_body(v, length);
  if (is_conditional(&x->request.headers)) obey_conditions(v, length);
}

void cache_say_status(struct cache_visit *v, struct headers *h) {
  struct exchange *x = v->exchange;
  if (!v->rules->says_status) return;
  struct cache_status status = {.cache = STR("perilune"),
                                .forward = v->forward,
                                .forward_status = v->forward_status,
                                .collapsed = v->is_collapsed && v->forward,
                                .stored =
                                    v->state == VISIT_READS && v->seat && v->forward && !v->is_collapsed};
  bool is_unanswered = v->result == CACHE_RESULT_STALE && !v->forward_status;
  status.detail = is_unanswered ? STR("no-answer") : v->refusal;
  if (v->state == VISIT_READS) {
    status.has_ttl = true;
    status.ttl_s = freshness_left_ms(&v->facts.freshness, cache_kept_ms(v)) / 1000;
  }
  headers_add(h, STR("Cache-Status"), cache_status_text(&status, &x->arena));
}
