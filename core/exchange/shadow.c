// SPDX-License-Identifier: Apache-2.0
// shadow: a shadow exchange runs the ordinary steps, without a connection, and ends where a peer would be asked.
// Either of the two exchanges may decide first, so the comparison lives until both have released it.
#include "exchange/shadow.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"
#include "exchange/walk.h"
#include "net/timer.h"

enum decision_kind { UNDECIDED, ANSWERS, ASKS, FAILS };

struct decision {
  enum decision_kind kind;
  unsigned status;  /* ANSWERS */
  enum error error; /* FAILS */
  char peer[80];    /* ASKS: the address */
  char how[80];     /* ASKS: TLS and its name */
};

struct shadow {
  struct shadow_report *report; /* borrowed: the worker's */
  struct decision real, tried;
  struct stream *stream; /* borrowed: the shadow's, with the real one's connection while both live; NULL */
  char what[64];         /* "GET /path" */
  bool has_body, lacks_body; /* of the request; and the tried policy has asked for it */
  unsigned holders;
};

/* The text of the head is the real exchange's, which may end first. A body is the real one's alone: see
 * shadow_lacks_body. */
static void copy_request(struct exchange *copy, const struct request *from) {
  struct request *r = &copy->request;
  *r = *from;
  r->body = (struct body){FRAMING_NONE, 0};
  headers_init(&r->headers, &copy->arena);
  for (unsigned i = 0; i < from->headers.count; i++)
    headers_add(&r->headers, arena_dup(&copy->arena, from->headers.items[i].name),
                arena_dup(&copy->arena, from->headers.items[i].value));
  r->method_name = arena_dup(&copy->arena, r->method_name);
  r->target = arena_dup(&copy->arena, r->target);
  r->authority = arena_dup(&copy->arena, r->authority);
  r->upgrade = arena_dup(&copy->arena, r->upgrade);
}

static struct exchange *copy_of(struct exchange *x, struct service *service, struct shadow *shadow) {
  struct exchange *copy = exchange_new(x->proxy, &service->shadow, (struct arena){0});
  copy->shadow = shadow;
  copy->is_shadow = true;
  copy->stream = shadow->stream = arena_alloc(&copy->arena, sizeof *copy->stream);
  stream_init_none(copy->stream, service, x->stream->downstream);
  copy->secure = x->secure;
  copy->times.begun = x->times.begun;
  exchange_copy_client(copy, x);
  copy_request(copy, &x->request);
  copy->now.up.decoder.ended = true;
  x->proxy->exchange_count++;
  list_push_back(&x->proxy->exchanges, &copy->link);
  return copy;
}

void shadow_begin(struct exchange *x) {
  struct service *service = x->stream->service;
  struct shadow *shadow = memory_zalloc(sizeof *shadow);
  shadow->report = service->shadow_report;
  shadow->holders = 2;
  snprintf(shadow->what, sizeof shadow->what, "%.*s %.*s", STR_ARG(x->request.method_name),
           STR_ARG(x->request.target));
  x->shadow = shadow;
  shadow->has_body = x->request.body.framing != FRAMING_NONE;
  struct exchange *copy = copy_of(x, service, shadow);
  if (copy->hooks->begin) copy->hooks->begin(copy);
  exchange_run(copy);
}

/* --- comparing -------------------------------------------------------------------------------------------- */

static void count_address(struct shadow_report *report, const char *address, uint64_t in_force,
                          uint64_t tried) {
  unsigned i = 0;
  while (i < report->address_count && strcmp(report->addresses[i].address, address) != 0) i++;
  if (i == SHADOW_ADDRESSES) return;
  struct shadow_address *entry = &report->addresses[i];
  if (i == report->address_count) {
    report->address_count++;
    *entry = (struct shadow_address){0};
    snprintf(entry->address, sizeof entry->address, "%s", address);
  }
  entry->in_force += in_force;
  entry->tried += tried;
}

