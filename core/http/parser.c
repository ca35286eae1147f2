// SPDX-License-Identifier: Apache-2.0
// parser: complete heads to messages. http/line parses the first line: usually during the scan, which stores the
// result in struct first_line, otherwise here. http/usual_lines reads the fields of a scanned head whose lines are all
// in order; llhttp parses all others. The hard problem is that llhttp also judges framing, methods, versions and
// upgrades, each of its versions differently, and that this must not matter. Therefore it gets a first line that is
// always the same, is told that each field is an ordinary one, and its fields are compared with the lines of the head.
// Their meaning is decided in http/host and http/framing.
#include "http/parser.h"

#include <llhttp.h>

#include "base/check.h"
#include "base/why.h"
#include "http/framing.h"
#include "http/grammar.h"
#include "http/host.h"
#include "http/lenient.h"
#include "http/line.h"
#include "http/usual_lines.h"

/* The fields of one head while llhttp reads them. */
struct reading {
  struct headers *headers;
  unsigned limit;
  struct str name, value; /* of the field that is being read; spans may come in pieces that adjoin */
  const char *line;       /* where the next line begins */
  bool scanned;           /* head_scan has looked for control characters already */
  bool over_limit, ended;
};

/* 0 is an ordinary field to llhttp: Content-Length, Transfer-Encoding, Connection and Upgrade are not its
 * business. Should a version of llhttp look elsewhere, it is only stricter than we are. */
static int on_name(llhttp_t *llhttp, const char *at, size_t length) {
  struct reading *r = llhttp->data;
  llhttp->header_state = 0;
  if (r->ended) return -1;
  if (r->name.len == 0) r->name.ptr = at;
  r->name.len = (size_t)(at + length - r->name.ptr);
  return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t length) {
  struct reading *r = llhttp->data;
  if (r->value.len == 0) r->value.ptr = at;
  if (r->value.ptr + r->value.len != at) return -1;
  r->value.len += length;
  return 0;
}

/* The line is a name that begins where the line does, a colon, white space, what llhttp takes for the value, and CRLF,
 * which it forgives in places. *value: without white space around it. */
static bool is_whole_line(struct reading *r, struct str *value) {
  const char *at = r->name.ptr + r->name.len;
  if (r->name.ptr != r->line || *at != ':') return false;
  do at++;
  while (grammar_is_space(*at));
  if (r->value.len && r->value.ptr != at) return false;
  const char *end = at + r->value.len;
  if (end[0] != '\r' || end[1] != '\n') return false;
  r->line = end + 2;
  while (end > at && grammar_is_space(end[-1])) end--;
  *value = (struct str){at, (size_t)(end - at)};
  return true;
}

/* Flat, for each field of each message comes this way. */
static __attribute__((flatten)) int on_value_end(llhttp_t *llhttp) {
  struct reading *r = llhttp->data;
  struct str name = r->name, value;
  enum field_id id = field_id(name);
  if (id == FIELD_OTHER && !field_name_is_valid(name)) return -1;
  if (!is_whole_line(r, &value) || (!r->scanned && !field_value_is_valid(value))) return -1;
  r->name.len = r->value.len = 0;
  r->over_limit = r->headers->count >= r->limit;
  if (r->over_limit) return -1;
  headers_add_field(r->headers, name, value, id);
  return 0;
}

static int on_end(llhttp_t *llhttp) {
  struct reading *r = llhttp->data;
  r->ended = true;
  return 0;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_message_complete = on_end,
};

/* llhttp behind a first line of ours. It is the same for every head, so it is read once a thread and copied.
 */
static llhttp_t behind_first_line(struct reading *reading) {
  static const char first_line[] = "GET / HTTP/1.1\r\n";
  static _Thread_local llhttp_t primed;
  if (!primed.settings) {
    llhttp_init(&primed, HTTP_REQUEST, &callbacks);
    llhttp_execute(&primed, first_line, sizeof first_line - 1);
  }
  llhttp_t llhttp = primed;
  llhttp.data = reading;
  return llhttp;
}

/* `section` is field lines and the empty line. Every line must have become a field, or the empty line. */
static enum error fields_parse(struct str section, struct headers *headers, unsigned limit, bool scanned) {
  struct reading reading = {.headers = headers, .limit = limit, .line = section.ptr, .scanned = scanned};
  if (section.len < 2 || memcmp(section.ptr + section.len - 2, "\r\n", 2) != 0) return ERROR_BAD_REQUEST;
  llhttp_t llhttp = behind_first_line(&reading);
  llhttp_errno_t result = llhttp_execute(&llhttp, section.ptr, section.len);
  if (reading.over_limit) return ERROR_HEAD_TOO_LARGE;
  bool whole = result == HPE_OK && reading.ended && reading.line == section.ptr + section.len - 2;
  return whole ? ERROR_NONE : ERROR_BAD_REQUEST;
}

