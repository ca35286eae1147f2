// SPDX-License-Identifier: Apache-2.0
// framing: bodies, persistence and hop-by-hop fields. The hard problem is smuggling: two parties that disagree
// on a message's end. So nothing is repaired here: what could be read in two ways is an error, even if RFC 9112
// allows one of them.
#include "http/framing.h"

#include "base/why.h"
#include "http/claims.h"
#include "http/grammar.h"
#include "http/lenient.h"
#include "http/upgrade.h"

enum length_verdict { LENGTH_ABSENT, LENGTH_VALID, LENGTH_INVALID };
enum coding_verdict { CODING_ABSENT, CODING_CHUNKED, CODING_OTHER, CODING_DOUBTFUL };

/* What the Connection fields say. */
struct options {
  unsigned count;
  bool close, keep_alive, upgrade, te;
  bool others; /* so they may nominate fields */
};

static enum error body_of_request(struct request *request, const char **why);
static enum error expectation_of(struct request *request, const char **why);
static void forwards_of(struct request *request);

/* --- what the fields say --------------------------------------------------------------------- */

static void take_option(struct options *options, struct str option) {
  options->count++;
  if (str_equal_nocase(option, STR("close")))
    options->close = true;
  else if (str_equal_nocase(option, STR("keep-alive")))
    options->keep_alive = true;
  else if (str_equal_nocase(option, STR("upgrade")))
    options->upgrade = true;
  else if (str_equal_nocase(option, STR("te")))
    options->te = true;
  else
    options->others = true;
}

/* As nearly all say it: there is no list to be taken apart. */
static bool take_usual_option(struct options *options, struct str value) {
  bool keeps = str_equal(value, STR("keep-alive")), closes = str_equal(value, STR("close"));
  options->keep_alive |= keeps;
  options->close |= closes;
  options->count += keeps | closes;
  return keeps | closes;
}

static struct options options_of(const struct headers *h) {
  struct options options = {0};
  struct str option;
  if (!headers_may_have(h, FIELD_CONNECTION)) return options;
  for (unsigned i = 0; i < h->count; i++) {
    struct str rest = h->items[i].value;
    if (h->items[i].id != FIELD_CONNECTION || take_usual_option(&options, rest)) continue;
    while (grammar_list_next(&rest, &option)) take_option(&options, option);
  }
  return options;
}

/* The lengths of all fields as one list, all of them the same; empty where they differ. */
static struct str repeated_length(const struct headers *h) {
  struct str first = {0}, member;
  for (unsigned i = 0; i < h->count; i++) {
    if (h->items[i].id != FIELD_CONTENT_LENGTH) continue;
    struct str rest = h->items[i].value;
    while (str_split(&rest, ',', &member)) {
      member = str_trim(member);
      if (!first.ptr) first = member;
      if (!str_equal(member, first)) return (struct str){0};
    }
  }
  return first;
}

/* RFC 9112 section 6.3: a repeated length is valid if all of them are the same; then it is one. Lengths of
 * 2^63 and more are refused, so that sums of them cannot wrap. */
static enum length_verdict length_of(const struct headers *h, uint64_t *length) {
  unsigned fields = 0;
  struct str value = {0};
  if (!headers_may_have(h, FIELD_CONTENT_LENGTH)) return LENGTH_ABSENT;
  for (unsigned i = 0; i < h->count; i++) {
    if (h->items[i].id != FIELD_CONTENT_LENGTH) continue;
    value = h->items[i].value;
    fields++;
  }
  if (fields == 0) return LENGTH_ABSENT;
  bool is_number = (fields == 1 && str_to_u64(value, length)) || str_to_u64(repeated_length(h), length);
  return is_number && *length <= INT64_MAX ? LENGTH_VALID : LENGTH_INVALID;
}

/* The coding must be exactly one "chunked", without parameters. CODING_OTHER: well-formed codings that we do
 * not know come before it, so the end is known but not the content. Anything else leaves the end in doubt. */