/* Which of several peers is asked may be chance; whether one is, and how, is not. */
static bool is_same(const struct decision *a, const struct decision *b) {
  return a->kind == b->kind && a->status == b->status && a->error == b->error && strcmp(a->how, b->how) == 0;
}

static void describe(const struct decision *d, char *text, size_t bytes) {
  switch (d->kind) {
  case ANSWERS: snprintf(text, bytes, "answers %u", d->status); break;
  case ASKS: snprintf(text, bytes, "asks %.70s%.60s", d->peer, d->how); break;
  case FAILS: snprintf(text, bytes, "fails (%s)", error_info(d->error)->name); break;
  case UNDECIDED: snprintf(text, bytes, "does not decide"); break;
  }
}

/* Each kind of difference once. */
static void add_text(struct shadow_report *report, const char *text) {
  for (unsigned i = 0; i < report->sample_count; i++)
    if (strcmp(report->samples[i], text) == 0) return;
  if (report->sample_count == SHADOW_SAMPLES) return;
  snprintf(report->samples[report->sample_count++], SHADOW_TEXT, "%s", text);
}

static void add_sample(struct shadow_report *report, const char *what, const char *old, const char *new) {
  char text[SHADOW_TEXT];
  snprintf(text, sizeof text, "%.60s: %.44s; the new policy %.44s", what, old, new);
  add_text(report, text);
}

static void compare(struct shadow *shadow) {
  struct shadow_report *report = shadow->report;
  const struct decision *real = &shadow->real, *tried = &shadow->tried;
  char old[160], new[160];
  if (shadow->lacks_body) {
    report->bodies++;
    return;
  }
  report->compared++;
  if (real->kind == ASKS) count_address(report, real->peer, 1, 0);
  if (tried->kind == ASKS) count_address(report, tried->peer, 0, 1);
  if (is_same(real, tried)) return;
  report->differing++;
  describe(real, old, sizeof old);
  describe(tried, new, sizeof new);
  add_sample(report, shadow->what, old, new);
}

void shadow_decided(struct exchange *x) {
  if (!x->shadow) return;
  struct decision *d = x->is_shadow ? &x->shadow->tried : &x->shadow->real;
  if (d->kind != UNDECIDED) return;
  if (x->answer && x->answer->resets) {
    d->kind = FAILS;
    d->error = ERROR_RESET;
  } else if (x->answer) {
    d->kind = ANSWERS;
    d->status = x->answer->response.status;
  } else if (x->now.peer) {
    const struct peer_options *o = &x->now.peer->options;
    d->kind = ASKS;
    snprintf(d->peer, sizeof d->peer, "%.*s", STR_ARG(o->address));
    if (o->tls) snprintf(d->how, sizeof d->how, " by TLS as %.*s", STR_ARG(o->sni));
  } else {
    d->kind = FAILS;
    d->error = x->error;
  }
}

void shadow_lacks_body(struct exchange *x) {
  if (x->is_shadow && x->shadow && x->shadow->has_body) x->shadow->lacks_body = true;
}

void shadow_lost_client(struct exchange *x) {
  if (x->shadow && !x->is_shadow && x->shadow->stream) x->shadow->stream->downstream = NULL;
}

void shadow_release(struct exchange *x) {
  struct shadow *shadow = x->shadow;
  if (!shadow) return;
  shadow_lost_client(x);
  x->shadow = NULL;
  if (x->is_shadow) shadow->stream = NULL;
  if (--shadow->holders > 0) return;
  if (shadow->real.kind != UNDECIDED) compare(shadow); /* else the client left before there was a decision */
  free(shadow);
}

void shadow_add(struct shadow_report *sum, const struct shadow_report *part) {
  sum->compared += part->compared;
  sum->differing += part->differing;
  sum->bodies += part->bodies;
  for (unsigned i = 0; i < part->address_count; i++)
    count_address(sum, part->addresses[i].address, part->addresses[i].in_force, part->addresses[i].tried);
  for (unsigned i = 0; i < part->sample_count; i++) add_text(sum, part->samples[i]);
}
