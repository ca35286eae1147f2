// SPDX-License-Identifier: Apache-2.0
// Units for base/log: standard error is turned into a file for the time of a call.
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#include "unit.h"

static char written[40000];
static int kept_stderr;
static FILE *file;

static void begin(void) {
  file = tmpfile();
  kept_stderr = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
}

/* What was written meanwhile, terminated. */
static struct str end(void) {
  dup2(kept_stderr, STDERR_FILENO);
  close(kept_stderr);
  rewind(file);
  size_t length = fread(written, 1, sizeof written - 1, file);
  fclose(file);
  written[length] = '\0';
  return (struct str){written, length};
}

/* Without the time, "2026-01-31 12:00:00.123 ". */
static struct str without_time(struct str line) { return str_from(line, strlen("2026-01-31 12:00:00.123 ")); }

IT("writes time, level, thread and text as one line") {
  begin();
  log_line(LOG_WARN, "%s %d", "text", 7);
  struct str line = end();
  CHECK_STR(without_time(line), "warn main: text 7\n");
  CHECK(line.ptr[4] == '-' && line.ptr[10] == ' ' && line.ptr[13] == ':' && line.ptr[19] == '.');
}

IT("escapes what a client could forge a line with") {
  begin();
  log_line(LOG_ERROR, "a\nb\r\x1b[31m\x7f\tc");
  CHECK_STR(without_time(end()), "error main: a\\x0ab\\x0d\\x1b[31m\\x7f\tc\n");
}

IT("cuts a line that is too long, and marks where") {
  begin();
  log_line(LOG_ERROR, "%05000d", 7);
  struct str line = end();
  CHECK(line.len > 4000 && memcmp(line.ptr + line.len - 5, "0...\n", 5) == 0);
}

IT("keeps the lines of a traceback, indented, and escapes the rest") {
  begin();
  log_text_about(LOG_ERROR, STR(""), "one\ntwo\r");
  CHECK_STR(without_time(end()), "error main: one\n\ttwo\\x0d\n");
}

IT("drops what is below the level") {
  begin();
  log_line(LOG_DEBUG, "unseen");
  log_set_level(LOG_ERROR);
  log_line(LOG_WARN, "unseen");
  CHECK(!log_is_on(LOG_WARN) && log_is_on(LOG_ERROR));
  log_set_level(LOG_DEBUG);
  log_debug("seen %d", 1);
  log_set_level(LOG_INFO);
  CHECK_STR(without_time(end()), "debug main: seen 1\n");
}

IT("names the thread, cut at 31 bytes") {
  begin();
  log_set_thread("worker 2");
  log_info("a");
  CHECK_STR(without_time(end()), "info worker 2: a\n");
  begin();
  log_set_thread("0123456789012345678901234567890123456789");
  log_info("a");
  CHECK_STR(without_time(end()), "info 0123456789012345678901234567890: a\n");
  log_set_thread("main");
}

IT("cuts a text that is too long, even if all of it is to be escaped") {
  static char text[9000];
  memset(text, '\x01', sizeof text - 1);
  begin();
  log_line(LOG_INFO, "%s", text);
  struct str line = end();
  CHECK(line.len > 4 * 4000 && line.len < 4 * 4096 + 100);
  CHECK(line.ptr[line.len - 1] == '\n');
}
