// SPDX-License-Identifier: Apache-2.0
// live/text: events are put in order by when they began: a hook's note is made at its end. Steps that took no time are
// left out for people: most do.
#include "runtime/live/text.h"

#include <stdlib.h>
#include <time.h>

#include "base/date.h"
#include "runtime/observe/json.h"
#include "shared/live_record.h"

typedef unsigned long long number;

enum { EVENTS_MOST = 512, SHORT_US = 100 };

struct view {
  struct str texts[LIVE_TEXTS];
  uint64_t numbers[LIVE_NUMBERS];
  struct live_item events[EVENTS_MOST];
  unsigned event_count;
  struct str items;
};

static int by_time(const void *a, const void *b) {
  const struct live_item *x = a, *y = b;
  if (x->at_us != y->at_us) return x->at_us < y->at_us ? -1 : 1;
  return x->text.ptr < y->text.ptr ? -1 : 1; /* as they came */
}

static void read_items(struct view *v, struct str items) {
  struct live_item item;
  memset(v, 0, sizeof *v);
  v->items = items;
  while (live_record_next(&items, &item)) {
    if (item.kind == LIVE_TEXT && item.code < LIVE_TEXTS) v->texts[item.code] = item.text;
    if (item.kind == LIVE_NUMBER && item.code < LIVE_NUMBERS) v->numbers[item.code] = item.number;
    if (item.kind >= LIVE_STEP && v->event_count < EVENTS_MOST) v->events[v->event_count++] = item;
  }
  qsort(v->events, v->event_count, sizeof *v->events, by_time);
}

/* While a step runs, its hook may wait, the bodies' hooks get their pieces, and another peer is asked beside. */
static bool ends_step(const struct live_item *event) {
  static const struct str body = {"_body_filter", sizeof "_body_filter" - 1};
  struct str name = event->text;
  if (event->kind == LIVE_WAIT || event->kind == LIVE_HEDGED) return false;
  return event->kind != LIVE_HOOK || name.len < body.len ||
         !str_equal(str_from(name, name.len - body.len), body);
}

/* How long a step took: until something else begins. */
static uint32_t step_us(const struct view *v, unsigned at) {
  for (unsigned i = at + 1; i < v->event_count; i++)
    if (ends_step(&v->events[i])) return v->events[i].at_us - v->events[at].at_us;
  uint64_t all_us = v->numbers[LIVE_DURATION_US];
  return all_us > v->events[at].at_us ? (uint32_t)(all_us - v->events[at].at_us) : 0;
}

/* --- for people ------------------------------------------------------------------------------------------- */

static void put_time(FILE *out, uint64_t us) {
  struct str when = date_text(DATE_LOG, (time_t)(us / 1000000));
  fprintf(out, "%.*s.%03llu", STR_ARG(when), (number)(us / 1000 % 1000));
}

static void put_word(FILE *out, const char *before, struct str text) {
  if (text.len) fprintf(out, "%s%.*s", before, STR_ARG(text));
}

static void put_top(FILE *out, const struct view *v) {
  const struct str *texts = v->texts;
  put_time(out, v->numbers[LIVE_TIME_US]);
  fprintf(out, "  %llu  %.3f ms  ", (number)v->numbers[LIVE_STATUS],
          (double)v->numbers[LIVE_DURATION_US] / 1e3);
  if (texts[LIVE_METHOD].len)
    fprintf(out, "%.*s %.*s%.*s %.*s\n", STR_ARG(texts[LIVE_METHOD]), STR_ARG(texts[LIVE_HOST]),
            STR_ARG(texts[LIVE_TARGET]), STR_ARG(texts[LIVE_PROTOCOL]));
  else
    fputs("(a request that could not be read)\n", out);
  put_word(out, "  client ", texts[LIVE_CLIENT]);
  put_word(out, ", listener ", texts[LIVE_LISTENER]);
  fprintf(out, ", worker %llu, received %llu bytes, sent %llu\n", (number)v->numbers[LIVE_WORKER],
          (number)v->numbers[LIVE_RECEIVED], (number)v->numbers[LIVE_SENT]);
  if (texts[LIVE_ERROR].len || texts[LIVE_CACHE].len || texts[LIVE_UPSTREAM].len ||
      texts[LIVE_TRACE_ID].len || texts[LIVE_SLOW_HOOK].len || v->numbers[LIVE_ATTEMPTS] > 1)
    fprintf(out, "  attempts %llu", (number)v->numbers[LIVE_ATTEMPTS]);
  else
    return;
  put_word(out, ", peer ", texts[LIVE_UPSTREAM]);
  put_word(out, ", error ", texts[LIVE_ERROR]);
  put_word(out, ", cache ", texts[LIVE_CACHE]);
  put_word(out, ", trace ", texts[LIVE_TRACE_ID]);
  put_word(out, ", the slowest call so far of ", texts[LIVE_SLOW_HOOK]);
  fputc('\n', out);
}

