// SPDX-License-Identifier: Apache-2.0
// log: the error log. One call writes one line, with one write(2) to standard error unless there is another
// output, so lines of several threads do not mix: "2026-01-31 12:00:00.123 warn worker 2: text". Control
// characters in the text are escaped as \xHH, so nothing that a client or an origin sends can forge a line.
#ifndef PERILUNE_BASE_LOG_H
#define PERILUNE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below `level` are dropped; the default is LOG_INFO. Process-wide. */
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);
/* Name of the calling thread in its lines, e.g. "worker 2"; copied, at most 31 bytes. */
void log_set_thread(const char *name);

/* Where lines go instead of standard error: each call gets one, with its line feed; from any thread. */
struct log_output {
  void (*write)(void *self, enum log_level level, const char *line, size_t length);
  void *self;
  bool is_plain; /* lines without time and level, and without line feeds of their own: for syslog */
};
/* Borrowed until the next call. NULL: standard error again. */
void log_to(const struct log_output *output);
/* Lines go there instead, escaped, without time and thread; for tests. NULL: to standard error again. */
void log_catch(void (*catch)(enum log_level level, const char *text));

void log_line(enum log_level level, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));
/* Keeps line feeds, for tracebacks: continuation lines are indented by a tab. */
void log_text(enum log_level level, const char *format, ...) __attribute__((cold, format(printf, 2, 3)));

#define log_debug(...)                                                                                       \
  do {                                                                                                       \
    if (log_is_on(LOG_DEBUG)) log_line(LOG_DEBUG, __VA_ARGS__);                                              \
  } while (0)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