static enum coding_verdict coding_of(const struct headers *h) {
  unsigned fields = 0, members = 0, chunked = 0;
  bool last_is_chunked = false;
  struct str member;
  if (!headers_may_have(h, FIELD_TRANSFER_ENCODING)) return CODING_ABSENT;
  for (unsigned i = 0; i < h->count; i++) {
    if (h->items[i].id != FIELD_TRANSFER_ENCODING) continue;
    struct str rest = h->items[i].value;
    for (fields++; str_split(&rest, ',', &member); members++) {
      member = str_trim(member);
      last_is_chunked = str_equal_nocase(member, STR("chunked"));
      chunked += last_is_chunked;
      struct str name = {member.ptr, str_find(member, ';')};
      if (!grammar_is_all(str_trim(name), CLASS_TOKEN)) return CODING_DOUBTFUL;
      if (str_find(member, '"') < member.len)
        return CODING_DOUBTFUL; /* the comma may have been a quoted one */
    }
  }
  if (fields == 0) return CODING_ABSENT;
  if (!last_is_chunked || chunked != 1) return CODING_DOUBTFUL;
  return members == 1 ? CODING_CHUNKED : CODING_OTHER;
}

/* --- requests -------------------------------------------------------------------------------- */

enum error framing_of_request(struct request *request, const char **why) {
  struct options options = options_of(&request->headers);
  request->may_nominate = options.others;
  if (options.count > CONNECTION_OPTIONS)
    return why_error(why, ERROR_BAD_REQUEST, "too many connection options");
  enum error error = body_of_request(request, why);
  if (error != ERROR_NONE) return error;
  /* A proxy must not keep connections with HTTP/1.0 clients, whose keep-alive a proxy before us may have
   * passed on without understanding it (RFC 9112 section 9.3). */
  request->keep_alive = request->minor > 0 && !options.close;
  /* RFC 9110 section 10.1.4: a TE that Connection does not name was forwarded by someone who should not have. */
  request->accepts_trailers = false;
  if (request->minor > 0 && options.te) {
    struct str rest = {0}, member;
    for (unsigned at = 0; headers_next_member(&request->headers, FIELD_TE, &at, &rest, &member);)
      if (str_equal_nocase(member, STR("trailers"))) request->accepts_trailers = true;
  }
  bool may_upgrade = request->minor > 0 && options.upgrade && request->method != METHOD_CONNECT;
  request->upgrade = may_upgrade ? upgrade_passed(&request->headers) : (struct str){0};
  forwards_of(request);
  return expectation_of(request, why);
}

/* RFC 9112 section 6.3, with a 400 wherever a server may choose one. */
static enum error body_of_request(struct request *request, const char **why) {
  uint64_t length = 0;
  request->body = (struct body){0};
  enum length_verdict lengths = length_of(&request->headers, &length);
  enum coding_verdict coding = coding_of(&request->headers);
  if (lengths == LENGTH_INVALID) return why_error(why, ERROR_BAD_FRAMING, "invalid Content-Length");
  if (coding != CODING_ABSENT && lengths != LENGTH_ABSENT)
    return why_error(why, ERROR_BAD_FRAMING, "both Content-Length and Transfer-Encoding");
  if (coding != CODING_ABSENT && request->minor == 0)
    return why_error(why, ERROR_BAD_FRAMING, "Transfer-Encoding in HTTP/1.0");
  if (coding == CODING_DOUBTFUL)
    return why_error(why, ERROR_BAD_FRAMING, "the last transfer coding is not one chunked");
  if (coding == CODING_OTHER)
    return why_error(why, ERROR_CODING_UNKNOWN, "a transfer coding other than chunked");
  if (coding == CODING_CHUNKED) request->body.framing = FRAMING_CHUNKED;
  if (lengths == LENGTH_VALID) request->body = (struct body){FRAMING_LENGTH, length};
  /* What follows a CONNECT is a tunnel's, and a TRACE would reflect its content (RFC 9110
   * sections 9.3.6, 9.3.8). */
  bool forbidden = request->method == METHOD_CONNECT || request->method == METHOD_TRACE;
  if (forbidden && request_has_body(request))
    return why_error(why, ERROR_BAD_FRAMING, "a body in a method that has none");
  return ERROR_NONE;
}

/* RFC 9110 section 10.1.1: HTTP/1.0 cannot ask for a 100 (Continue), and without a body there is none to ask
 * for. */
