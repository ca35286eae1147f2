// SPDX-License-Identifier: Apache-2.0
// structured_item: keys, bare items and parameters of structured fields (RFC 9651 sections 4.2.3 to 4.2.10).
#include "base/hex.h"
#include "http/grammar.h"
#include "http/structured_parts.h"

enum { INTEGER_DIGITS = 15, DECIMAL_DIGITS = 12, FRACTION_DIGITS = 3 };

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_alpha(char c) { return is_lower(ascii_lower(c)); }

static struct str cut(struct str *rest, size_t length) {
  struct str taken = {rest->ptr, length};
  *rest = str_from(*rest, length);
  return taken;
}

bool structured_take_key(struct str *rest, struct str *key) {
  size_t length = 0;
  if (!rest->len || !(is_lower(rest->ptr[0]) || rest->ptr[0] == '*')) return false;
  while (length < rest->len) {
    char c = rest->ptr[length];
    if (!is_lower(c) && !grammar_is_digit(c) && !(c && strchr("_-.*", c))) break;
    length++;
  }
  *key = cut(rest, length);
  return true;
}

static size_t count_digits(struct str s) {
  size_t count = 0;
  while (count < s.len && grammar_is_digit(s.ptr[count])) count++;
  return count;
}

static int64_t add_digits(int64_t number, struct str digits) {
  for (size_t i = 0; i < digits.len; i++) number = number * 10 + (digits.ptr[i] - '0');
  return number;
}

/* At most fifteen digits, or twelve and three: no sum overflows. */
static bool take_number(struct str *rest, struct structured_value *value) {
  bool is_negative = rest->len && rest->ptr[0] == '-';
  if (is_negative) cut(rest, 1);
  size_t digits = count_digits(*rest);
  if (digits == 0 || digits > INTEGER_DIGITS) return false;
  value->type = STRUCTURED_INTEGER;
  value->number = add_digits(0, cut(rest, digits));
  if (rest->len && rest->ptr[0] == '.') {
    cut(rest, 1);
    size_t fraction = count_digits(*rest);
    if (digits > DECIMAL_DIGITS || fraction == 0 || fraction > FRACTION_DIGITS) return false;
    value->type = STRUCTURED_DECIMAL;
    value->number = add_digits(value->number, cut(rest, fraction));
    for (; fraction < FRACTION_DIGITS; fraction++) value->number *= 10;
  }
  if (is_negative) value->number = -value->number;
  return true;
}

static bool take_string(struct str *rest, struct structured_value *value) {
  value->type = STRUCTURED_STRING;
  for (size_t at = 1; at < rest->len; at++) {
    char c = rest->ptr[at];
    if (c == '"') {
      value->text = (struct str){rest->ptr + 1, at - 1};
      cut(rest, at + 1);
      return true;
    }
    if (c < 0x20 || c > 0x7e) return false;
    if (c != '\\') continue;
    value->has_escapes = true;
    if (++at == rest->len || (rest->ptr[at] != '"' && rest->ptr[at] != '\\')) return false;
  }
  return false;
}

static bool take_token(struct str *rest, struct structured_value *value) {
  size_t length = 1;
  while (length < rest->len &&
         (grammar_is(rest->ptr[length], CLASS_TOKEN) || rest->ptr[length] == ':' || rest->ptr[length] == '/'))
    length++;
  value->type = STRUCTURED_TOKEN;
  value->text = cut(rest, length);
  return true;
}

/* Padding may be missing; it stands at the end only (section 4.2.7). */
static bool take_bytes(struct str *rest, struct structured_value *value) {
  struct str inside = str_from(*rest, 1);
  inside.len = str_find(inside, ':');
  if (inside.len + 1 == rest->len) return false;
  size_t digits = inside.len;
  while (digits && inside.len - digits < 2 && inside.ptr[digits - 1] == '=') digits--;
  for (size_t i = 0; i < digits; i++) {
    char c = inside.ptr[i];
    if (!is_alpha(c) && !grammar_is_digit(c) && c != '+' && c != '/') return false;
  }
  if (digits % 4 == 1 || (digits < inside.len && inside.len % 4)) return false;
  value->type = STRUCTURED_BYTES;
  value->text = inside;
  cut(rest, inside.len + 2);
  return true;
}

