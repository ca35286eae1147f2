// SPDX-License-Identifier: Apache-2.0
// resp: a line is a value itself, or says how many bytes or values follow. A scan counts on a small stack how many
// values are still missing on each level.
#include "net/resp.h"

#include "base/check.h"

/* --- one line ------------------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool resp_integer(struct str text, int64_t *number) {
  bool is_negative = text.len > 0 && text.ptr[0] == '-';
  bool has_sign = is_negative || (text.len > 0 && text.ptr[0] == '+');
  uint64_t value;
  if (!str_to_u64(str_from(text, has_sign), &value)) return false;
  if (value > (uint64_t)INT64_MAX + is_negative) return false;
  *number = is_negative ? (int64_t)(0 - value) : (int64_t)value;
  return true;
}

/* How many elements or bytes; -1 is null where that is allowed. */
static bool read_count(struct str text, bool may_be_null, struct resp_token *t) {
  int64_t count;
  if (!resp_integer(text, &count) || count < -(int64_t)may_be_null || count > UINT32_MAX) return false;
  t->is_null = count < 0;
  t->count = count < 0 ? 0 : (uint64_t)count;
  return true;
}

/* Digits with a sign, of any length. */
static bool is_big_number(struct str text) {
  size_t at = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+');
  if (at == text.len) return false;
  while (at < text.len && is_digit(text.ptr[at])) at++;
  return at == text.len;
}

