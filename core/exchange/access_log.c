// SPDX-License-Identifier: Apache-2.0
// access_log: formats into memory on the stack. Everything from a client or a peer is escaped and shortened,
// so no line can be forged, and none is longer than LINE_BYTES.
#include "exchange/access_log.h"

#include <ctype.h>
#include <stdio.h>

#include "base/check.h"
#include "base/date.h"
#include "base/escape.h"
#include "base/number.h"
#include "exchange/cache.h"
#include "exchange/codings.h"
#include "exchange/exchange.h"
#include "exchange/grpc.h"
#include "exchange/proxy.h"
#include "exchange/trace.h"
#include "http/grpc.h"
#include "shared/sink.h"

enum { TEXT_BYTES = 2500, TEXTS = 8, SHORT_BYTES = 1460 };
/* Method and target, both of them also as the client has asked; host, Referer, User-Agent and the peer's address; what
 * is short; and of each field of the policy's `,"name":value`. */
enum { LINE_BYTES = TEXTS * TEXT_BYTES + SHORT_BYTES + LOG_FIELDS * (LOG_NAME_BYTES + LOG_VALUE_BYTES + 4) };

struct line {
  char *to;
  size_t length;
};

/* --- text ----------------------------------------------------------------------------------------------- */

static void put(struct line *line, struct str text) {
  if (text.len) memcpy(line->to + line->length, text.ptr, text.len);
  line->length += text.len;
}

static void put_number(struct line *line, uint64_t number) {
  char digits[NUMBER_DIGITS], *end = digits + sizeof digits, *at = number_digits(number, end);
  put(line, (struct str){at, (size_t)(end - at)});
}

/* us as seconds: "0.001234". */
static void put_seconds(struct line *line, uint64_t us) {
  char text[32];
  put(line, (struct str){text, (size_t)sprintf(text, "%llu.%06llu", (unsigned long long)us / 1000000,
                                               (unsigned long long)us % 1000000)});
}

static void put_quoted(struct line *line, struct str text) {
  line->length += escape_quoted(line->to + line->length, TEXT_BYTES, text);
}

static struct str value_of(const struct headers *headers, enum field_id id) {
  const struct field *field = headers_find_id(headers, id);
  return field ? field->value : (struct str){NULL, 0};
}

/* --- facts ---------------------------------------------------------------------------------------------- */

/* Of the content before it was encoded for the client. */
static uint64_t plain_bytes(const struct exchange *x) {
  bool is_silent = x->request.method == METHOD_HEAD || !x->sent.status;
  if (!x->answer) return x->codings && x->codings->is_stored ? x->codings->plain_bytes : x->down.bytes;
  if (x->answer->is_file || x->answer->is_streamed) return x->down.bytes;
  return is_silent ? 0 : x->answer->content.len;
}

static bool is_encoded(const struct exchange *x) { return x->codings && x->codings->sent != CODING_IDENTITY; }

static uint64_t body_bytes(const struct exchange *x) {
  if (!is_encoded(x)) return plain_bytes(x);
  return x->codings->is_stored ? x->down.bytes : x->codings->bytes;
}

/* --- what the policy has put in the place of ours -------------------------------------------------------- */

/* The names that a line has of itself. */
static const char *const taken_names[] = {
    "time",     "listener",      "method",   "protocol",          "status",   "bytes",     "request_bytes",
    "duration", "error",         "upstream", "upstream_protocol", "attempts", "reused",    "first_byte",
    "worker",   "client_method", "coding",   "plain_bytes",       "cache",    "cache_age", "grpc_status",
    "trace_id"};

/* Those of them that a policy may replace or remove, because they may hold a client's secrets. */
static const char *const replaceable[] = {"client",        "host",    "target",
                                          "client_target", "referer", "user_agent"};

static bool is_replaceable(struct str name) {
  for (size_t i = 0; i < sizeof replaceable / sizeof *replaceable; i++)
    if (str_equal(name, str_of(replaceable[i]))) return true;
  return false;
}

void access_log_keep_asked(struct exchange *x) {
  if (x->account.asked_method.ptr) return;
  x->account.asked_method = x->request.method_name;
  x->account.asked_target = x->request.target;
}

/* What the policy has put in the place of a text of the line's own; NULL: nothing. */
static const struct log_field *replacement(const struct exchange *x, struct str name) {
  const struct log_field *field = x->account.log_fields;
  while (field && !str_equal(field->name, name)) field = field->next;
  return field;
}

/* The text between quotes, and without them where it has none: how a value stands in a line that is no JSON. */
static struct str unquoted(const struct log_field *field) {
  struct str text = {field->text, field->length};
  if (text.len >= 2 && text.ptr[0] == '"') text = (struct str){text.ptr + 1, text.len - 2};
  return text;
}

