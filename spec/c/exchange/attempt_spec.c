// SPDX-License-Identifier: Apache-2.0
// Units for exchange/attempt and exchange/elsewhere, on a rehearsed exchange: what goes to the peer, when another try
// is safe, and for which answers another backend is asked.
#include "exchange/attempt.h"

#include <ev.h>

#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/rehearsal.h"
#include "exchange/settings.h"
#include "exchange/walk.h"
#include "net/addr.h"
#include "shared/backends.h"
#include "shared/set.h"
#include "unit.h"

#define GET  "GET /a HTTP/1.1\r\nHost: a.example\r\n"
#define POST "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n"

static const struct hooks no_hooks;

struct scene {
  struct ev_loop *loop;
  struct proxy proxy;
  struct settings settings;
  struct rehearsal *rehearsal;
  struct exchange *x;
};

static void open_scene(struct scene *s, const char *head) {
  struct addr client;
  const char *why = NULL;
  s->loop = ev_loop_new(0);
  proxy_init(&s->proxy, s->loop, 0);
  s->settings = settings_default;
  addr_parse(STR("192.0.2.1:1234"), &client, &why);
  struct rehearsal_setup given = {&s->proxy, &no_hooks, &s->settings, &client, str_of(head), {0}, false};
  s->rehearsal = rehearsal_new(&given, &why);
  if (!CHECK(s->rehearsal)) return;
  s->x = rehearsal_exchange(s->rehearsal);
  s->x->attempts = 1;
  s->x->now.peer = peer_intern(&s->proxy, &(struct peer_options){.address = STR("127.0.0.1:8080")}, &why);
}

static void close_scene(struct scene *s) {
  rehearsal_free(s->rehearsal);
  proxy_close(&s->proxy);
  proxy_free(&s->proxy);
  ev_loop_destroy(s->loop);
}

/* --- the request ------------------------------------------------------------------------------------------ */

static struct str sent(struct scene *s, const char *name) {
  const struct field *field = headers_find(&s->x->now.request.headers, str_of(name));
  return field ? field->value : STR("none");
}

IT("adds to the peer's copy of the request what a proxy adds, and leaves the client's alone") {
  struct scene s;
  open_scene(&s, GET "X-Forwarded-For: 198.51.100.7\r\n\r\n");
  attempt_prepare(s.x);
  CHECK_STR(sent(&s, "host"), "a.example");
  CHECK_STR(sent(&s, "x-forwarded-for"), "192.0.2.1"); /* a client is not believed */
  CHECK_STR(sent(&s, "x-forwarded-proto"), "http");
  CHECK(!str_equal(sent(&s, "via"), STR("none")));
  CHECK(headers_find(&s.x->request.headers, STR("via")) == NULL);
  CHECK_STR(headers_find(&s.x->request.headers, STR("x-forwarded-for"))->value, "198.51.100.7");
  close_scene(&s);
}

IT("gives a request without a Host that of its peer, and counts Max-Forwards down") {
  struct scene s;
  open_scene(&s, "OPTIONS /a HTTP/1.0\r\nMax-Forwards: 3\r\n\r\n");
  attempt_prepare(s.x);
  CHECK_STR(sent(&s, "host"), "127.0.0.1:8080");
  CHECK_STR(sent(&s, "max-forwards"), "2");
  attempt_prepare(s.x); /* of the next attempt: from the client's anew */
  CHECK_STR(sent(&s, "max-forwards"), "2");
  close_scene(&s);
}

/* --- another try ------------------------------------------------------------------------------------------ */

static bool retries(struct scene *s, enum error error) {
  s->x->error = error;
  s->x->outcome = (struct hook_outcome){0};
  return attempt_may_retry(s->x);
}

IT("tries again by itself only what no peer can have handled") {
  struct scene s;
  open_scene(&s, POST "\r\n");
  for (enum error error = ERROR_NONE + 1; error < ERROR_COUNT; error++)
    CHECK(retries(&s, error) == (error_info(error)->retry == RETRY_ALWAYS));
  s.x->now.times.first_byte = 1;
  CHECK(!retries(&s, ERROR_CONNECT_REFUSED)); /* it has answered */
  close_scene(&s);
}

