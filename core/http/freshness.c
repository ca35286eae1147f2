// SPDX-License-Identifier: Apache-2.0
// freshness: lifetimes and ages. No sum overflows: each of its parts is at most 2^31 seconds, or the time since 1970.
#include "http/freshness.h"

#include "http/grammar.h"
#include "http/http_date.h"
#include "http/members.h"

/* A guess is a tenth of the time since the last change, and at most a day. */
enum { GUESS_PART = 10, GUESS_MOST = 86400 };

static uint64_t initial_age(const struct headers *h, int64_t date, struct freshness_times times);
static uint32_t lifetime(struct freshness *f, const struct response *response, const struct cache_control *cc,
                         int64_t date, const struct freshness_rules *rules);

void freshness_of(struct freshness *f, const struct response *response, const struct cache_control *cc,
                  struct freshness_times times, const struct freshness_rules *rules) {
  int64_t received = times.response_ms / 1000, date = received;
  *f = (struct freshness){0};
  /* Without a valid Date, it was made when it came in (RFC 9110 section 6.6.1). */
  date_of(&response->headers, STR("Date"), received, &date);
  f->initial_age_ms = initial_age(&response->headers, date, times);
  f->lifetime_s = lifetime(f, response, cc, date, rules);
  f->is_validated_always = cache_control_has(cc, CACHE_NO_CACHE);
  f->is_never_stale = f->is_validated_always || cache_control_has(cc, CACHE_MUST_REVALIDATE) ||
                      cache_control_has(cc, CACHE_PROXY_REVALIDATE) ||
                      (cache_control_has(cc, CACHE_S_MAXAGE) && !rules->grace_beside_s_maxage);
  if (f->is_never_stale) return;
  if (cache_control_has(cc, CACHE_STALE_WHILE_REVALIDATE))
    f->while_revalidate_s = cc->seconds[CACHE_STALE_WHILE_REVALIDATE];
  if (cache_control_has(cc, CACHE_STALE_IF_ERROR)) f->if_error_s = cc->seconds[CACHE_STALE_IF_ERROR];
}

/* The first line counts, and of it what stands before a comma; what is no number is no age (section 5.1). A
 * parameter is against the grammar, but the number before it makes the response older, not younger. */
static uint32_t age_of(const struct headers *h) {
  const struct field *field = headers_find(h, STR("Age"));
  uint32_t seconds = 0;
  if (!field) return 0;
  struct str text = {field->value.ptr, member_find(field->value, ",;")};
  return delta_seconds_parse(str_trim(text), &seconds) ? seconds : 0;
}

/* RFC 9111 section 4.2.3. A clock that went back in between counts as no delay. */
static uint64_t initial_age(const struct headers *h, int64_t date, struct freshness_times times) {
  int64_t apparent = times.response_ms / 1000 - date, delay = times.response_ms - times.request_ms;
  uint64_t apparent_ms = (uint64_t)delta_seconds_of(apparent) * 1000;
  uint64_t corrected_ms = (uint64_t)age_of(h) * 1000 + (uint64_t)(delay > 0 ? delay : 0);
  return apparent_ms > corrected_ms ? apparent_ms : corrected_ms;
}

bool date_of(const struct headers *h, struct str name, int64_t now, int64_t *when) {
  return http_date_parse(field_alone(h, name), now, when);
}

bool status_is_guessable(unsigned status) {
  switch (status) {
  case 200:
  case 203:
  case 204:
  case 206:
  case 300:
  case 301:
  case 308:
  case 404:
  case 405:
  case 410:
  case 414:
  case 501: return true;
  }
  return false;
}

/* What is no date is in the past, "0" above all (section 5.3); so are two lines. */
static uint32_t until_expiry(const struct headers *h, int64_t date) {
  int64_t expires;
  return date_of(h, STR("Expires"), date, &expires) ? delta_seconds_of(expires - date) : 0;
}

static bool guess(const struct response *response, const struct cache_control *cc, int64_t date,
                  uint32_t *seconds) {
  int64_t modified;
  if (!status_is_guessable(response->status) && !cache_control_has(cc, CACHE_PUBLIC)) return false;
  if (!date_of(&response->headers, STR("Last-Modified"), date, &modified) || modified > date) return false;
  int64_t part = (date - modified) / GUESS_PART;
  *seconds = delta_seconds_of(part < GUESS_MOST ? part : GUESS_MOST);
  return true;
}

/* RFC 9111 section 4.2.1. */
static uint32_t lifetime(struct freshness *f, const struct response *response, const struct cache_control *cc,
                         int64_t date, const struct freshness_rules *rules) {
  uint32_t seconds = 0;
  if (cache_control_has(cc, CACHE_S_MAXAGE)) {
    f->source = FRESHNESS_S_MAXAGE;
    return cc->seconds[CACHE_S_MAXAGE];
  }
  if (cache_control_has(cc, CACHE_MAX_AGE)) {
    f->source = FRESHNESS_MAX_AGE;
    return cc->seconds[CACHE_MAX_AGE];
  }
  if (!cc->is_targeted && headers_find(&response->headers, STR("Expires"))) {
    f->source = FRESHNESS_EXPIRES;
    return until_expiry(&response->headers, date);
  }
  if (rules->has_default) {
    f->source = FRESHNESS_POLICY;
    return delta_seconds_of(rules->default_s);
  }
  if (rules->guesses && guess(response, cc, date, &seconds)) f->source = FRESHNESS_GUESS;
  return seconds;
}

uint32_t freshness_age_field(const struct freshness *f, uint64_t kept_ms) {
  return delta_seconds_of((int64_t)(freshness_age_ms(f, kept_ms) / 1000));
}
