// SPDX-License-Identifier: Apache-2.0
// trace_context: reading is strict, since a field that another service reads differently would tear a trace apart: only
// lower-case digits, exactly one field. A later version may have more behind its flags.
#include "http/trace_context.h"

#include "base/hex.h"

enum { MEMBERS_MOST = 32, KEY_MOST = 256, VALUE_MOST = 256 };

/* --- traceparent ------------------------------------------------------------------------------------------ */

static bool read_hex(const char *text, int digits, uint64_t *number) {
  uint64_t read = 0;
  for (int i = 0; i < digits; i++) {
    int value = hex_lower_value(text[i]);
    if (value < 0) return false;
    read = read << 4 | (uint64_t)value;
  }
  *number = read;
  return true;
}

bool trace_context_parse(struct str value, struct trace_context *to) {
  uint64_t version, flags;
  const char *text = value.ptr;
  if (value.len < TRACEPARENT_TEXT || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  if (!read_hex(text + TRACE_VERSION_AT, 2, &version) || version == 0xff) return false;
  if (value.len > TRACEPARENT_TEXT && (version == 0 || text[TRACEPARENT_TEXT] != '-')) return false;
  bool is_read = read_hex(text + TRACE_ID_AT, 16, &to->high) &&
                 read_hex(text + TRACE_ID_AT + 16, 16, &to->low) &&
                 read_hex(text + TRACE_SPAN_AT, 16, &to->span) && read_hex(text + TRACE_FLAGS_AT, 2, &flags);
  if (!is_read || !(to->high | to->low) || !to->span) return false;
  to->is_sampled = flags & TRACE_SAMPLED;
  to->is_current = version == 0;
  return true;
}

bool trace_context_read(const struct headers *headers, struct trace_context *to) {
  const struct field *field = headers_find_id(headers, FIELD_TRACEPARENT);
  return field && headers_count_id(headers, FIELD_TRACEPARENT) == 1 && trace_context_parse(field->value, to);
}

/* --- tracestate ------------------------------------------------------------------------------------------- */

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_key(struct str key) {
  bool has_tenant = false;
  if (!key.len || key.len > KEY_MOST || !(is_lower(key.ptr[0]) || is_digit(key.ptr[0]))) return false;
  for (size_t i = 1; i < key.len; i++) {
    char c = key.ptr[i];
    bool is_at = c == '@';
    if (is_at && has_tenant) return false;
    has_tenant |= is_at;
    if (!is_at && !is_lower(c) && !is_digit(c) && !memchr("_-*/", c, 4)) return false;
  }
  return true;
}

static bool is_value(struct str value) {
  if (!value.len || value.len > VALUE_MOST || value.ptr[value.len - 1] == ' ') return false;
  for (size_t i = 0; i < value.len; i++) {
    char c = value.ptr[i];
    if (c < ' ' || c > '~' || c == ',' || c == '=') return false;
  }
  return true;
}

/* Members may be empty. */
static bool take_members(struct str value, unsigned *count) {
  struct str member;
  for (struct str rest = value; str_split(&rest, ',', &member);) {
    member = str_trim(member);
    if (!member.len) continue;
    size_t at = str_find(member, '=');
    if (at == member.len || ++*count > MEMBERS_MOST) return false;
    if (!is_key((struct str){member.ptr, at}) || !is_value(str_from(member, at + 1))) return false;
  }
  return true;
}

bool trace_state_is_valid(const struct headers *headers) {
  unsigned count = 0;
  const struct field *field;
  for (unsigned at = 0; (field = headers_next(headers, field_name(FIELD_TRACESTATE), &at));)
    if (!take_members(field->value, &count)) return false;
  return true;
}