IT("tries a reused connection's failure again where the method is idempotent, or nothing was written") {
  struct scene s;
  open_scene(&s, GET "\r\n");
  CHECK(!retries(&s, ERROR_UPSTREAM_CLOSED));
  s.x->now.reused = true;
  s.x->now.up.written = 100;
  CHECK(retries(&s, ERROR_UPSTREAM_CLOSED));
  close_scene(&s);
  open_scene(&s, POST "\r\n");
  s.x->now.reused = true;
  CHECK(retries(&s, ERROR_UPSTREAM_CLOSED));
  s.x->now.up.written = 1;
  CHECK(!retries(&s, ERROR_UPSTREAM_CLOSED));
  close_scene(&s);
}

IT("lets no policy try again what the client has begun to get, what is not kept, or once too often") {
  struct scene s;
  open_scene(&s, GET "\r\n");
  struct exchange *x = s.x;
  x->error = ERROR_FIRST_BYTE_TIMEOUT;
  x->outcome = (struct hook_outcome){.decides_retry = true, .retry = true};
  CHECK(attempt_may_retry(x));
  x->sent.informed = true;
  CHECK(!attempt_may_retry(x));
  x->sent.informed = false;
  x->now.up.copy.overflowed = true;
  CHECK(!attempt_may_retry(x));
  x->now.up.copy.overflowed = false;
  x->error = ERROR_CLIENT_GONE;
  CHECK(!attempt_may_retry(x));
  x->error = ERROR_CONNECT_REFUSED;
  x->attempts = s.settings.max_retries;
  CHECK(attempt_may_retry(x));
  x->attempts++;
  CHECK(!attempt_may_retry(x));
  x->attempts = 1;
  x->outcome.retry = false;
  CHECK(!attempt_may_retry(x)); /* the policy says no to what is safe */
  close_scene(&s);
}

/* --- another backend -------------------------------------------------------------------------------------- */

static void answer(struct scene *s, struct set_under_test *t, unsigned status) {
  s->x->response.status = (unsigned short)status;
  if (!s->x->now.lease.view) lease_begin(&s->x->now.lease, t->view, 0, 0);
}

IT("asks another backend for the statuses that the set names, and for nothing that may be done twice") {
  struct set_under_test t;
  struct scene s;
  set_open(&t, SET_PLAIN);
  t.view->rules.retry_on = backend_retry_on(503);
  open_scene(&s, GET "\r\n");
  answer(&s, &t, 503);
  CHECK(elsewhere_is_wanted(s.x));
  answer(&s, &t, 502);
  CHECK(!elsewhere_is_wanted(s.x));
  answer(&s, &t, 200);
  CHECK(!elsewhere_is_wanted(s.x));
  answer(&s, &t, 503);
  s.x->sent.informed = true;
  CHECK(!elsewhere_is_wanted(s.x));
  close_scene(&s);
  open_scene(&s, POST "\r\n");
  answer(&s, &t, 503);
  CHECK(!elsewhere_is_wanted(s.x));
  close_scene(&s);
  set_close(&t);
}

IT("tells the backend of an attempt what came of it when the next begins") {
  struct set_under_test t;
  struct scene s;
  set_open(&t, SET_PLAIN);
  open_scene(&s, GET "\r\n");
  lease_begin(&s.x->now.lease, t.view, 0, 0);
  struct backend *backend = s.x->now.lease.backend;
  CHECK(backend->in_flight == 1);
  rehearsal_fail(s.rehearsal, ERROR_CONNECT_REFUSED);
  rehearsal_call(s.rehearsal, HOOK_fail_to_connect);
  CHECK(backend->in_flight == 0 && rehearsal_retries(s.rehearsal));
  rehearsal_call(s.rehearsal, HOOK_upstream_peer);
  CHECK(s.x->error == ERROR_NONE && s.x->last_error == ERROR_CONNECT_REFUSED);
  CHECK(rehearsal_fail(s.rehearsal, ERROR_NO_BACKEND) == ERROR_CONNECT_REFUSED); /* nobody is left to ask */
  close_scene(&s);
  set_close(&t);
}
