// SPDX-License-Identifier: Apache-2.0
// trace_command: asks for records, which come as bytes in pieces, and prints each one when it is whole. What it prints
// goes to a terminal, so it is escaped.
#include "cli/trace_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/arguments.h"
#include "cli/steer.h"
#include "runtime/live/text.h"
#include "runtime/process.h"
#include "runtime/running.h"
#include "shared/live_record.h"

struct printer {
  struct buf bytes; /* of records that are not whole */
  bool as_json, is_of_other_version;
};

static void print(struct printer *p, struct str items) {
  char *text = NULL;
  size_t bytes;
  if (p->as_json) {
    live_json(stdout, items);
    return;
  }
  FILE *out = open_memstream(&text, &bytes);
  live_text(out, items, true);
  fputc('\n', out);
  fclose(out);
  running_print(stdout, text, bytes);
  free(text);
}

/* The records are the proxy's, which may be of another version than this program after an upgrade. */
static bool is_other(const struct printer *p) {
  struct live_head head;
  if (buf_len(&p->bytes) < sizeof head) return false;
  memcpy(&head, buf_ptr(&p->bytes), sizeof head);
  return head.version != LIVE_VERSION;
}

static ssize_t take(void *cookie, const char *bytes, size_t length) {
  struct printer *p = cookie;
  struct live_head head;
  struct str items;
  buf_append(&p->bytes, bytes, length);
  while (live_record_open(buf_str(&p->bytes), &head, &items)) {
    print(p, items);
    buf_consume(&p->bytes, head.bytes);
  }
  fflush(stdout);
  p->is_of_other_version = is_other(p);
  if (p->is_of_other_version) errno = EPROTO;
  return ferror(stdout) || p->is_of_other_version ? 0 : (ssize_t)length;
}

/* --- the line ------------------------------------------------------------------------------------------------- */

struct line {
  char text[4000];
  size_t length;
  bool is_cut;
};

static void add(struct line *line, const char *before, const char *text) {
  size_t room = sizeof line->text - line->length;
  int length = snprintf(line->text + line->length, room, "\t%s%s", before, text);
  line->is_cut |= strpbrk(text, "\t\n") || length >= (int)room;
  if (!line->is_cut) line->length += (size_t)length;
}

/* "path=/a,method=GET" are two conditions. */
static void add_conditions(struct line *line, const char *text) {
  char *copy = strdup(text), *rest = copy, *one;
  while ((one = strsep(&rest, ","))) add(line, "", one);
  free(copy);
}

static int ask(struct arguments *a, const char *line) {
  struct printer p = {.as_json = a->json};
  FILE *raw = fopencookie(&p, "w", (cookie_io_functions_t){.write = take});
  if (!raw) return EXIT_FAILED;
  setvbuf(raw, NULL, _IONBF, 0);
  int code = command_fetch(a, line, raw);
  if (p.is_of_other_version)
    fputs("perilune: the proxy is of another version: use the program that it runs, or upgrade it\n", stderr);
  fclose(raw);
  buf_release(&p.bytes);
  return code;
}

int trace_command(struct arguments *a) {
  struct line line = {"trace", 5, false};
  bool has_conditions =
      a->match.count || a->trace.status || a->trace.slower || a->trace.client || a->trace.count;
  if (a->trace.recent && (has_conditions || a->trace.no_fields))
    return arguments_refuse(COMMAND_TRACE, "--recent shows what is kept: it takes no conditions");
  if (a->trace.recent) return ask(a, "recent");
  add(&line, "fields=", a->trace.no_fields ? "no" : "yes");
  if (a->trace.count) add(&line, "count=", a->trace.count);
  if (a->trace.status) add(&line, "status=", a->trace.status);
  if (a->trace.slower) add(&line, "slower=", a->trace.slower);
  if (a->trace.client) add(&line, "client=", a->trace.client);
  for (unsigned i = 0; i < a->match.count; i++) add_conditions(&line, a->match.items[i]);
  if (line.is_cut)
    return arguments_refuse(COMMAND_TRACE,
                            "the conditions are too long, or there is a tab or a line feed in one");
  return ask(a, line.text);
}
