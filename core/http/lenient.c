// SPDX-License-Identifier: Apache-2.0
// lenient: repairs complete heads before they are parsed, so that the parser stays strict: nothing passes its checks
// because it was repaired. If no deviation that changes lines is allowed, nothing is done or copied.
#include "http/lenient.h"

#include "base/arena.h"
#include "http/grammar.h"

/* The line at the start of `rest`, without its end; *ending is how many bytes that has: 2, 1 (LF alone), or
 * 0 (none). */
static struct str first_line(struct str rest, size_t *ending) {
  size_t end = str_find(rest, '\n');
  bool is_whole = end < rest.len, has_cr = is_whole && end > 0 && rest.ptr[end - 1] == '\r';
  *ending = is_whole ? 1 + has_cr : 0;
  return (struct str){rest.ptr, end - has_cr};
}

static bool is_blank(struct str line) {
  for (size_t i = 0; i < line.len; i++)
    if (!grammar_is_space(line.ptr[i])) return false;
  return true;
}

/* Does the line behind this one continue it? One without content is no part of a field: that stays an error. */
static bool is_continued(struct str behind) {
  size_t ending;
  if (!behind.len || !grammar_is_space(behind.ptr[0])) return false;
  return !is_blank(first_line(behind, &ending));
}

static struct str trim_front(struct str line) {
  while (line.len && grammar_is_space(line.ptr[0])) line = str_from(line, 1);
  return line;
}

/* Each line grows by one byte at most. */
struct str lenient_mend(struct str head, unsigned allowed, struct arena *arena) {
  bool mends_ends = allowed & LENIENT_BARE_LF, unfolds = allowed & LENIENT_OBS_FOLD;
  if (!mends_ends && !unfolds) return head;
  char *mended = arena_alloc(arena, 2 * head.len + 1), *at = mended;
  bool is_field = false, continues = false;
  for (struct str rest = head; rest.len;) {
    size_t ending;
    struct str line = first_line(rest, &ending), kept = continues ? trim_front(line) : line;
    rest = str_from(rest, line.len + ending);
    at = mempcpy(at, kept.ptr, kept.len);
    continues = unfolds && is_field && line.len && is_continued(rest);
    is_field = true;
    if (continues)
      *at++ = ' ';
    else if (ending == 2 || (ending == 1 && mends_ends))
      at = mempcpy(at, "\r\n", 2);
    else if (ending == 1)
      *at++ = '\n';
  }
  return (struct str){mended, (size_t)(at - mended)};
}
