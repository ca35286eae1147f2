// SPDX-License-Identifier: Apache-2.0
// claims: names and values of the fields that say who the client is. Pure functions of text.
#include "http/claims.h"

/* Equal but for case, and for '_' where `lower` has '-'. */
static bool begins_with(struct str name, struct str lower) {
  if (name.len < lower.len) return false;
  for (size_t i = 0; i < lower.len; i++) {
    char c = name.ptr[i] == '_' ? '-' : ascii_lower(name.ptr[i]);
    if (c != lower.ptr[i]) return false;
  }
  return true;
}

static bool is_named(struct str name, struct str lower) {
  return name.len == lower.len && begins_with(name, lower);
}

/* A bit for each one that has a number. */
#define CLAIMS                                                                                               \
  (UINT32_C(1) << FIELD_FORWARDED | UINT32_C(1) << FIELD_X_FORWARDED_FOR |                                   \
   UINT32_C(1) << FIELD_X_FORWARDED_PROTO | UINT32_C(1) << FIELD_X_FORWARDED_HOST)

static bool is_dash(char c) { return c == '-' || c == '_'; }

bool claims_is_one(const struct field *field) {
  static const struct str family = STR_INIT("x-forwarded"), real = STR_INIT("x-real-ip");
  struct str name = field->name;
  if (CLAIMS >> field->id & 1) return true;
  if (field->id != FIELD_OTHER || name.len < real.len || ascii_lower(name.ptr[0]) != 'x' ||
      !is_dash(name.ptr[1]))
    return false;
  if (is_named(name, real)) return true;
  return begins_with(name, family) && (name.len == family.len || is_dash(name.ptr[family.len]));
}

bool claims_is_disguised(struct str name) { return str_find(name, '_') < name.len; }

/* An address has a dot or a colon; "unix:" and "unknown" are none, and a zone means nothing to others. */
struct str claims_address(struct str host) {
  bool is_address = str_find(host, '.') < host.len || (host.len > 1 && str_find(host, ':') < host.len);
  if (!is_address || str_starts_with(host, STR("unix:"))) return STR("unknown");
  return (struct str){host.ptr, str_find(host, '%')};
}

struct str claims_node(struct str host, struct arena *arena) {
  struct str address = claims_address(host);
  if (str_find(address, ':') == address.len) return address;
  return arena_printf(arena, "\"[%.*s]\"", STR_ARG(address));
}

/* Inside of quotes a backslash takes the next byte with it (RFC 9110 section 5.6.4). */
bool claims_is_closed(struct str list) {
  bool is_open = false;
  for (size_t i = 0; i < list.len; i++) {
    if (list.ptr[i] == '"') is_open = !is_open;
    if (is_open && list.ptr[i] == '\\') i++;
  }
  return !is_open;
}
