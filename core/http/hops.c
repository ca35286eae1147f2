// SPDX-License-Identifier: Apache-2.0
// hops: see hops.h. An address is read and written again, so that one address has one spelling: what limits and lists
// compare is text.
#include "http/hops.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool read_element(struct str element, struct hop *hop);

struct hops hops_of(const struct headers *headers, enum field_id id) {
  return (struct hops){.headers = headers, .id = id, .line = headers->count};
}

/* --- where members begin ---------------------------------------------------------------------------------- */

/* Back to the quote that opens what ends with the one at `end` - 1; 0 where there is none. An address never has a
 * backslash, so one that has is nonsense anyway. */
static size_t open_quote(struct str value, size_t end) {
  size_t at = end - 1;
  while (at > 0 && value.ptr[at - 1] != '"') at--;
  return at ? at - 1 : 0;
}

/* Where the last member of value[0, end) begins. Only Forwarded has quoted texts with commas. */
static size_t member_start(struct str value, size_t end, bool has_quotes) {
  size_t at = end;
  while (at > 0 && value.ptr[at - 1] != ',')
    at = has_quotes && value.ptr[at - 1] == '"' ? open_quote(value, at) : at - 1;
  return at;
}

/* The member before, of this line; false: it has none any more. */
static bool previous_of_line(struct hops *hops, struct str value, struct str *member) {
  while (hops->rest > 0) {
    size_t start = member_start(value, hops->rest, hops->id == FIELD_FORWARDED);
    *member = str_trim((struct str){value.ptr + start, hops->rest - start});
    hops->start = start;
    hops->rest = start ? start - 1 : 0;
    if (member->len) return true;
  }
  return false;
}

static bool previous_line(struct hops *hops) {
  while (hops->line > 0) {
    const struct field *field = &hops->headers->items[--hops->line];
    if (field->id != hops->id) continue;
    hops->rest = field->value.len;
    return true;
  }
  return false;
}

/* --- addresses -------------------------------------------------------------------------------------------- */

static bool is_port(struct str text) {
  uint64_t port;
  return str_to_u64(text, &port) && port <= 65535;
}

/* "[...]" with what is behind it, or the part before the one colon; false: it is neither. */
static bool split(struct str node, struct str *host, struct str *port) {
  *port = (struct str){0};
  if (node.len && node.ptr[0] == '[') {
    size_t end = str_find(node, ']');
    if (end == node.len) return false;
    *host = (struct str){node.ptr + 1, end - 1};
    *port = str_from(node, end + 1);
  } else {
    size_t colon = str_find(node, ':');
    bool is_ipv6 = colon < node.len && str_find(str_from(node, colon + 1), ':') < node.len - colon - 1;
    *host = is_ipv6 ? node : (struct str){node.ptr, colon};
    if (!is_ipv6) *port = str_from(node, colon);
  }
  if (!port->len) return true;
  if (port->ptr[0] != ':' || port->len == 1) return false;
  *port = str_from(*port, 1);
  if (port->ptr[0] == '_') *port = (struct str){0}; /* a hidden port, of Forwarded */
  return !port->len || is_port(*port);
}

/* An IPv4 address that is written as IPv6 is the IPv4 address. */
static bool write_host(struct str host, char text[HOP_TEXT]) {
  char copy[HOP_TEXT];
  struct in_addr in4;
  struct in6_addr in6;
  if (!str_to_text(host, copy, sizeof copy)) return false;
  if (inet_pton(AF_INET, copy, &in4) == 1) return inet_ntop(AF_INET, &in4, text, HOP_TEXT) != NULL;
  if (inet_pton(AF_INET6, copy, &in6) != 1) return false;
  if (IN6_IS_ADDR_V4MAPPED(&in6)) return inet_ntop(AF_INET, &in6.s6_addr[12], text, HOP_TEXT) != NULL;
  return inet_ntop(AF_INET6, &in6, text, HOP_TEXT) != NULL;
}

static bool read_address(struct str node, struct hop *hop) {
  struct str host, port;
  char text[HOP_TEXT];
  if (!split(node, &host, &port) || !write_host(host, text)) return false;
  bool is_ipv6 = strchr(text, ':') != NULL;
  hop->length = (size_t)snprintf(hop->text, sizeof hop->text, "%s%s%s%s%.*s", is_ipv6 ? "[" : "", text,
                                 is_ipv6 ? "]" : "", port.len ? ":" : "", STR_ARG(port));
  return true;
}

/* RFC 7239 section 6: a node's name. */
static enum hop_kind read_node(struct str node, struct hop *hop) {
  if (read_address(node, hop)) return HOP_ADDRESS;
  struct str name = {node.ptr, str_find(node, ':')};
  bool is_hidden = str_equal_nocase(name, STR("unknown")) || (name.len > 1 && name.ptr[0] == '_');
  return is_hidden ? HOP_HIDDEN : HOP_NONSENSE;
}

static struct str without_quotes(struct str text) {
  bool is_quoted = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
  return is_quoted ? (struct str){text.ptr + 1, text.len - 2} : text;
}

/* --- the pairs of an element of Forwarded ----------------------------------------------------------------- */

static size_t pair_end(struct str text) {
  bool is_quoted = false;
  for (size_t at = 0; at < text.len; at++) {
    if (text.ptr[at] == '"') is_quoted = !is_quoted;
    if (text.ptr[at] == ';' && !is_quoted) return at;
  }
  return text.len;
}

/* *node: what "for" says; empty: there is none. False: it is there twice. */
static bool find_for(struct str element, struct str *node) {
  *node = (struct str){0};
  while (element.len) {
    size_t end = pair_end(element);
    struct str pair = str_trim((struct str){element.ptr, end});
    element = str_from(element, end < element.len ? end + 1 : end);
    if (!str_take_nocase(&pair, STR("for="))) continue;
    if (node->len) return false;
    *node = without_quotes(pair);
    if (!node->len) return false;
  }
  return true;
}

static bool read_element(struct str element, struct hop *hop) {
  struct str node;
  if (!find_for(element, &node)) return false;
  hop->kind = node.len ? read_node(node, hop) : HOP_HIDDEN;
  return true;
}

/* --- the walk --------------------------------------------------------------------------------------------- */

bool hops_previous(struct hops *hops, struct hop *hop) {
  struct str member;
  while (hops->rest == 0 || !previous_of_line(hops, hops->headers->items[hops->line].value, &member))
    if (!previous_line(hops)) return false;
  hop->said = member;
  hop->length = 0;
  if (hops->id != FIELD_FORWARDED)
    hop->kind = read_node(without_quotes(member), hop);
  else if (!read_element(member, hop))
    hop->kind = HOP_NONSENSE;
  return true;
}