/* Takes the first line, without its CRLF, off `head`; false if there is none. */
static bool take_line(struct str *head, struct str *line) {
  size_t end = str_find(*head, '\r');
  if (head->len < end + 2 || head->ptr[end + 1] != '\n') return false;
  *line = (struct str){head->ptr, end};
  *head = str_from(*head, end + 2);
  return true;
}

/* What usual_lines has taken: does llhttp read the same? */
static __attribute__((unused)) bool is_as_by_llhttp(struct str section, const struct headers *headers,
                                                    unsigned limit) {
  struct headers again;
  headers_init(&again, headers->arena);
  if (fields_parse(section, &again, limit, true) != ERROR_NONE) return false;
  if (again.count != headers->count || again.present != headers->present) return false;
  for (unsigned i = 0; i < again.count; i++) {
    const struct field *one = &again.items[i], *other = &headers->items[i];
    if (one->name.ptr != other->name.ptr || one->name.len != other->name.len || one->id != other->id)
      return false;
    if (!str_equal(one->value, other->value)) return false;
  }
  return true;
}

/* The fields of a head that head_scan has looked at, if all of its lines are in order. */
static bool take_usual_lines(struct str section, struct headers *headers, unsigned limit) {
  struct arena *arena = headers->arena;
  if (usual_lines_read(section, headers, limit)) {
    CHECK(is_as_by_llhttp(section, headers, limit));
    return true;
  }
  headers_init(headers, arena);
  return false;
}

static enum error fields_of_head(struct str section, struct headers *headers, unsigned limit, bool is_scanned,
                                 const char **why) {
  if (is_scanned && take_usual_lines(section, headers, limit)) return ERROR_NONE;
  enum error error = fields_parse(section, headers, limit, true);
  if (error == ERROR_HEAD_TOO_LARGE) *why = "more fields than allowed";
  if (error == ERROR_BAD_REQUEST) *why = "malformed field line";
  return error;
}

static void set_request_line(struct request *request, struct request_line parts) {
  request->method_name = parts.method;
  request->method = method_of(parts.method);
  request->target = parts.target;
  request->minor = parts.minor;
}

/* Takes the request line off a head that nobody has looked at. */
static enum error read_request_line(struct str *text, const struct parser_limits *limits,
                                    struct request *request, const char **why) {
  struct str line = {0};
  struct request_line parts;
  while (text->len >= 2 && memcmp(text->ptr, "\r\n", 2) == 0) *text = str_from(*text, 2);
  if (!take_line(text, &line)) return why_error(why, ERROR_BAD_REQUEST, "the head has no whole line");
  enum error error = request_line_parse(line, limits->target_bytes, &parts, why);
  set_request_line(request, parts);
  return error;
}

/* Does the line say what the scan has read in it? */
static __attribute__((unused)) bool is_as_scanned(struct str text, const struct first_line *line,
                                                  struct request_line parts) {
  struct request_line again;
  const char *why;
  bool is_read =
      request_line_parse((struct str){text.ptr, line->bytes - 2}, SIZE_MAX, &again, &why) == ERROR_NONE;
  return is_read && str_equal(again.method, parts.method) && str_equal(again.target, parts.target) &&
         again.minor == parts.minor;
}

/* The same of one that was scanned, whose limits may have been another policy's. */
static enum error take_request_line(const struct head *head, struct str *text,
                                    const struct parser_limits *limits, struct request *request,
                                    const char **why) {
  const struct first_line *line = &head->line;
  *text = head->text;
  if (!line->bytes) return read_request_line(text, limits, request, why);
  CHECK(line->bytes <= text->len);
  struct request_line parts = {
      {text->ptr, line->method}, {text->ptr + line->method + 1, line->target}, line->minor};
  CHECK(is_as_scanned(*text, line, parts));
  set_request_line(request, parts);
  *text = str_from(*text, line->bytes);
  if (line->target <= limits->target_bytes) return ERROR_NONE;
  return why_error(why, ERROR_TARGET_TOO_LONG, "the request target is longer than allowed");
}

static enum error request_parse(const struct head *head, const struct parser_limits *limits,
                                struct request *request, const char **why) {
  struct str fields;
  enum error error = take_request_line(head, &fields, limits, request, why);
  bool is_scanned = head->line.bytes > 0;
  if (error == ERROR_NONE) error = fields_of_head(fields, &request->headers, limits->fields, is_scanned, why);
  if (error == ERROR_NONE) error = host_of_request(request, why);
  if (error == ERROR_NONE) error = framing_of_request(request, why);
  return error;
}