/* What strtod reads as a whole, without hexadecimal numbers. */
static bool is_double(struct str text) {
  struct str word = str_from(text, text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+'));
  if (str_equal(word, STR("inf")) || str_equal(word, STR("nan"))) return true;
  size_t at = 0, digits = 0;
  for (; at < word.len && is_digit(word.ptr[at]); at++) digits++;
  if (at < word.len && word.ptr[at] == '.')
    for (at++; at < word.len && is_digit(word.ptr[at]); at++) digits++;
  if (digits == 0) return false;
  if (at == word.len) return true;
  if (ascii_lower(word.ptr[at]) != 'e') return false;
  return is_big_number(str_from(word, at + 1));
}

static bool has_control(struct str text) {
  return memchr(text.ptr, '\r', text.len) != NULL || memchr(text.ptr, '\n', text.len) != NULL;
}

static bool is_bulk(char type) { return type == '$' || type == '!' || type == '='; }
static bool is_aggregate(char type) {
  return type == '*' || type == '~' || type == '>' || type == '%' || type == '|';
}

/* `text` is a whole line behind its type. */
static bool read_line(struct str text, struct resp_token *t) {
  t->text = text;
  t->is_null = false;
  t->count = 0;
  int64_t integer;
  switch (t->type) {
  case '+':
  case '-': return !has_control(text);
  case ':': return resp_integer(text, &integer);
  case '$':
  case '*': return read_count(text, true, t);
  case '!':
  case '~':
  case '>': return read_count(text, false, t);
  case '=': return read_count(text, false, t) && t->count >= 4;
  case '%':
  case '|': return read_count(text, false, t) && (t->count *= 2, true);
  case '_': t->is_null = true; return text.len == 0;
  case '#': return text.len == 1 && (text.ptr[0] == 't' || text.ptr[0] == 'f');
  case ',': return is_double(text);
  case '(': return is_big_number(text);
  }
  return false;
}

/* The line that begins `bytes`, of which the first `looked` hold no line feed; t->bytes is its length. */
static enum resp_result take_line(struct str bytes, size_t looked, struct resp_token *t) {
  const char *feed = looked < bytes.len ? memchr(bytes.ptr + looked, '\n', bytes.len - looked) : NULL;
  if (!feed) return bytes.len > RESP_LINE_BYTES ? RESP_BAD : RESP_MORE;
  t->bytes = (size_t)(feed - bytes.ptr) + 1;
  if (t->bytes < 3 || feed[-1] != '\r' || t->bytes > RESP_LINE_BYTES) return RESP_BAD;
  t->type = bytes.ptr[0];
  return read_line((struct str){bytes.ptr + 1, t->bytes - 3}, t) ? RESP_WHOLE : RESP_BAD;
}

/* --- tokens --------------------------------------------------------------------------------------------- */

enum resp_result resp_token(struct str bytes, struct resp_token *t) {
  enum resp_result result = take_line(bytes, 0, t);
  if (result != RESP_WHOLE || !is_bulk(t->type) || t->is_null) return result;
  if (bytes.len - t->bytes < t->count + 2) return RESP_MORE;
  t->text = (struct str){bytes.ptr + t->bytes, t->count};
  t->bytes += t->count + 2;
  if (memcmp(t->text.ptr + t->count, "\r\n", 2) != 0) return RESP_BAD;
  if (t->type == '=') t->text = str_from(t->text, 4); /* "txt:" */
  return RESP_WHOLE;
}

/* --- the scan ------------------------------------------------------------------------------------------- */

/* One value has ended, and with it the levels of which it was the last. True: so has the reply. */
static bool end_value(struct resp_scan *s) {
  while (s->depth > 0) {
    unsigned level = s->depth - 1;
    CHECK(s->left[level] > 0);
    if (--s->left[level] > 0) return false;
    s->depth--;
    if (s->attributes & 1u << level) return false; /* the reply itself follows */
  }
  return true;
}

static enum resp_result open_level(struct resp_scan *s, const struct resp_token *t) {
  bool is_attribute = t->type == '|';
  if (t->type == '>' && (s->depth > 0 || s->goes_on)) return RESP_BAD;
  if (t->type == '>') s->is_push = true;
  if (t->count == 0) return !is_attribute && end_value(s) ? RESP_WHOLE : RESP_MORE;
  if (s->depth == RESP_DEPTH) return RESP_BAD;
  if (is_attribute)
    s->attributes |= 1u << s->depth;
  else
    s->attributes &= ~(1u << s->depth);
  s->left[s->depth++] = t->count;
  return RESP_MORE;
}

/* Past the bytes of a text. RESP_WHOLE: all of them were there. */
static enum resp_result skip_text(struct resp_scan *s, const char *bytes, size_t count) {
  while (s->skip > 0 && s->at < count) {
    if (s->skip > 2) {
      size_t have = count - s->at, text = s->skip - 2;
      size_t step = have < text ? have : text;
      s->at += step;
      s->skip -= step;
    } else {
      if (bytes[s->at++] != (s->skip-- == 2 ? '\r' : '\n')) return RESP_BAD;
    }
  }
  return s->skip == 0 ? RESP_WHOLE : RESP_MORE;
}

/* One line and what it opens. RESP_WHOLE: the reply has ended with it. *waits: nothing more can be done. */
static enum resp_result scan_line(struct resp_scan *s, struct str bytes, bool *waits) {
  struct resp_token t;
  enum resp_result result = take_line(bytes, s->looked, &t);
  s->looked = result == RESP_MORE ? bytes.len : 0;
  *waits = result == RESP_MORE;
  if (result != RESP_WHOLE) return result;
  s->at += t.bytes;
  if (is_bulk(t.type) && !t.is_null) {
    s->skip = t.count + 2;
    result = RESP_MORE;
  } else if (is_aggregate(t.type) && !t.is_null) {
    result = open_level(s, &t);
  } else {
    result = end_value(s) ? RESP_WHOLE : RESP_MORE;
  }
  s->goes_on = true;
  return result;
}

static enum resp_result end_reply(struct resp_scan *s) {
  CHECK(s->depth == 0 && s->skip == 0 && s->looked == 0);
  s->goes_on = false;
  return RESP_WHOLE;
}

enum resp_result resp_scan(struct resp_scan *s, const char *bytes, size_t count) {
  bool waits = false;
  if (!s->goes_on) s->is_push = false;
  while (!waits) {
    enum resp_result result = RESP_MORE;
    if (s->skip > 0) {
      result = skip_text(s, bytes, count);
      if (result != RESP_WHOLE) return result;
      if (end_value(s)) return end_reply(s);
      continue;
    }
    result = scan_line(s, (struct str){bytes + s->at, count - s->at}, &waits);
    if (result == RESP_BAD) return RESP_BAD;
    if (result == RESP_WHOLE) return end_reply(s);
  }
  return RESP_MORE;
}