static bool take_boolean(struct str *rest, struct structured_value *value) {
  if (rest->len < 2 || (rest->ptr[1] != '0' && rest->ptr[1] != '1')) return false;
  value->type = STRUCTURED_BOOLEAN;
  value->number = rest->ptr[1] - '0';
  cut(rest, 2);
  return true;
}

static bool take_date(struct str *rest, struct structured_value *value) {
  cut(rest, 1);
  if (!take_number(rest, value) || value->type != STRUCTURED_INTEGER) return false;
  value->type = STRUCTURED_DATE;
  return true;
}

/* How many bytes follow the first byte of a UTF-8 sequence; -1: it is none. The bounds of the byte behind it exclude
 * what is encoded too long, surrogates, and what is above U+10FFFF (RFC 3629 section 4). */
static int utf8_more(unsigned char first, unsigned char *low, unsigned char *high) {
  *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (first < 0x80) return 0;
  if (first >= 0xc2 && first <= 0xdf) return 1;
  if (first >= 0xe0 && first <= 0xef) return 2;
  return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

/* One byte of a display string, which may stand as %xx, without upper case; -1: none. */
static int display_byte(struct str s, size_t *at) {
  char c = s.ptr[*at];
  if (c < 0x20 || c > 0x7e) return -1;
  (*at)++;
  if (c != '%') return c;
  if (s.len - *at < 2) return -1;
  int high = hex_lower_value(s.ptr[*at]), low = hex_lower_value(s.ptr[*at + 1]);
  *at += 2;
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* %"...", whose bytes are UTF-8 (section 4.2.10). */
static bool take_display(struct str *rest, struct structured_value *value) {
  unsigned char low = 0, high = 0;
  int more = 0;
  if (rest->len < 2 || rest->ptr[1] != '"') return false;
  for (size_t at = 2; at < rest->len;) {
    if (rest->ptr[at] == '"') {
      value->type = STRUCTURED_DISPLAY;
      value->text = (struct str){rest->ptr + 2, at - 2};
      cut(rest, at + 1);
      return more == 0;
    }
    int byte = display_byte(*rest, &at);
    if (byte < 0 || (more && (byte < low || byte > high))) return false;
    if (!more) {
      more = utf8_more((unsigned char)byte, &low, &high);
      if (more < 0) return false;
    } else {
      more--;
      low = 0x80;
      high = 0xbf;
    }
  }
  return false;
}

bool structured_take_bare(struct str *rest, struct structured_value *value) {
  *value = (struct structured_value){0};
  if (!rest->len) return false;
  char c = rest->ptr[0];
  if (c == '-' || grammar_is_digit(c)) return take_number(rest, value);
  if (c == '"') return take_string(rest, value);
  if (c == '*' || is_alpha(c)) return take_token(rest, value);
  if (c == ':') return take_bytes(rest, value);
  if (c == '?') return take_boolean(rest, value);
  if (c == '@') return take_date(rest, value);
  return c == '%' && take_display(rest, value);
}

bool structured_take_parameter(struct str *rest, struct str *key, struct structured_value *value) {
  if (!rest->len || rest->ptr[0] != ';') return false;
  cut(rest, 1);
  while (rest->len && rest->ptr[0] == ' ') cut(rest, 1);
  if (!structured_take_key(rest, key)) return false;
  *value = (struct structured_value){.type = STRUCTURED_BOOLEAN, .number = 1};
  if (!rest->len || rest->ptr[0] != '=') return true;
  cut(rest, 1);
  return structured_take_bare(rest, value);
}

bool structured_take_parameters(struct str *rest, struct str *parameters) {
  struct str from = *rest, key;
  struct structured_value value;
  while (rest->len && rest->ptr[0] == ';')
    if (!structured_take_parameter(rest, &key, &value)) return false;
  *parameters = (struct str){from.ptr, from.len - rest->len};
  return true;
}
