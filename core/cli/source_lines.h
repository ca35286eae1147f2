// SPDX-License-Identifier: Apache-2.0
// source_lines: lines of the policy's files, to show beside their numbers; and what is called in a line. Files that
// cannot be read have no lines, which is no failure: the proxy may run where we see no files, or as somebody else.
#ifndef PERILUNE_CLI_SOURCE_LINES_H
#define PERILUNE_CLI_SOURCE_LINES_H

#include <stdio.h>

#include "base/str.h"

/* Begins zeroed. The file that was read last is kept. */
struct source_lines {
  struct str directory; /* borrowed: where paths begin */
  char *path, *text;    /* owned: of the file that is kept; a text that is NULL: it cannot be read */
  size_t length;
};

/* Line `number` of a file, without the spaces around it. Valid until the next call. */
struct str source_line(struct source_lines *s, struct str path, unsigned number);
void source_lines_free(struct source_lines *s);

/* What is called in a line of Lua, such as "gsub" or "string.rep or session:header"; "" where nothing is. */
void source_calls(struct str line, char *names, size_t bytes);

#endif