enum error parser_request(const struct head *head, struct arena *arena, const struct parser_limits *limits,
                          struct request *request, const char **why) {
  const char *unwanted;
  *request = (struct request){0};
  headers_init(&request->headers, arena);
  return request_parse(head, limits, request, why ? why : &unwanted);
}

/* RFC 9112 section 5.1: a proxy removes white space before the colon from a response, and reads it without. */
static struct str without_space_before_colons(struct str section, struct arena *arena) {
  char *copy = arena_alloc(arena, section.len), *at = copy;
  while (section.len) {
    size_t end = str_find(section, '\n'), colon = str_find(section, ':'), name = colon;
    if (end < section.len) end++;
    while (colon < end && name > 0 && grammar_is_space(section.ptr[name - 1])) name--;
    if (name == 0 || colon >= end) name = colon = 0; /* no field name: that stays an error */
    memcpy(at, section.ptr, name);
    memcpy(at + name, section.ptr + colon, end - colon);
    at += name + end - colon;
    section = str_from(section, end);
  }
  return (struct str){copy, (size_t)(at - copy)};
}

void parser_request_line(struct str head, const struct parser_limits *limits, struct request *request) {
  const char *unwanted;
  if (read_request_line(&head, limits, request, &unwanted) == ERROR_NONE) return;
  request->method_name = request->target = (struct str){0}; /* nobody has checked their characters */
}

static enum error fields_of_response(struct str section, struct headers *headers, unsigned limit,
                                     bool is_scanned, const char **why) {
  struct arena *arena = headers->arena;
  if (fields_of_head(section, headers, limit, is_scanned, why) == ERROR_NONE) return ERROR_NONE;
  headers_init(headers, arena);
  struct str mended = without_space_before_colons(section, arena);
  if (mended.len == section.len) return ERROR_BAD_RESPONSE;
  *why = NULL;
  return fields_of_head(mended, headers, limit, false, why);
}

static void set_status_line(struct response *response, struct status_line parts) {
  response->status = parts.status;
  response->minor = parts.minor;
  response->reason = parts.reason;
}

/* Takes the status line off the head; what was mended may have another one than was scanned. */
static enum error take_status_line(const struct head *head, struct str *text, unsigned lenient,
                                   struct response *response, const char **why) {
  const struct first_line *scanned = &head->line;
  struct str line = {0};
  struct status_line parts;
  *text = lenient_mend(head->text, lenient, response->headers.arena);
  bool is_read = scanned->bytes && text->ptr == head->text.ptr;
  if (is_read) {
    CHECK(scanned->bytes <= text->len && scanned->bytes >= 2 + STATUS_LINE_REASON - 1);
    line = (struct str){text->ptr, scanned->bytes - 2};
    parts = (struct status_line){scanned->status, scanned->minor, str_from(line, STATUS_LINE_REASON)};
    *text = str_from(*text, scanned->bytes);
  } else {
    if (!take_line(text, &line)) return why_error(why, ERROR_BAD_RESPONSE, "the head has no whole line");
    is_read = status_line_parse(line, lenient_status_most(lenient), &parts, why);
  }
  set_status_line(response, parts);
  return is_read ? ERROR_NONE : ERROR_BAD_RESPONSE;
}

static enum error response_parse(const struct head *head, const struct parser_limits *limits,
                                 enum method method, struct response *response, const char **why) {
  unsigned lenient = limits->lenient, fields = limits->fields;
  struct str text;
  if (lenient & LENIENT_MANY_FIELDS && fields < LENIENT_FIELDS) fields = LENIENT_FIELDS;
  if (take_status_line(head, &text, lenient, response, why) != ERROR_NONE) return ERROR_BAD_RESPONSE;
  bool is_scanned = head->line.bytes && text.ptr == head->text.ptr + head->line.bytes; /* and not mended */
  if (fields_of_response(text, &response->headers, fields, is_scanned, why) != ERROR_NONE)
    return ERROR_BAD_RESPONSE;
  return framing_of_response(response, method, lenient, why);
}

enum error parser_response(const struct head *head, struct arena *arena, const struct parser_limits *limits,
                           enum method method, struct response *response, const char **why) {
  const char *unwanted;
  *response = (struct response){0};
  headers_init(&response->headers, arena);
  return response_parse(head, limits, method, response, why ? why : &unwanted);
}

bool parser_trailers(struct str section, struct arena *arena, const struct parser_limits *limits,
                     struct headers *trailers) {
  headers_init(trailers, arena);
  return fields_parse(section, trailers, limits->fields, false) == ERROR_NONE;
}
