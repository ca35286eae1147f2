// SPDX-License-Identifier: Apache-2.0
// pattern: a pattern becomes a list of items, each a set of characters with a repetition, or something special;
// then it is matched by backtracking, one recursion for each item that can be left in several ways. So the
// depth is bounded by the pattern; the number of steps is not, so the watchdog is asked at intervals.
#include "lua/vm/pattern.h"

#include <lauxlib.h>

#include "lua/vm/handle.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"

enum { STEPS_BETWEEN_LOOKS = 4096 };

enum item_kind {
  ITEM_SET,      /* one character, perhaps repeated */
  ITEM_OPEN,     /* ( */
  ITEM_POSITION, /* () */
  ITEM_CLOSE,    /* ) */
  ITEM_BALANCED, /* %bxy */
  ITEM_FRONTIER, /* %f[set] */
  ITEM_BACK,     /* %1 */
  ITEM_END       /* $ */
};

struct pattern_item {
  unsigned char kind;
  char repeat;   /* 0, '*', '+', '-', '?' */
  char from, to; /* of %bxy */
  unsigned back; /* of %1: 0 for the first */
  uint32_t set[8];
};

/* --- sets of characters --------------------------------------------------------------------------------- */

static void add(struct pattern_item *item, unsigned char c) { item->set[c >> 5] |= 1u << (c & 31); }
static bool has(const struct pattern_item *item, char c) {
  unsigned char u = (unsigned char)c;
  return item->set[u >> 5] >> (u & 31) & 1;
}

static void complement(struct pattern_item *item) {
  for (int i = 0; i < 8; i++) item->set[i] = ~item->set[i];
}

static bool is_between(unsigned char c, char low, char high) {
  return c >= (unsigned char)low && c <= (unsigned char)high;
}
static bool is_letter(unsigned char c) { return is_between(c | 0x20, 'a', 'z') && c < 0x80; }
static bool is_digit(unsigned char c) { return is_between(c, '0', '9'); }
static bool is_graphic(unsigned char c) { return is_between(c, '!', '~'); }

/* Is `c` in the class with that small letter? False with *known cleared: there is no such class. */
static bool is_in_class(char class, unsigned char c, bool *known) {
  switch (class) {
  case 'a': return is_letter(c);
  case 'c': return c < 0x20 || c == 0x7f;
  case 'd': return is_digit(c);
  case 'g': return is_graphic(c);
  case 'l': return is_between(c, 'a', 'z');
  case 'p': return is_graphic(c) && !is_letter(c) && !is_digit(c);
  case 's': return c == ' ' || is_between(c, '\t', '\r');
  case 'u': return is_between(c, 'A', 'Z');
  case 'w': return is_letter(c) || is_digit(c);
  case 'x': return is_digit(c) || (is_letter(c) && (c | 0x20) <= 'f');
  case 'z': return c == 0;
  default: *known = false; return false;
  }
}

/* What stands behind a %: a class, its complement in a capital letter, or the character itself. */
static void add_escaped(struct pattern_item *item, char letter) {
  bool known = true, is_capital = is_between((unsigned char)letter, 'A', 'Z');
  char class = is_capital ? (char)(letter | 0x20) : letter;
  for (unsigned c = 0; c < 256; c++) {
    bool inside = is_in_class(class, (unsigned char)c, &known);
    if (known && inside != is_capital) add(item, (unsigned char)c);
  }
  if (!known) add(item, (unsigned char)letter);
}

/* --- reading -------------------------------------------------------------------------------------------- */

struct reader {
  lua_State *L;
  const char *at, *end;
};

static int malformed(struct reader *r, const char *why) {
  return handle_raise(r->L, "malformed pattern (%s)", why);
}