static enum error expectation_of(struct request *request, const char **why) {
  struct str rest = {0}, member;
  request->expects_continue = false;
  if (request->minor == 0) return ERROR_NONE;
  for (unsigned at = 0; headers_next_member(&request->headers, FIELD_EXPECT, &at, &rest, &member);) {
    if (!str_equal_nocase(member, STR("100-continue")))
      return why_error(why, ERROR_EXPECTATION_FAILED, "an expectation other than 100-continue");
    request->expects_continue = request_has_body(request);
  }
  return ERROR_NONE;
}

/* RFC 9110 section 7.6.2: only TRACE and OPTIONS have it; anywhere else, or malformed, it may be ignored. */
static void forwards_of(struct request *request) {
  const struct field *field = headers_find_id(&request->headers, FIELD_MAX_FORWARDS);
  bool applies = request->method == METHOD_TRACE || request->method == METHOD_OPTIONS;
  request->has_max_forwards = field && applies && str_to_u64(field->value, &request->max_forwards);
}

/* --- responses ------------------------------------------------------------------------------- */

/* 101 ends HTTP on the connection, so it must say for what (RFC 9110 section 15.2.2). */
static enum error switch_protocols(struct response *response, struct options options, const char **why) {
  struct str protocol;
  response->upgrade = options.upgrade ? upgrade_passed(&response->headers) : (struct str){0};
  if (!response->upgrade.len || upgrade_refusal_of_peer(&response->headers, &protocol))
    return why_error(why, ERROR_BAD_RESPONSE, "101 without a protocol that it can switch to");
  response->body = response->announced = (struct body){.framing = FRAMING_TUNNEL};
  response->keep_alive = false;
  return ERROR_NONE;
}

/* What the fields announce, whatever the status. */
static enum error announced_body(struct response *response, unsigned lenient, const char **why) {
  uint64_t length = 0;
  enum length_verdict lengths = length_of(&response->headers, &length);
  enum coding_verdict coding = coding_of(&response->headers);
  if (lengths == LENGTH_INVALID) return why_error(why, ERROR_BAD_RESPONSE, "invalid Content-Length");
  if (coding == CODING_DOUBTFUL || coding == CODING_OTHER)
    return why_error(why, ERROR_BAD_RESPONSE, "a transfer coding other than chunked");
  bool has_both = coding == CODING_CHUNKED && lengths == LENGTH_VALID;
  if (has_both && !(lenient & LENIENT_BOTH_LENGTHS))
    return why_error(why, ERROR_BAD_RESPONSE, "both Content-Length and Transfer-Encoding");
  if (coding == CODING_CHUNKED && response->minor == 0)
    return why_error(why, ERROR_BAD_RESPONSE, "Transfer-Encoding in HTTP/1.0");
  response->announced = (struct body){.framing = FRAMING_CLOSE};
  if (coding == CODING_CHUNKED) response->announced.framing = FRAMING_CHUNKED;
  if (lengths == LENGTH_VALID && !has_both) response->announced = (struct body){FRAMING_LENGTH, length};
  if (has_both) response->keep_alive = false; /* nobody reads on behind an end that two would see elsewhere */
  return ERROR_NONE;
}

/* 1xx and 204 have no body whatever their fields say; but a peer that says otherwise may send one. */
static enum error bodiless(struct response *response) {
  response->keep_alive =
      response->keep_alive && !headers_find_id(&response->headers, FIELD_TRANSFER_ENCODING);
  const struct field *length = headers_find_id(&response->headers, FIELD_CONTENT_LENGTH);
  if (length && !str_equal(length->value, STR("0"))) response->keep_alive = false;
  return ERROR_NONE;
}

/* RFC 9112 section 6.3. */
enum error framing_of_response(struct response *response, enum method method, unsigned lenient,
                               const char **why) {
  struct options options = options_of(&response->headers);
  response->may_nominate = options.others;
  unsigned status = response->status;
  response->body = response->announced = (struct body){0};
  response->upgrade = (struct str){0};
  response->keep_alive = !options.close && (response->minor > 0 || options.keep_alive);
  if (options.count > CONNECTION_OPTIONS)
    return why_error(why, ERROR_BAD_RESPONSE, "too many connection options");
  if (status == 101) return switch_protocols(response, options, why);
  if (status == 426 && options.upgrade) response->upgrade = upgrade_passed(&response->headers);
  if (status < 200 || status == 204) return bodiless(response);
  if (method == METHOD_CONNECT && status < 300) {
    response->body = response->announced = (struct body){.framing = FRAMING_TUNNEL};
    response->keep_alive = false;
    return ERROR_NONE;
  }
  enum error error = announced_body(response, lenient, why);
  if (error != ERROR_NONE) return error;
  if (method == METHOD_HEAD || status == 304) {
    if (response->announced.framing != FRAMING_LENGTH) response->announced = (struct body){0};
    return ERROR_NONE;
  }
  response->body = response->announced;
  if (response->body.framing == FRAMING_CLOSE) response->keep_alive = false;
  return ERROR_NONE;
}

