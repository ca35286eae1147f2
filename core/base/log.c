// SPDX-License-Identifier: Apache-2.0
// log: formats a line into a buffer on the stack, escapes it and writes it in one piece.
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096, LINE_BYTES = TEXT_BYTES * 4 + 128 };

static _Atomic int lowest = LOG_INFO;
static _Thread_local char thread_name[32] = "main";
static _Atomic(const struct log_output *) output;
static void (*catcher)(enum log_level level, const char *text);
static const char *const names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level) { lowest = (int)level; }
bool log_is_on(enum log_level level) { return (int)level >= lowest; }
void log_set_thread(const char *name) { snprintf(thread_name, sizeof thread_name, "%s", name); }

void log_to(const struct log_output *to) { atomic_store_explicit(&output, to, memory_order_release); }

void log_catch(void (*catch)(enum log_level level, const char *text)) { catcher = catch; }

static size_t put_prefix(char *line, enum log_level level) {
  struct timespec now;
  struct tm local;
  clock_gettime(CLOCK_REALTIME, &now);
  localtime_r(&now.tv_sec, &local);
  size_t n = strftime(line, 64, "%Y-%m-%d %H:%M:%S", &local);
  return n + (size_t)sprintf(line + n, ".%03ld %s %s: ", now.tv_nsec / 1000000, names[level], thread_name);
}

static size_t escape(char *to, const char *text, bool keeps_lines) {
  size_t n = 0;
  for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
    if (*p == '\n' && keeps_lines) {
      to[n++] = '\n';
      to[n++] = '\t';
    } else if ((*p < 0x20 && *p != '\t') || *p == 0x7f) {
      n += (size_t)sprintf(to + n, "\\x%02x", *p);
    } else {
      to[n++] = (char)*p;
    }
  }
  return n;
}

static void write_out(const struct log_output *to, enum log_level level, const char *line, size_t length) {
  if (to) {
    to->write(to->self, level, line, length);
    return;
  }
  ssize_t written = write(STDERR_FILENO, line, length);
  (void)written; /* where standard error is gone there is nobody to tell */
}

static void write_line(enum log_level level, bool keeps_lines, const char *format, va_list args) {
  char text[TEXT_BYTES], line[LINE_BYTES];
  if (!log_is_on(level)) return;
  const struct log_output *to = atomic_load_explicit(&output, memory_order_acquire);
  bool is_plain = to && to->is_plain;
  size_t n = 0;
  vsnprintf(text, sizeof text, format, args);
  if (!catcher) n = is_plain ? (size_t)sprintf(line, "%s: ", thread_name) : put_prefix(line, level);
  n += escape(line + n, text, keeps_lines && !is_plain);
  if (catcher) {
    line[n] = '\0';
    catcher(level, line);
    return;
  }
  line[n++] = '\n';
  write_out(to, level, line, n);
}

void log_line(enum log_level level, const char *format, ...) {
  va_list args;
  va_start(args, format);
  write_line(level, false, format, args);
  va_end(args);
}

void log_text(enum log_level level, const char *format, ...) {
  va_list args;
  va_start(args, format);
  write_line(level, true, format, args);
  va_end(args);
}
