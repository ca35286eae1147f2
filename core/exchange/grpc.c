// SPDX-License-Identifier: Apache-2.0
// grpc: see grpc.h. The limit lives in the exchange's arena, and its timer is stopped before that is freed. The hard
// problem of an answer is that clients tell their users its text: so that of the policy goes on, where it is a short
// one, and of a failure of ours only what every HTTP client is told.
#include "exchange/grpc.h"

#include "base/container.h"
#include "exchange/proxy.h"
#include "exchange/walk.h"
#include "http/grpc.h"
#include "net/timer.h"

enum {
  MESSAGE_MOST = 1024, /* of a body that becomes grpc-message */
  STATUS_MOST = 65535  /* of what a log tells */
};
static const uint64_t LIMIT_MOST = 2592000000; /* ms, 30 days: longer is no limit */

struct exchange_limit {
  struct timer timer;
  struct exchange *x; /* borrowed: it holds us */
};

/* --- time ------------------------------------------------------------------------------------------------- */

static void on_due(struct timer *timer) {
  struct exchange_limit *limit = CONTAINER_OF(timer, struct exchange_limit, timer);
  CHECK_OBJ(limit->x, EXCHANGE_MAGIC);
  exchange_fail(limit->x, ERROR_DEADLINE);
}

void grpc_begin_limit(struct exchange *x) {
  uint64_t ms;
  const struct field *field = NULL;
  if (grpc_is_request(&x->request)) field = headers_find(&x->request.headers, STR("grpc-timeout"));
  if (!field || !grpc_timeout_ms(field->value, &ms) || ms > LIMIT_MOST) return;
  struct exchange_limit *limit = arena_zalloc(&x->arena, sizeof *limit);
  limit->x = x;
  timer_init(&limit->timer, x->proxy->loop, on_due);
  timer_set(&limit->timer, (unsigned)ms);
  x->times.limit = limit;
}

void grpc_end_limit(struct exchange_limit *limit) { timer_stop(&limit->timer); }

/* --- answers ---------------------------------------------------------------------------------------------- */

static enum grpc_status status_of(const struct exchange *x, unsigned http_status) {
  bool is_late = x->error == ERROR_DEADLINE && !x->error_status;
  return is_late ? GRPC_DEADLINE_EXCEEDED : grpc_status_of(http_status);
}

static bool is_text(const struct headers *headers) {
  const struct field *type = headers_find_id(headers, FIELD_CONTENT_TYPE);
  struct str plain = STR("text/plain");
  return !type ||
         (type->value.len >= plain.len && str_equal_nocase((struct str){type->value.ptr, plain.len}, plain));
}

/* The answer's text without the end of its line; else its reason. */
static struct str message_of(struct exchange *x, const struct answer *answer) {
  struct str text = answer->content;
  while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r')) text.len--;
  bool is_short = text.len && text.len <= MESSAGE_MOST && is_text(&answer->response.headers);
  return grpc_message(&x->arena, is_short ? text : status_reason(answer->response.status));
}

void grpc_note_status(struct exchange *x, const struct headers *fields) {
  int status = grpc_status_in(fields, STATUS_MOST);
  if (status >= 0) x->sent.grpc_status = (unsigned)status + 1;
}

/* In a head alone. */
static void say(struct exchange *x, struct answer *answer, unsigned status, struct str message) {
  struct headers *headers = &answer->response.headers;
  headers_add(headers, STR("Content-Type"), STR("application/grpc"));
  headers_add(headers, STR("Grpc-Status"), arena_printf(&x->arena, "%u", status));
  if (message.len) headers_add(headers, STR("Grpc-Message"), message);
  answer->content = (struct str){0};
  answer->is_file = answer->is_streamed = false;
}

/* In a body, of the type that was asked in. */
static void say_to_page(struct exchange *x, struct answer *answer, unsigned status, struct str message) {
  struct str type = headers_find_id(&x->request.headers, FIELD_CONTENT_TYPE)->value;
  type.len = str_find(type, ';');
  headers_add(&answer->response.headers, STR("Content-Type"), str_trim(type));
  answer->is_file = answer->is_streamed = false;
  answer->content = grpc_web_end(&x->arena, grpc_web_of(&x->request.headers), status, message);
}

void grpc_take_answer(struct exchange *x) {
  struct answer *answer = x->answer;
  struct headers *headers = &answer->response.headers;
  unsigned http_status = answer->response.status;
  if (http_status < 400 || headers_find(headers, STR("grpc-status"))) return;
  bool is_grpc = grpc_is_request(&x->request), is_web = grpc_web_of(&x->request.headers) != GRPC_WEB_NONE;
  if (!is_grpc && !is_web) return;
  struct str message = message_of(x, answer);
  unsigned status = status_of(x, http_status);
  headers_remove_id(headers, FIELD_CONTENT_TYPE);
  if (is_grpc)
    say(x, answer, status, message);
  else
    say_to_page(x, answer, status, message);
  x->sent.grpc_status = status + 1;
  answer->stands_for = (unsigned short)http_status;
  answer->response.status = 200;
  answer->response.reason = status_reason(200);
}