/* A set behind its '[', to behind its ']'. The first character is never the closing one. */
static void read_set(struct reader *r, struct pattern_item *item) {
  bool is_complement = r->at < r->end && *r->at == '^';
  if (is_complement) r->at++;
  for (bool first = true;; first = false) {
    if (r->at >= r->end) malformed(r, "missing ']'");
    char c = *r->at++;
    if (c == ']' && !first) break;
    if (c == '%') {
      if (r->at >= r->end) malformed(r, "missing ']'");
      add_escaped(item, *r->at++);
    } else if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
      for (unsigned u = (unsigned char)c; u <= (unsigned char)r->at[1]; u++) add(item, (unsigned char)u);
      r->at += 2;
    } else {
      add(item, (unsigned char)c);
    }
  }
  if (is_complement) complement(item);
}

/* %b, %f, %1: true; else the escaped character is the item's set. */
static bool read_special(struct reader *r, struct pattern_item *item) {
  if (r->at >= r->end) malformed(r, "ends with '%'");
  char letter = *r->at++;
  if (letter == 'b') {
    if (r->end - r->at < 2) malformed(r, "%b wants two characters");
    *item = (struct pattern_item){.kind = ITEM_BALANCED, .from = r->at[0], .to = r->at[1]};
    r->at += 2;
  } else if (letter == 'f') {
    if (r->at >= r->end || *r->at++ != '[') malformed(r, "missing '[' after '%f'");
    item->kind = ITEM_FRONTIER;
    read_set(r, item);
  } else if (is_digit((unsigned char)letter)) {
    *item = (struct pattern_item){.kind = ITEM_BACK, .back = (unsigned)(letter - '1')};
  } else {
    add_escaped(item, letter);
    return false;
  }
  return true;
}

/* True: the item can be repeated. */
static bool read_item(struct reader *r, struct pattern_item *item) {
  char c = *r->at++;
  switch (c) {
  case '(':
    item->kind = r->at < r->end && *r->at == ')' ? ITEM_POSITION : ITEM_OPEN;
    r->at += item->kind == ITEM_POSITION;
    return false;
  case ')': item->kind = ITEM_CLOSE; return false;
  case '$':
    if (r->at < r->end) break;
    item->kind = ITEM_END;
    return false;
  case '%': return !read_special(r, item);
  case '[': read_set(r, item); return true;
  case '.': complement(item); return true;
  default: break;
  }
  add(item, (unsigned char)c);
  return true;
}

void pattern_read(lua_State *L, struct str text, bool has_anchor, struct pattern *pattern) {
  struct reader r = {L, text.ptr, text.ptr + text.len};
  *pattern = (struct pattern){.is_anchored = has_anchor && text.len && *text.ptr == '^'};
  r.at += pattern->is_anchored;
  pattern->items = lua_newuserdata(L, (text.len + 1) * sizeof *pattern->items);
  while (r.at < r.end) {
    struct pattern_item *item = &pattern->items[pattern->count++];
    *item = (struct pattern_item){.kind = ITEM_SET};
    bool is_repeatable = read_item(&r, item);
    if (is_repeatable && r.at < r.end && (*r.at == '*' || *r.at == '+' || *r.at == '-' || *r.at == '?'))
      item->repeat = *r.at++;
    pattern->captures += item->kind == ITEM_OPEN || item->kind == ITEM_POSITION;
  }
  if (pattern->captures > PATTERN_CAPTURES) malformed(&r, "too many captures");
}

/* --- matching ------------------------------------------------------------------------------------------- */

static const char *match_from(struct match *m, const char *s, unsigned at);

static void step(struct match *m) {
  if (++m->steps % STEPS_BETWEEN_LOOKS == 0) watch_check(m->vm, m->L);
}

/* The rest of the pattern behind an item, one level deeper. */
static const char *rest(struct match *m, const char *s, unsigned at) {
  if (m->depth == PATTERN_DEPTH) handle_raise(m->L, "pattern too complex");
  m->depth++;
  const char *end = match_from(m, s, at + 1);
  m->depth--;
  return end;
}

/* As many as there are, then one less at a time. */
static const char *most(struct match *m, const char *s, unsigned at, const char *least) {
  const struct pattern_item *item = &m->pattern->items[at];
  const char *last = s;
  while (last < m->end && has(item, *last)) {
    step(m);
    last++;
  }
  for (; last >= least; last--) {
    step(m);
    const char *end = rest(m, last, at);
    if (end) return end;
  }
  return NULL;
}

