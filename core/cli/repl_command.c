// SPDX-License-Identifier: Apache-2.0
// repl_command: a text is one line of the command socket, whose line feeds are sent as carriage returns: for Lua both
// end a line. One that is the begin of a longer text is sent again with the next line.
#include "cli/repl_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/arguments.h"
#include "cli/steer.h"
#include "runtime/options.h"
#include "runtime/policy.h"
#include "runtime/running.h"

enum { TEXT_MOST = 3900 };

struct repl {
  struct arguments *a;
  const char *worker;
  char text[TEXT_MOST + 2]; /* so far */
  size_t length;
};

/* The exit code. *how: of what the proxy has evaluated; it was shown, unless it was a part. */
static int send_text(struct repl *r, enum evaluated *how) {
  char line[TEXT_MOST + 64], *answer = NULL;
  size_t bytes = 0;
  FILE *raw = open_memstream(&answer, &bytes);
  /* Behind the text a line's end: nothing that stands there is a word of the command. */
  snprintf(line, sizeof line, "repl %s\t%.*s\r", r->worker, (int)r->length, r->text);
  int code = command_fetch(r->a, line, raw);
  fclose(raw);
  *how = bytes ? (enum evaluated)(*answer - '0') : EVALUATED;
  FILE *to = *how == EVALUATED ? stdout : stderr;
  if (bytes > 1 && (*how != EVALUATED_IN_PART)) running_print(to, answer + 1, bytes - 1);
  free(answer);
  fflush(stdout);
  return code;
}

static bool add(struct repl *r, const char *text) {
  size_t length = strlen(text);
  if (r->length + length > TEXT_MOST) {
    fprintf(stderr, "perilune: that is too long: a text may have %d bytes\n", TEXT_MOST);
    r->length = 0;
    return false;
  }
  for (const char *c = text; *c; c++) r->text[r->length++] = *c == '\n' ? '\r' : *c;
  return true;
}

static int evaluate_one(struct repl *r, const char *text) {
  enum evaluated how;
  if (!add(r, text)) return EXIT_BAD_INPUT;
  int code = send_text(r, &how);
  if (how == EVALUATED_IN_PART) fputs("perilune: the text ends too early\n", stderr);
  return code == EXIT_FINE && how != EVALUATED ? EXIT_FAILED : code;
}

static bool read_line(char **line, size_t *room, bool is_part) {
  if (isatty(STDIN_FILENO)) {
    fputs(is_part ? "   ... " : "lua> ", stdout);
    fflush(stdout);
  }
  return getline(line, room, stdin) > 0;
}

static int evaluate_lines(struct repl *r) {
  char *line = NULL;
  size_t room = 0;
  enum evaluated how = EVALUATED;
  int code = send_text(r, &how); /* may we? */
  while (code == EXIT_FINE && read_line(&line, &room, r->length > 0)) {
    if (!add(r, line)) continue;
    code = send_text(r, &how);
    if (how != EVALUATED_IN_PART) r->length = 0;
  }
  free(line);
  if (isatty(STDIN_FILENO)) putchar('\n');
  return code == EXIT_FINE && how != EVALUATED ? EXIT_FAILED : code;
}

int repl_command(struct arguments *a) {
  static struct repl r;
  uint64_t number;
  r = (struct repl){.a = a, .worker = a->worker ? a->worker : "0"};
  if (strcmp(r.worker, "control") != 0 && (!str_to_u64(str_of(r.worker), &number) || number > 9999))
    return arguments_refuse(COMMAND_REPL, "--worker wants the number of a worker, or control, not '%s'",
                            r.worker);
  return a->operand ? evaluate_one(&r, a->operand) : evaluate_lines(&r);
}