static void put_event(FILE *out, const struct view *v, unsigned at) {
  const struct live_item *e = &v->events[at];
  bool is_short_step = e->kind == LIVE_STEP && step_us(v, at) < SHORT_US;
  if (is_short_step) return;
  fprintf(out, "  %10.3f ms  ", e->at_us / 1e3);
  switch (e->kind) {
  case LIVE_STEP: fprintf(out, "%.*s: %.3f ms", STR_ARG(e->text), step_us(v, at) / 1e3); break;
  case LIVE_HOOK:
    fprintf(out, "hook %.*s: %.3f ms%s", STR_ARG(e->text), e->us / 1e3, e->code ? ", FAILED" : "");
    break;
  case LIVE_WAIT: fprintf(out, "  waited %.3f ms for %.*s", e->us / 1e3, STR_ARG(e->text)); break;
  case LIVE_PEER: fprintf(out, "peer %.*s%s", STR_ARG(e->text), e->code ? " (TLS)" : ""); break;
  case LIVE_CONNECTED: fprintf(out, "connected%s", e->code ? ": the connection was there" : ""); break;
  case LIVE_ANSWERED: fprintf(out, "the peer answers %llu", (number)e->number); break;
  case LIVE_FAILED: fprintf(out, "FAILED %.*s", STR_ARG(e->text)); break;
  case LIVE_RETRIED: fprintf(out, "tried again %.*s", STR_ARG(e->text)); break;
  case LIVE_HEDGED: fprintf(out, "hedge: %.*s", STR_ARG(e->text)); break;
  case LIVE_TEXT:
  case LIVE_NUMBER:
  case LIVE_FIELD:
  case LIVE_KINDS: break;
  }
  fputc('\n', out);
}

static void put_fields(FILE *out, struct str items, enum live_fields list, const char *mark) {
  struct live_item item;
  struct str line;
  while (live_record_next(&items, &item)) {
    if (item.kind != LIVE_FIELD || item.code != list) continue;
    while (live_record_line(&item.text, &line)) fprintf(out, "  %s %.*s\n", mark, STR_ARG(line));
  }
}

void live_text(FILE *out, struct str items, bool has_fields) {
  struct view v;
  read_items(&v, items);
  put_top(out, &v);
  if (has_fields) put_fields(out, items, LIVE_FROM_CLIENT, ">");
  if (has_fields) put_fields(out, items, LIVE_TO_PEER, "> (to the peer)");
  for (unsigned i = 0; i < v.event_count; i++) put_event(out, &v, i);
  if (v.event_count) fprintf(out, "  %10.3f ms  end\n", (double)v.numbers[LIVE_DURATION_US] / 1e3);
  if (has_fields) put_fields(out, items, LIVE_TO_CLIENT, "<");
  if (v.numbers[LIVE_MISSED])
    fprintf(out, "  (no room for %llu more lines)\n", (number)v.numbers[LIVE_MISSED]);
}

/* --- for programs ----------------------------------------------------------------------------------------- */

static const char *const kinds[LIVE_KINDS] = {
    [LIVE_STEP] = "step",     [LIVE_HOOK] = "hook",           [LIVE_WAIT] = "wait",
    [LIVE_PEER] = "peer",     [LIVE_CONNECTED] = "connected", [LIVE_ANSWERED] = "answered",
    [LIVE_FAILED] = "failed", [LIVE_RETRIED] = "retried",     [LIVE_HEDGED] = "hedged"};
static const char *const text_names[LIVE_TEXTS] = {"client", "listener",     "protocol", "method",
                                                   "host",   "target",       "peer",     "error",
                                                   "cache",  "slowest_hook", "trace_id"};
static const char *const number_names[LIVE_NUMBERS] = {"time_us",    "worker", "status",   "duration_us",
                                                       "received",   "sent",   "attempts", "first_byte_us",
                                                       "generation", "missed"};

static void put_json_event(struct json *j, const struct view *v, unsigned at) {
  const struct live_item *e = &v->events[at];
  json_open(j, NULL, '{');
  json_number(j, "at_us", e->at_us);
  json_text(j, "event", str_of(kinds[e->kind]));
  if (e->kind == LIVE_ANSWERED)
    json_number(j, "status", e->number);
  else if (e->text.len)
    json_text(j, "what", e->text);
  if (e->kind == LIVE_STEP) json_number(j, "us", step_us(v, at));
  if (e->kind == LIVE_HOOK || e->kind == LIVE_WAIT) json_number(j, "us", e->us);
  if (e->kind == LIVE_HOOK) json_flag(j, "failed", e->code);
  if (e->kind == LIVE_CONNECTED) json_flag(j, "reused", e->code);
  if (e->kind == LIVE_PEER) json_flag(j, "tls", e->code);
  json_close(j, '}');
}

static void put_json_fields(struct json *j, struct str items, enum live_fields list, const char *name) {
  struct live_item item;
  struct str line;
  json_open(j, name, '[');
  while (live_record_next(&items, &item)) {
    if (item.kind != LIVE_FIELD || item.code != list) continue;
    while (live_record_line(&item.text, &line)) json_text(j, NULL, line);
  }
  json_close(j, ']');
}

void live_json(FILE *out, struct str items) {
  struct view v;
  struct json j = {out, true};
  read_items(&v, items);
  json_open(&j, NULL, '{');
  for (unsigned i = 0; i < LIVE_TEXTS; i++)
    if (v.texts[i].len) json_text(&j, text_names[i], v.texts[i]);
  for (unsigned i = 0; i < LIVE_NUMBERS; i++) json_number(&j, number_names[i], v.numbers[i]);
  json_open(&j, "events", '[');
  for (unsigned i = 0; i < v.event_count; i++) put_json_event(&j, &v, i);
  json_close(&j, ']');
  put_json_fields(&j, items, LIVE_FROM_CLIENT, "request_fields");
  put_json_fields(&j, items, LIVE_TO_PEER, "fields_for_the_peer");
  put_json_fields(&j, items, LIVE_TO_CLIENT, "response_fields");
  json_close(&j, '}');
  fputc('\n', out);
}
