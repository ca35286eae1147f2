// SPDX-License-Identifier: Apache-2.0
// log: formats a line into a buffer on the stack, escapes it and writes it in one piece.
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/date.h"
#include "base/escape.h"
#include "base/log_throttle.h"

enum { TEXT_BYTES = 4096, LINE_BYTES = TEXT_BYTES * 4 + 128 };

static _Atomic int lowest = LOG_INFO;
static _Thread_local char thread_name[32] = "main";
static _Atomic(const struct log_output *) output;
static void (*catcher)(enum log_level level, const char *text);
static const char *const names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level level) { lowest = (int)level; }
enum log_level log_level(void) { return (enum log_level)lowest; }
bool log_is_on(enum log_level level) { return (int)level >= lowest; }
void log_set_thread(const char *name) { snprintf(thread_name, sizeof thread_name, "%s", name); }

void log_to(const struct log_output *to) { atomic_store_explicit(&output, to, memory_order_release); }

void log_catch(void (*catch)(enum log_level level, const char *text)) { catcher = catch; }

static size_t put_prefix(char *line, enum log_level level) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct str when = date_text(DATE_LOG, now.tv_sec);
  return (size_t)sprintf(line, "%.*s.%03ld %s %s: ", STR_ARG(when), now.tv_nsec / 1000000, names[level],
                         thread_name);
}

/* Each byte becomes four at most. */
static size_t escape(char *to, const char *text, bool keeps_lines) {
  struct str rest = {text, strlen(text)}, one;
  size_t n = 0;
  if (!keeps_lines) return escape_line(to, rest.len * 4, rest);
  for (bool is_first = true; str_split(&rest, '\n', &one); is_first = false) {
    if (!is_first) n += (size_t)sprintf(to + n, "\n\t");
    n += escape_line(to + n, one.len * 4, one);
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

/* The last step of every line. */
static void put(enum log_level level, bool keeps_lines, const char *text) {
  char line[LINE_BYTES];
  const struct log_output *to = atomic_load_explicit(&output, memory_order_acquire);
  bool is_plain = to && to->is_plain;
  size_t n = 0;
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

/* --- the throttle ----------------------------------------------------------------------------------------- */

/* "8,812"; `text` has room for 32 bytes. */
static const char *grouped(char *text, uint64_t number) {
  char digits[24];
  int count = sprintf(digits, "%llu", (unsigned long long)number);
  char *to = text;
  for (int i = 0; i < count; i++) {
    if (i && (count - i) % 3 == 0) *to++ = ',';
    *to++ = digits[i];
  }
  *to = '\0';
  return text;
}

static void report(const struct log_left_out *due) {
  char number[32], text[LOG_THROTTLE_TEXT + 128];
  const char *sample = due->text[0] ? due->text : "a line that others have said";
  snprintf(text, sizeof text, "%s more in %.3g s: %s", grouped(number, due->lines),
           (double)((due->over_ms + 99) / 100) / 10, sample);
  put(due->level, false, text);
}

static void report_all(bool all) {
  struct log_left_out due;
  unsigned at = 0;
  while (log_throttle_next(&at, all, &due)) report(&due);
}

void log_tend(void) { report_all(false); }
void log_flush(void) { report_all(true); }

/* FNV-1a over the subject, begun with the address of the format, which names the call; never 0. */
static uint64_t key_of(const char *format, struct str subject) {
  uint64_t hash = 0xcbf29ce484222325 ^ (uint64_t)(uintptr_t)format * 0x9e3779b97f4a7c15;
  for (size_t i = 0; i < subject.len; i++) hash = (hash ^ (unsigned char)subject.ptr[i]) * 0x100000001b3;
  hash ^= hash >> 32;
  return hash ? hash : 1;
}

/* --- a line ----------------------------------------------------------------------------------------------- */

enum { KEEPS_LINES = 1, IS_FREE = 2 };

static void write_line(enum log_level level, unsigned flags, struct str subject, const char *format,
                       va_list args) {
  char text[TEXT_BYTES];
  enum log_verdict verdict = LOG_PASSES;
  struct log_class line = {0, 0};
  if (!log_is_on(level)) return;
  if (level != LOG_DEBUG && !(flags & IS_FREE) && !catcher) {
    struct log_left_out due;
    line = (struct log_class){key_of(format, STR("")), key_of(format, subject)};
    verdict = log_throttle_judge(line, level, &due);
    if (due.lines) report(&due);
  }
  if (verdict == LOG_COUNTED) return;
  int length = vsnprintf(text, sizeof text, format, args);
  if (length >= (int)sizeof text) str_fit(text, sizeof text, (struct str){text, (size_t)length});
  if (verdict == LOG_PASSES)
    put(level, flags & KEEPS_LINES, text);
  else
    log_throttle_keep(line, text);
}

#define WRITE(level, flags, subject, format)                                                                 \
  do {                                                                                                       \
    va_list args;                                                                                            \
    va_start(args, format);                                                                                  \
    write_line(level, flags, subject, format, args);                                                         \
    va_end(args);                                                                                            \
  } while (0)

void log_line(enum log_level level, const char *format, ...) { WRITE(level, 0, STR(""), format); }

void log_about(enum log_level level, struct str subject, const char *format, ...) {
  WRITE(level, 0, subject, format);
}

void log_text_about(enum log_level level, struct str subject, const char *format, ...) {
  WRITE(level, KEEPS_LINES, subject, format);
}

void log_unthrottled(enum log_level level, const char *format, ...) {
  WRITE(level, IS_FREE, STR(""), format);
}