/* None, then one more at a time. */
static const char *fewest(struct match *m, const char *s, unsigned at) {
  for (;; s++) {
    step(m);
    const char *end = rest(m, s, at);
    if (end) return end;
    if (s == m->end || !has(&m->pattern->items[at], *s)) return NULL;
  }
}

static const char *repeated(struct match *m, const char *s, unsigned at) {
  const struct pattern_item *item = &m->pattern->items[at];
  if (item->repeat == '*') return most(m, s, at, s);
  if (item->repeat == '+') return most(m, s, at, s + 1);
  if (item->repeat == '-') return fewest(m, s, at);
  bool is_there = s < m->end && has(item, *s);
  const char *end = is_there ? rest(m, s + 1, at) : NULL;
  return end ? end : rest(m, s, at);
}

static const char *open_capture(struct match *m, const char *s, unsigned at, ptrdiff_t length) {
  m->captures[m->level++] = (struct capture){s, length};
  const char *end = rest(m, s, at);
  if (!end) m->level--;
  return end;
}

static const char *close_capture(struct match *m, const char *s, unsigned at) {
  unsigned open = m->level;
  while (open > 0 && m->captures[open - 1].length != CAPTURE_OPEN) open--;
  if (open == 0) handle_raise(m->L, "invalid pattern capture");
  struct capture *capture = &m->captures[open - 1];
  capture->length = s - capture->start;
  const char *end = rest(m, s, at);
  if (!end) capture->length = CAPTURE_OPEN;
  return end;
}

/* Behind the character that balances the one at `s`; NULL where there is none. */
static const char *balanced(struct match *m, const char *s, const struct pattern_item *item) {
  if (s >= m->end || *s != item->from) return NULL;
  unsigned open = 1;
  while (++s < m->end) {
    step(m);
    if (*s == item->to && --open == 0) return s + 1;
    if (*s != item->to && *s == item->from) open++;
  }
  return NULL;
}

static bool is_frontier(const struct match *m, const char *s, const struct pattern_item *item) {
  char before = s == m->subject ? '\0' : s[-1], here = s == m->end ? '\0' : *s;
  return !has(item, before) && has(item, here);
}

/* Behind the text of an earlier capture, if it stands here again. */
static const char *again(struct match *m, const char *s, const struct pattern_item *item) {
  if (item->back >= m->level || m->captures[item->back].length == CAPTURE_OPEN)
    handle_raise(m->L, "invalid capture index");
  const struct capture *capture = &m->captures[item->back];
  if (capture->length < 0 || capture->length > m->end - s) return NULL;
  m->steps += (unsigned)capture->length / 64;
  step(m);
  return memcmp(capture->start, s, (size_t)capture->length) == 0 ? s + capture->length : NULL;
}

/* Items that can be left in one way only are walked over; the others recurse. */
static const char *match_from(struct match *m, const char *s, unsigned at) {
  for (; s && at < m->pattern->count; at++) {
    const struct pattern_item *item = &m->pattern->items[at];
    step(m);
    switch ((enum item_kind)item->kind) {
    case ITEM_SET:
      if (item->repeat) return repeated(m, s, at);
      s = s < m->end && has(item, *s) ? s + 1 : NULL;
      break;
    case ITEM_OPEN: return open_capture(m, s, at, CAPTURE_OPEN);
    case ITEM_POSITION: return open_capture(m, s, at, CAPTURE_POSITION);
    case ITEM_CLOSE: return close_capture(m, s, at);
    case ITEM_BALANCED: s = balanced(m, s, item); break;
    case ITEM_FRONTIER: s = is_frontier(m, s, item) ? s : NULL; break;
    case ITEM_BACK: s = again(m, s, item); break;
    case ITEM_END: s = s == m->end ? s : NULL; break;
    }
  }
  return s;
}

const char *pattern_match(struct match *m, const char *at) {
  m->level = 0;
  m->depth = 0;
  return match_from(m, at, 0);
}
