// SPDX-License-Identifier: Apache-2.0
// source_lines: a file is read whole, and looked through from its begin for each line: policies are small. Calls are
// found by how they look, a name and then '(', '{' or a quote, since this is for people's eyes.
#include "cli/source_lines.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/path.h"

enum { FILE_MOST = 4 << 20, PATH_BYTES = 4096, NAMES_MOST = 3 };

/* A link is not followed, and what is no file of Lua is not opened: who names them may not be who reads them. */
static void read_file(struct source_lines *s, const char *path) {
  struct stat stat;
  int fd = path_is_script(path) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
  if (fd < 0) return;
  if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size <= FILE_MOST) {
    s->text = memory_alloc((size_t)stat.st_size + 1);
    ssize_t got = read(fd, s->text, (size_t)stat.st_size);
    s->length = got > 0 ? (size_t)got : 0;
  }
  close(fd);
}

static void keep(struct source_lines *s, struct str path) {
  char whole[PATH_BYTES];
  bool is_absolute = path.len && *path.ptr == '/';
  if (s->path && str_equal(str_of(s->path), path)) return;
  free(s->path);
  free(s->text);
  s->path = str_to_cstring(path);
  s->text = NULL;
  s->length = 0;
  if (!is_absolute && !s->directory.len) return;
  if (is_absolute)
    snprintf(whole, sizeof whole, "%.*s", STR_ARG(path));
  else
    snprintf(whole, sizeof whole, "%.*s/%.*s", STR_ARG(s->directory), STR_ARG(path));
  read_file(s, whole);
}

struct str source_line(struct source_lines *s, struct str path, unsigned number) {
  keep(s, path);
  const char *at = s->text, *end = s->text + s->length;
  for (unsigned line = 1; at && at < end && line < number; line++) {
    at = memchr(at, '\n', (size_t)(end - at));
    if (at) at++;
  }
  if (!at || at >= end || !number) return (struct str){"", 0};
  const char *stop = memchr(at, '\n', (size_t)(end - at));
  if (!stop) stop = end;
  while (at < stop && isspace((unsigned char)*at)) at++;
  while (stop > at && isspace((unsigned char)stop[-1])) stop--;
  return (struct str){at, (size_t)(stop - at)};
}

void source_lines_free(struct source_lines *s) {
  free(s->path);
  free(s->text);
}

/* --- calls ---------------------------------------------------------------------------------------------- */

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_'; }

static bool is_keyword(struct str name) {
  static const char *const words[] = {"and",   "or",     "not",      "if",  "elseif", "while",
                                      "until", "return", "function", "in",  "for",    "then",
                                      "do",    "else",   "local",    "end", "repeat"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (str_equal(name, str_of(words[i]))) return true;
  return false;
}

/* Behind a text that begins at `at` with a quote. */
static size_t skip_text(struct str line, size_t at) {
  char quote = line.ptr[at++];
  while (at < line.len && line.ptr[at] != quote) at += line.ptr[at] == '\\' ? 2 : 1;
  return at < line.len ? at + 1 : line.len;
}

/* Is that a call? What follows the name says it. */
static bool is_called(struct str line, size_t at) {
  while (at < line.len && line.ptr[at] == ' ') at++;
  return at < line.len && strchr("({\"'", line.ptr[at]) != NULL;
}

/* "a.b:c" that begins at `at`. */
static struct str take_name(struct str line, size_t at) {
  size_t end = at;
  while (end < line.len && (is_name(line.ptr[end]) || line.ptr[end] == '.' || line.ptr[end] == ':')) end++;
  return (struct str){line.ptr + at, end - at};
}

static bool is_listed(const char *names, struct str name) {
  const char *found = memmem(names, strlen(names), name.ptr, name.len);
  return found && !is_name(found[name.len]);
}

void source_calls(struct str line, char *names, size_t bytes) {
  size_t length = 0;
  unsigned count = 0;
  *names = '\0';
  for (size_t at = 0; at < line.len && count < NAMES_MOST;) {
    char c = line.ptr[at];
    if (c == '-' && at + 1 < line.len && line.ptr[at + 1] == '-') return;
    if (c == '"' || c == '\'') {
      at = skip_text(line, at);
    } else if (!is_name(c) && c != '.' && c != ':') {
      at++;
    } else {
      struct str name = take_name(line, at);
      at += name.len;
      while (name.len && (*name.ptr == ':' || *name.ptr == '.')) name = str_from(name, 1);
      if (!name.len || isdigit((unsigned char)*name.ptr) || is_keyword(name) || !is_called(line, at))
        continue;
      if (is_listed(names, name) || length + name.len + 8 > bytes) continue;
      length +=
          (size_t)snprintf(names + length, bytes - length, "%s%.*s", count++ ? " or " : "", STR_ARG(name));
    }
  }
}
