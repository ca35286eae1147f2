// SPDX-License-Identifier: Apache-2.0
// host: target forms and Host. The hard problem is that a peer must not see another authority than the policy; so
// there is exactly one Host field, it is valid, and it equals request->authority.
#include "http/host.h"

#include <arpa/inet.h>

#include "base/why.h"
#include "http/grammar.h"

enum { PORT_MOST = 65535 };

static bool split_port(struct str authority, struct str *host, struct str *port);
static bool is_reg_name(struct str host);
static bool is_ip_literal(struct str host);
static enum error absolute_form(struct request *request, const char **why);
static enum error authority_form(struct request *request, const char **why);

/* Digits, of 65,535 at most, or none. */
static bool is_port(struct str text) {
  unsigned number = 0;
  for (size_t i = 0; i < text.len; i++) {
    unsigned digit = (unsigned)text.ptr[i] - '0';
    number = number * 10 + digit;
    if (digit > 9 || number > PORT_MOST) return false;
  }
  return true;
}

bool host_is_valid(struct str authority) {
  struct str host, port;
  size_t at = 0;
  while (at < authority.len && grammar_is(authority.ptr[at], CLASS_HOST)) at++;
  if (at == authority.len) return at > 0; /* a name, and perhaps a port, as most are */
  if (at && authority.ptr[at] == ':') return is_port(str_from(authority, at + 1));
  if (!split_port(authority, &host, &port) || !is_port(port)) return false;
  return host.len && host.ptr[0] == '[' ? is_ip_literal(host) : is_reg_name(host);
}

/* False if what follows the host is no ":". */
static bool split_port(struct str authority, struct str *host, struct str *port) {
  size_t at = str_find(authority, ':');
  if (authority.len && authority.ptr[0] == '[') {
    at = str_find(authority, ']');
    if (at < authority.len) at++;
  }
  *host = (struct str){authority.ptr, at};
  *port = str_from(authority, at + 1);
  return at == authority.len || authority.ptr[at] == ':';
}

/* 1*( unreserved / pct-encoded / sub-delims ): RFC 9110 section 4.2.1 refuses the empty host. The comma is a
 * sub-delim that the class has not: what has one is far more likely two Host fields that somebody joined. */
static bool is_reg_name(struct str host) {
  for (size_t i = 0; i < host.len; i++) {
    if (grammar_is(host.ptr[i], CLASS_HOST)) continue;
    if (host.ptr[i] != '%' || host.len - i < 3) return false;
    if (!grammar_is(host.ptr[i + 1], CLASS_HEX) || !grammar_is(host.ptr[i + 2], CLASS_HEX)) return false;
    i += 2;
  }
  return host.len > 0;
}

/* IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ) */
static bool is_future_address(struct str text) {
  size_t dot = str_find(text, '.');
  struct str version = {text.ptr + 1, dot ? dot - 1 : 0}, address = str_from(text, dot + 1);
  if (ascii_lower(text.ptr[0]) != 'v' || !grammar_is_all(version, CLASS_HEX)) return false;
  for (size_t i = 0; i < address.len; i++)
    if (!grammar_is(address.ptr[i], CLASS_HOST) && address.ptr[i] != ':' && address.ptr[i] != ',')
      return false;
  return address.len > 0;
}

/* "[" ( IPv6address / IPvFuture ) "]" (RFC 3986 section 3.2.2); no zone identifiers, which are for one node
 * only. */
static bool is_ip_literal(struct str host) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr address;
  if (host.len < 3 || host.ptr[host.len - 1] != ']') return false;
  struct str inner = {host.ptr + 1, host.len - 2};
  bool is_ipv6 = str_to_text(inner, text, sizeof text) && inet_pton(AF_INET6, text, &address) == 1;
  return is_ipv6 || is_future_address(inner);
}

/* RFC 9112 section 3.2: 400 for a request without Host, unless it is HTTP/1.0, with more than one, or an
 * invalid one. That holds for every form of the target. An empty Host would make the target URI "http:///",
 * which is invalid too. */
static enum error host_field(struct request *request, const char **why) {
  const struct field *host = headers_find_id(&request->headers, FIELD_HOST);
  if (!host && request->minor == 0) return ERROR_NONE;
  if (!host) return why_error(why, ERROR_BAD_HOST, "the request has no Host");
  if (headers_count_id(&request->headers, FIELD_HOST) > 1)
    return why_error(why, ERROR_BAD_HOST, "the request has more than one Host");
  if (!host_is_valid(host->value))
    return why_error(why, ERROR_BAD_HOST, "Host is not a host and an optional port");
  request->authority = host->value;
  return ERROR_NONE;
}

enum error host_of_request(struct request *request, const char **why) {
  enum error error = host_field(request, why);
  if (error != ERROR_NONE) return error;
  if (request->method == METHOD_CONNECT) return authority_form(request, why);
  if (request->target.ptr[0] == '/') return ERROR_NONE;
  if (!str_equal(request->target, STR("*"))) return absolute_form(request, why);
  if (request->method == METHOD_OPTIONS) return ERROR_NONE;
  return why_error(why, ERROR_BAD_REQUEST, "the target * is for OPTIONS only");
}

static void take_authority(struct request *request, struct str authority) {
  request->authority = authority;
  headers_set_id(&request->headers, FIELD_HOST, authority);
}

/* RFC 9110 section 9.3.6: host and port, and a port that is empty or cannot be is refused. */
static enum error authority_form(struct request *request, const char **why) {
  struct str host, port;
  uint64_t number = 0;
  if (!host_is_valid(request->target) || !split_port(request->target, &host, &port) ||
      !str_to_u64(port, &number) || number == 0)
    return why_error(why, ERROR_BAD_REQUEST, "CONNECT needs host:port as its target");
  take_authority(request, request->target);
  return ERROR_NONE;
}

/* What follows "http://" or "https://"; ptr NULL if it is neither. */
static struct str without_scheme(struct str target) {
  size_t colon = str_find(target, ':');
  struct str scheme = {target.ptr, colon}, rest = str_from(target, colon);
  bool known = str_equal_nocase(scheme, STR("http")) || str_equal_nocase(scheme, STR("https"));
  return known && str_starts_with(rest, STR("://")) ? str_from(rest, 3) : (struct str){0};
}

/* The target in origin-form. An empty path is "/", or "*" for OPTIONS without a query (section 3.2.4). */
static struct str path_of(struct request *request, struct str rest) {
  if (rest.len == 0) return request->method == METHOD_OPTIONS ? STR("*") : STR("/");
  if (rest.ptr[0] == '/') return rest;
  return arena_printf(request->headers.arena, "/%.*s", STR_ARG(rest));
}

/* RFC 9112 section 3.2.2. User information in it is refused: it only serves to deceive (RFC 9110
 * section 4.2.4). */
static enum error absolute_form(struct request *request, const char **why) {
  struct str rest = without_scheme(request->target);
  if (!rest.ptr) return why_error(why, ERROR_BAD_REQUEST, "the target is neither a path nor an http URI");
  size_t slash = str_find(rest, '/'), query = str_find(rest, '?');
  size_t end = slash < query ? slash : query;
  struct str authority = {rest.ptr, end};
  if (!host_is_valid(authority))
    return why_error(why, ERROR_BAD_REQUEST, "the target's authority is invalid");
  request->target = path_of(request, str_from(rest, end));
  take_authority(request, authority);
  return ERROR_NONE;
}
