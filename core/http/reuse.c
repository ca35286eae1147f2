// SPDX-License-Identifier: Apache-2.0
// reuse: decisions from numbers. A response that must not be used stale is never used so, whatever the client allows.
#include "http/reuse.h"

#include "http/grammar.h"

static int64_t ms_of(uint32_t seconds) { return (int64_t)seconds * 1000; }

static bool is_asked(const struct freshness *f, uint64_t kept_ms, const struct cache_control *cc) {
  if (cache_control_has(cc, CACHE_NO_CACHE)) return true;
  if (cache_control_has(cc, CACHE_MAX_AGE) &&
      (int64_t)freshness_age_ms(f, kept_ms) >= ms_of(cc->seconds[CACHE_MAX_AGE]))
    return true;
  return cache_control_has(cc, CACHE_MIN_FRESH) &&
         freshness_left_ms(f, kept_ms) < ms_of(cc->seconds[CACHE_MIN_FRESH]);
}

enum reuse reuse_decide(const struct freshness *f, uint64_t kept_ms, const struct cache_control *request_cc,
                        const struct reuse_rules *rules) {
  int64_t left = freshness_left_ms(f, kept_ms);
  if (f->is_validated_always) return REUSE_VALIDATE;
  if (rules->obeys_request && is_asked(f, kept_ms, request_cc)) return REUSE_ASKED;
  if (left > 0) return REUSE_FRESH;
  if (f->is_never_stale) return REUSE_VALIDATE;
  if (-left < ms_of(f->while_revalidate_s)) return REUSE_WHILE_REVALIDATE;
  bool may_be_stale = rules->obeys_request && cache_control_has(request_cc, CACHE_MAX_STALE) &&
                      -left <= ms_of(request_cc->seconds[CACHE_MAX_STALE]);
  return may_be_stale ? REUSE_FRESH : REUSE_VALIDATE;
}

bool reuse_is_error(unsigned status) {
  return status == 0 || status == 500 || (status >= 502 && status <= 504);
}

bool reuse_on_error(const struct freshness *f, uint64_t kept_ms, unsigned status) {
  int64_t left = freshness_left_ms(f, kept_ms);
  if (!reuse_is_error(status) || f->is_validated_always) return false;
  return left > 0 || (!f->is_never_stale && -left < ms_of(f->if_error_s));
}

/* What is not known to be safe is not (RFC 9110 section 9.2.1). */
static bool is_safe(enum method method) {
  return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS || method == METHOD_TRACE;
}

bool invalidates(enum method method, unsigned status) {
  return !is_safe(method) && method != METHOD_CONNECT && status >= 200 && status < 400;
}

struct str invalidated_target(struct str value, struct str scheme, struct str authority) {
  struct str whole = {value.ptr, str_find(value, '#')}, rest = whole;
  bool has_scheme = str_take_nocase(&rest, scheme) && str_take_nocase(&rest, STR("://"));
  if (!has_scheme) rest = whole;
  if (has_scheme || str_take_nocase(&rest, STR("//"))) {
    if (!authority.len || !str_take_nocase(&rest, authority)) return (struct str){0};
    if (!rest.len) return STR("/");
  }
  return rest.len && rest.ptr[0] == '/' && grammar_is_all(rest, CLASS_TARGET) ? rest : (struct str){0};
}
