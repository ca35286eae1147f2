// SPDX-License-Identifier: Apache-2.0
// live/page: plain text between a few tags. What comes from requests is escaped; nothing on the page runs.
#include "runtime/live/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/live/text.h"
#include "runtime/live/tracers.h"
#include "runtime/server.h"
#include "shared/live_record.h"

static const char top[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light "
    "dark\">"
    "<title>perilune: recent traces</title><style>body{font:14px/1.45 system-ui,sans-serif;margin:20px}"
    "pre{overflow-x:auto;border-top:1px solid #8888;padding:8px "
    "0;margin:0}pre:target{background:#8883}</style>"
    "<p><a href=\"./\">status page</a>; for more of a request, look on while it is made: "
    "<code>perilune trace --status 5xx</code>\n";

static void put_escaped(FILE *out, const char *text) {
  for (; *text; text++) {
    if (*text == '<')
      fputs("&lt;", out);
    else if (*text == '>')
      fputs("&gt;", out);
    else if (*text == '&')
      fputs("&amp;", out);
    else if (*text == '"')
      fputs("&quot;", out);
    else if (((unsigned char)*text >= 0x20 && *text != 0x7f) || *text == '\n')
      fputc(*text, out);
    else
      fputc('?', out);
  }
}

/* `name`: of a hook, whose record this is; empty: none. */
static void put_record(FILE *out, struct str record, bool is_hook) {
  struct live_head head;
  struct live_item item;
  struct str items;
  char *text = NULL;
  size_t bytes;
  if (!live_record_open(record, &head, &items)) return;
  FILE *plain = open_memstream(&text, &bytes);
  live_text(plain, items, false); /* anybody may see this page whom the admin listener lets in */
  fclose(plain);
  if (is_hook && live_record_find(items, LIVE_TEXT, LIVE_SLOW_HOOK, &item))
    fprintf(out, "<pre id=\"hook-%.*s\">", STR_ARG(item.text));
  else
    fputs("<pre>", out);
  put_escaped(out, text);
  fputs("</pre>\n", out);
  free(text);
}

char *live_page(const struct server *s) {
  char *text = NULL;
  size_t bytes;
  struct str record;
  FILE *out = open_memstream(&text, &bytes);
  tracers_collect(s->tracers);
  fputs(top, out);
  fputs("<h2 id=\"failures\">Recent failures</h2>\n", out);
  for (unsigned i = 0; tracers_failure(s->tracers, i, &record); i++) put_record(out, record, false);
  if (!tracers_failure(s->tracers, 0, &record)) fputs("<p>none since the start</p>\n", out);
  fputs("<h2 id=\"hooks\">The slowest call of each hook</h2>\n", out);
  for (unsigned i = 0; tracers_slow_hook(s->tracers, i, &record); i++) put_record(out, record, true);
  if (!tracers_slow_hook(s->tracers, 0, &record)) fputs("<p>none took longer than a millisecond</p>\n", out);
  fclose(out);
  return text;
}