/* A text of the line's own between quotes; "-" where there is none. What the policy has put in its place is escaped. */
static void put_own_text(struct line *line, const struct exchange *x, struct str name, struct str text) {
  const struct log_field *by = x->account.log_fields ? replacement(x, name) : NULL;
  if (by) text = unquoted(by);
  if (!text.len)
    put(line, STR("-"));
  else if (by)
    put(line, text);
  else
    put_quoted(line, text);
}

/* --- combined ------------------------------------------------------------------------------------------- */

static struct str protocol_of(const struct request *request) {
  if (request->is_http2) return STR("HTTP/2.0");
  return request->minor ? STR("HTTP/1.1") : STR("HTTP/1.0");
}

/* The first line of the request, or "-" where it could not be read. */
static void put_request(struct line *line, const struct exchange *x) {
  if (!x->request.method_name.len) {
    put(line, STR("-"));
    return;
  }
  put_quoted(line, x->request.method_name);
  put(line, STR(" "));
  put_own_text(line, x, STR("target"), x->request.target);
  put(line, STR(" "));
  put(line, protocol_of(&x->request));
}

static void put_combined(struct line *line, struct exchange *x) {
  const struct headers *headers = &x->request.headers;
  put_own_text(line, x, STR("client"), exchange_client_host(x));
  put(line, STR(" - - ["));
  put(line, date_text(DATE_COMBINED, x->account.ended_at));
  put(line, STR("] \""));
  put_request(line, x);
  put(line, STR("\" "));
  put_number(line, x->sent.status);
  put(line, STR(" "));
  put_number(line, body_bytes(x));
  put(line, STR(" \""));
  put_own_text(line, x, STR("referer"), value_of(headers, FIELD_REFERER));
  put(line, STR("\" \""));
  put_own_text(line, x, STR("user_agent"), value_of(headers, FIELD_USER_AGENT));
  put(line, STR("\""));
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

/* `name` is `,"name":` and what may be left away before it. */
static void put_json(struct line *line, struct str name, struct str text) {
  if (!text.len) return;
  put(line, name);
  put(line, STR("\""));
  line->length += escape_json(line->to + line->length, TEXT_BYTES, text);
  put(line, STR("\""));
}

static void put_json_number(struct line *line, struct str name, uint64_t number) {
  put(line, name);
  put_number(line, number);
}

/* The same of a text that the policy may replace. */
static void put_own_json(struct line *line, const struct exchange *x, struct str name, struct str text) {
  struct str key = {name.ptr + 2, name.len - 4}; /* of `,"key":` */
  const struct log_field *by = x->account.log_fields ? replacement(x, key) : NULL;
  if (!by) {
    put_json(line, name, text);
  } else if (by->length) {
    put(line, name);
    put(line, (struct str){by->text, by->length});
  }
}

/* What the client asked for, if the policy has changed it. A policy that hides the target hides this, too. */
static void put_asked(struct line *line, const struct exchange *x) {
  const struct account *account = &x->account;
  struct str target = account->asked_target;
  if (!str_equal(account->asked_method, x->request.method_name))
    put_json(line, STR(",\"client_method\":"), account->asked_method);
  bool is_hidden = account->log_fields && replacement(x, STR("target"));
  if (is_hidden || str_equal(target, x->request.target)) target = (struct str){NULL, 0};
  put_own_json(line, x, STR(",\"client_target\":"), target);
}

/* Of what a peer had to do with it; nothing where none was asked. */
static void put_upstream(struct line *line, const struct exchange *x) {
  if (!x->attempts) return;
  put_json(line, STR(",\"upstream\":"), x->account.peer);
  put_json(line, STR(",\"upstream_protocol\":"), x->account.peer_protocol);
  put_json_number(line, STR(",\"attempts\":"), x->attempts);
  put(line, x->now.reused ? STR(",\"reused\":true") : STR(",\"reused\":false"));
  if (!x->account.first_byte_us) return;
  put(line, STR(",\"first_byte\":"));
  put_seconds(line, x->account.first_byte_us);
}

static void put_encoded(struct line *line, const struct exchange *x) {
  put_json(line, STR(",\"coding\":"), coding_name(x->codings->sent));
  put_json_number(line, STR(",\"plain_bytes\":"), plain_bytes(x));
}

/* By which its spans are found, where they were sampled. */
static void put_trace(struct line *line, const struct exchange *x) {
  char id[TRACE_ID_TEXT];
  trace_write_id(x->account.trace, id);
  put_json(line, STR(",\"trace_id\":"), (struct str){id, sizeof id});
}

static const char *name_fault(struct str name) {
  if (!name.len || name.len > LOG_NAME_BYTES) return "a name has 1 to 64 characters";
  for (size_t i = 0; i < name.len; i++)
    if (!isalnum((unsigned char)name.ptr[i]) && !memchr("_-.", name.ptr[i], 3))
      return "a name consists of letters, digits, '_', '-' and '.'";
  for (size_t i = 0; i < sizeof taken_names / sizeof *taken_names; i++)
    if (str_equal(name, str_of(taken_names[i])))
      return "the line has that of itself (only client, host, target, client_target, referer and user_agent "
             "can be replaced)";
  return NULL;
}

/* Where it is linked, behind *count others, or would be. */
static struct log_field **find_log_field(struct exchange *x, struct str name, unsigned *count) {
  struct log_field **at = &x->account.log_fields;
  for (*count = 0; *at && !str_equal((*at)->name, name); at = &(*at)->next) ++*count;
  return at;
}

const char *access_log_check_field(struct exchange *x, struct str name, struct str value, size_t *bytes) {
  unsigned count;
  const struct log_field *field = *find_log_field(x, name, &count);
  *bytes = field ? 0 : sizeof *field + name.len;
  if (!field || field->room < value.len) *bytes += arena_room_for(value);
  if (!value.ptr && !is_replaceable(name)) *bytes = 0;
  const char *fault = name_fault(name);
  if (!fault && !field && value.ptr && count == LOG_FIELDS) return "a line has 16 such fields at most";
  return fault;
}

void access_log_set_field(struct exchange *x, struct str name, struct str value) {
  unsigned count;
  struct log_field **at = find_log_field(x, name, &count), *field = *at;
  if (!field && !value.ptr && !is_replaceable(name)) return;
  if (!field) {
    *at = field = arena_zalloc(&x->arena, sizeof *field);
    field->name = arena_dup(&x->arena, name);
  }
  if (field->room < value.len) {
    field->room = arena_room_for(value);
    field->text = arena_alloc(&x->arena, field->room);
  }
  if (value.len) memcpy(field->text, value.ptr, value.len);
  field->length = value.len;
}

static void put_log_fields(struct line *line, const struct log_field *field) {
  for (; field; field = field->next) {
    if (!field->length || is_replaceable(field->name)) continue;
    put(line, STR(",\""));
    put(line, field->name);
    put(line, STR("\":"));
    put(line, (struct str){field->text, field->length});
  }
}

/* What the cache did, and how old it is where it came from there. */
static void put_cached(struct line *line, const struct exchange *x) {
  enum cache_result result = cache_result_of(x);
  bool is_stored =
      result == CACHE_RESULT_HIT || result == CACHE_RESULT_STALE || result == CACHE_RESULT_UPDATING;
  double age_s, left_s;
  if (!result) return;
  put_json(line, STR(",\"cache\":"), str_of(cache_result_name(result)));
  if (is_stored && cache_response_age(x, &age_s, &left_s))
    put_json_number(line, STR(",\"cache_age\":"), (uint64_t)age_s);
}

static void put_json_line(struct line *line, struct exchange *x) {
  const struct headers *headers = &x->request.headers;
  if (grpc_is_type(&x->response.headers)) grpc_note_status(x, &x->response.headers);
  put_json(line, STR("{\"time\":"), date_text(DATE_ISO, x->account.ended_at));
  put_own_json(line, x, STR(",\"client\":"), exchange_client_address(x));
  put_json(line, STR(",\"listener\":"), x->account.listener);
  put_json(line, STR(",\"method\":"), x->request.method_name);
  put_own_json(line, x, STR(",\"host\":"), x->request.authority);
  put_own_json(line, x, STR(",\"target\":"), x->request.target);
  put_asked(line, x);
  if (x->request.method_name.len) put_json(line, STR(",\"protocol\":"), protocol_of(&x->request));
  put_json_number(line, STR(",\"status\":"), x->sent.status);
  if (x->sent.grpc_status) put_json_number(line, STR(",\"grpc_status\":"), x->sent.grpc_status - 1);
  put_json_number(line, STR(",\"bytes\":"), body_bytes(x));
  if (is_encoded(x)) put_encoded(line, x);
  put_json_number(line, STR(",\"request_bytes\":"), x->now.up.bytes);
  put(line, STR(",\"duration\":"));
  put_seconds(line, x->account.duration_us);
  if (x->cache) put_cached(line, x);
  put_upstream(line, x);
  if (x->error) put_json(line, STR(",\"error\":"), str_of(error_info(x->error)->name));
  put_own_json(line, x, STR(",\"referer\":"), value_of(headers, FIELD_REFERER));
  put_own_json(line, x, STR(",\"user_agent\":"), value_of(headers, FIELD_USER_AGENT));
  put_json_number(line, STR(",\"worker\":"), x->proxy->worker);
  if (x->account.trace) put_trace(line, x);
  put_log_fields(line, x->account.log_fields);
  put(line, STR("}"));
}

void access_log_write(const struct access_log *log, struct exchange *x) {
  char bytes[LINE_BYTES];
  struct line line = {bytes, 0};
  if (log->format == ACCESS_JSON)
    put_json_line(&line, x);
  else
    put_combined(&line, x);
  put(&line, STR("\n"));
  CHECK(line.length <= sizeof bytes);
  sink_write(log->sink, x->proxy->worker, SINK_INFO, bytes, line.length);
}
