// SPDX-License-Identifier: Apache-2.0
// upgrade: a list of protocols, and the decision about each. HTTP/2 is not forwarded: hooks would not see what a peer
// then sends on this connection; and "h2c" as an Upgrade is obsolete (RFC 9113 section 3.1). If a client offers it
// among others, only the others are passed on, which RFC 9110 section 7.8 allows.
#include "http/upgrade.h"

#include "http/grammar.h"

/* protocol-name ["/" protocol-version]. */
static bool is_protocol(struct str protocol) {
  size_t slash = str_find(protocol, '/');
  struct str name = {protocol.ptr, slash}, version = str_from(protocol, slash + 1);
  if (!grammar_is_all(name, CLASS_TOKEN)) return false;
  return slash == protocol.len || grammar_is_all(version, CLASS_TOKEN);
}

static bool is_http(struct str protocol) {
  struct str name = {protocol.ptr, str_find(protocol, '/')};
  return str_equal_nocase(name, STR("h2c")) || str_equal_nocase(name, STR("h2")) ||
         str_equal_nocase(name, STR("HTTP"));
}

static const char *fault_of(struct str protocol) {
  if (!is_protocol(protocol)) return "it is no protocol's name";
  if (is_http(protocol)) return "versions of HTTP are not negotiated by Upgrade (RFC 9113 section 3.1)";
  return NULL;
}

/* Counts the protocols of all fields, and those of them that are passed on. */
static unsigned count(const struct headers *headers, unsigned *passed) {
  struct str rest = {0}, protocol;
  unsigned all = 0;
  *passed = 0;
  for (unsigned at = 0; headers_next_member(headers, FIELD_UPGRADE, &at, &rest, &protocol); all++)
    *passed += !fault_of(protocol);
  return all;
}

/* No longer than the fields are, and a separator for each of `count` protocols. */
static struct str joined(const struct headers *headers, unsigned count) {
  struct str rest = {0}, protocol;
  size_t most = 0;
  for (unsigned i = 0; i < headers->count; i++)
    if (headers->items[i].id == FIELD_UPGRADE) most += headers->items[i].value.len;
  char *list = arena_alloc(headers->arena, most + 2 * (size_t)count), *end = list;
  for (unsigned at = 0; headers_next_member(headers, FIELD_UPGRADE, &at, &rest, &protocol);) {
    if (fault_of(protocol)) continue;
    if (end > list) end = mempcpy(end, ", ", 2);
    end = mempcpy(end, protocol.ptr, protocol.len);
  }
  return (struct str){list, (size_t)(end - list)};
}

struct str upgrade_passed(const struct headers *headers) {
  unsigned passed;
  if (!headers_may_have(headers, FIELD_UPGRADE)) return (struct str){0};
  unsigned all = count(headers, &passed);
  if (!passed) return (struct str){0};
  bool is_whole = all == passed && headers_count_id(headers, FIELD_UPGRADE) == 1;
  return is_whole ? headers_find_id(headers, FIELD_UPGRADE)->value : joined(headers, passed);
}

/* What Connection does not name may have been meant for somebody before us. */
static bool is_nominated(const struct headers *headers) {
  struct str rest = {0}, option;
  for (unsigned at = 0; headers_next_member(headers, FIELD_CONNECTION, &at, &rest, &option);)
    if (str_equal_nocase(option, STR("upgrade"))) return true;
  return false;
}

const char *upgrade_refusal_of_peer(const struct headers *headers, struct str *protocol) {
  struct str rest = {0};
  for (unsigned at = 0; headers_next_member(headers, FIELD_UPGRADE, &at, &rest, protocol);) {
    const char *why = fault_of(*protocol);
    if (why) return why;
  }
  return NULL;
}

const char *upgrade_refusal(const struct request *request, struct str *protocol) {
  const struct field *field = headers_find_id(&request->headers, FIELD_UPGRADE);
  if (!field || !field->value.len) return NULL;
  *protocol = field->value;
  if (request->minor == 0) return "HTTP/1.0 has no Upgrade";
  if (request->method == METHOD_CONNECT) return "a CONNECT asks for a tunnel of its own";
  if (!is_nominated(&request->headers)) return "Connection does not name it";
  return upgrade_refusal_of_peer(&request->headers, protocol);
}

static bool is_among(struct str protocol, struct str list) {
  struct str member;
  while (grammar_list_next(&list, &member))
    if (str_equal_nocase(protocol, member)) return true;
  return false;
}

bool upgrade_is_offered(struct str offered, struct str taken) {
  struct str protocol;
  unsigned switched = 0;
  for (; grammar_list_next(&taken, &protocol); switched++)
    if (switched == UPGRADE_LAYERS || !is_among(protocol, offered)) return false;
  return switched > 0;
}