/* --- hop by hop ------------------------------------------------------------------------------ */

/* Fields without a number that are addressed to every recipient. A connection option that names one is an
 * attempt to have it removed (RFC 9110 section 7.6.1: "a sender must not"), and in a trailer section they
 * come too late to be obeyed (section 6.5.1: framing, routing, authentication, request modifiers, response
 * control, content). */
static const struct str end_to_end[] = {
    STR_INIT("authorization"),
    STR_INIT("set-cookie"),
    STR_INIT("cache-control"),
    STR_INIT("pragma"),
    STR_INIT("content-type"),
    STR_INIT("content-encoding"),
    STR_INIT("content-range"),
    STR_INIT("content-location"),
    STR_INIT("content-disposition"),
    STR_INIT("range"),
    STR_INIT("if-match"),
    STR_INIT("if-none-match"),
    STR_INIT("if-modified-since"),
    STR_INIT("if-unmodified-since"),
    STR_INIT("if-range"),
    STR_INIT("accept"),
    STR_INIT("origin"),
    STR_INIT("true-client-ip"),
    STR_INIT("www-authenticate"),
    STR_INIT("age"),
    STR_INIT("expires"),
    STR_INIT("location"),
    STR_INIT("retry-after"),
    STR_INIT("vary"),
    STR_INIT("strict-transport-security"),
    STR_INIT("content-security-policy"),
};

static bool is_end_to_end(struct str name) {
  for (size_t i = 0; i < sizeof end_to_end / sizeof *end_to_end; i++)
    if (str_equal_nocase(name, end_to_end[i])) return true;
  return claims_is_one(&(struct field){.name = name});
}

bool framing_trailer_is_allowed(const struct field *field, const struct headers *nominated) {
  if (field->id != FIELD_OTHER || is_end_to_end(field->name)) return false;
  return !nominated || !headers_find(nominated, field->name);
}

/* The fields with a number that concern one hop are removed anyway; of the others only these may be
 * nominated. */
static bool may_be_nominated(struct str name) {
  enum field_id id = field_id(name);
  if (id == FIELD_OTHER) return !is_end_to_end(name);
  return id == FIELD_TRAILER || id == FIELD_PROXY_AUTHENTICATE || id == FIELD_PROXY_AUTHORIZATION ||
         id == FIELD_PROXY_AUTHENTICATION_INFO;
}

static bool is_plain_option(struct str option) {
  return str_equal_nocase(option, STR("close")) || framing_is_hop_field(field_id(option));
}

static void strip(struct headers *h, bool may_nominate, struct headers *nominated) {
  struct str rest = {0}, option;
  unsigned kept = 0;
  headers_init(nominated, h->arena);
  for (unsigned at = 0; may_nominate && headers_next_member(h, FIELD_CONNECTION, &at, &rest, &option);)
    if (!is_plain_option(option) && may_be_nominated(option)) headers_add(nominated, option, (struct str){0});
  if (!nominated->count && !(h->present & FRAMING_HOP_FIELDS)) return;
  for (unsigned i = 0; i < h->count; i++) {
    const struct field *field = &h->items[i];
    if (framing_is_hop_field(field->id)) continue;
    if (nominated->count && headers_find(nominated, field->name)) continue;
    if (kept < i) h->items[kept] = *field;
    kept++;
  }
  h->count = kept;
  h->present &= ~FRAMING_HOP_FIELDS;
}

void framing_strip_request(struct request *request) {
  strip(&request->headers, request->may_nominate, &request->nominated);
  if (!request->expects_continue) headers_remove_id(&request->headers, FIELD_EXPECT);
}

void framing_strip_response(struct response *response) {
  strip(&response->headers, response->may_nominate, &response->nominated);
}
