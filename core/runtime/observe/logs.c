// SPDX-License-Identifier: Apache-2.0
// logs: a list of sinks by target, under a lock, since the last user of one may be a worker that frees an old
// generation. A sink ends in its own thread; only the end of the process waits for it.
#include "runtime/observe/logs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/config.h"
#include "runtime/privileges.h"
#include "shared/sink.h"

enum { FINISH_MS = 2000 };

struct entry {
  struct list link;  /* in logs.entries */
  struct sink *sink; /* owned; NULL: none is open */
  char *target;      /* owned */
  uint64_t dropped;  /* by sinks of this target that were freed */
  unsigned references;
  bool finishes;
  bool is_tentative; /* opened for a policy that is not in force yet */
};

/* A listener's: what it is given is the first member. */
struct held {
  struct access_log log;
  struct entry *entry; /* reference */
};

struct logs {
  pthread_mutex_t lock;
  struct list entries; /* owned */
  unsigned workers;
  struct entry *errors; /* reference; NULL: standard error, written to at once */
  struct log_output output;
  pthread_mutex_t turn; /* of the error log's lane, which all threads share */
};

/* --- sinks ---------------------------------------------------------------------------------------------- */

struct logs *logs_new(unsigned workers) {
  struct logs *logs = memory_zalloc(sizeof *logs);
  pthread_mutex_init(&logs->lock, NULL);
  pthread_mutex_init(&logs->turn, NULL);
  list_init(&logs->entries);
  logs->workers = workers;
  return logs;
}

static void free_entry(struct entry *entry) {
  list_remove(&entry->link);
  free(entry->target);
  free(entry);
}

static void finish(struct entry *entry) {
  if (entry->sink && !entry->finishes) sink_finish(entry->sink, FINISH_MS);
  entry->finishes = true;
}

void logs_free(struct logs *logs) {
  log_flush();
  if (!logs) return;
  log_to(NULL);
  LIST_EACH(node, &logs->entries) finish(LIST_ENTRY(node, struct entry, link));
  LIST_EACH(node, &logs->entries) {
    struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (entry->sink) sink_free(entry->sink);
    free_entry(entry);
  }
  pthread_mutex_destroy(&logs->lock);
  pthread_mutex_destroy(&logs->turn);
  free(logs);
}

/* One that is about to end is no longer found: another user of its target gets a new one. Under the lock, as
 * what follows. */
static struct entry *find(struct logs *logs, const char *target) {
  LIST_EACH(node, &logs->entries) {
    struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (!entry->finishes && strcmp(entry->target, target) == 0) return entry;
  }
  return NULL;
}

static struct entry *add(struct logs *logs, const char *target) {
  struct entry *entry = memory_zalloc(sizeof *entry);
  entry->target = str_to_cstring(str_of(target));
  list_push_back(&logs->entries, &entry->link);
  return entry;
}

/* What it has dropped is remembered under its target. */
static void close_entry(struct logs *logs, struct entry *entry) {
  struct entry *heir = find(logs, entry->target);
  if (!heir) heir = add(logs, entry->target);
  heir->dropped += entry->dropped + sink_dropped(entry->sink);
  sink_free(entry->sink);
  free_entry(entry);
}

static bool open_sink(struct logs *logs, struct entry *entry, bool is_patient, char **why) {
  if (!entry->sink) {
    entry->sink = sink_open(entry->target, logs->workers + 2, is_patient, why);
    entry->is_tentative = entry->sink != NULL;
  }
  if (entry->sink)
    entry->references++;
  else if (!entry->dropped)
    free_entry(entry);
  return *why == NULL;
}

static struct entry *hold(struct logs *logs, const char *target, bool is_patient, char **why) {
  pthread_mutex_lock(&logs->lock);
  struct entry *entry = find(logs, target);
  if (!entry) entry = add(logs, target);
  bool fine = open_sink(logs, entry, is_patient, why);
  pthread_mutex_unlock(&logs->lock);
  return fine ? entry : NULL;
}

static void release(struct logs *logs, struct entry *entry) {
  pthread_mutex_lock(&logs->lock);
  bool is_last = --entry->references == 0;
  if (is_last && entry->is_tentative) sink_undo(entry->sink);
  if (is_last) finish(entry);
  pthread_mutex_unlock(&logs->lock);
}

/* --- the error log -------------------------------------------------------------------------------------- */

static void write_error(void *self, enum log_level level, const char *line, size_t length) {
  static const enum sink_priority priorities[] = {SINK_DEBUG, SINK_INFO, SINK_WARNING, SINK_ERROR};
  struct logs *logs = self;
  pthread_mutex_lock(&logs->turn);
  sink_write(logs->errors->sink, logs->workers + 1, priorities[level], line, length);
  pthread_mutex_unlock(&logs->turn);
}

/* A file takes a write at once, or refuses it: then the line is there even if the process dies of what it says.
 */
static bool is_file(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

bool logs_open_errors(struct logs *logs, const char *target, char **why) {
  if (!target) target = "stderr";
  if (strcmp(target, "stderr") == 0 && is_file(STDERR_FILENO)) return true;
  logs->errors = hold(logs, target, false, why);
  if (!logs->errors) return false;
  logs->errors->is_tentative = false;
  logs->output = (struct log_output){write_error, logs, sink_is_syslog(logs->errors->sink)};
  log_to(&logs->output);
  return true;
}

/* --- access logs ---------------------------------------------------------------------------------------- */

static struct str split_target(struct str said, enum access_format *format) {
  static const struct {
    struct str suffix;
    enum access_format format;
  } forms[] = {{STR_INIT(":json"), ACCESS_JSON}, {STR_INIT(":combined"), ACCESS_COMBINED}};
  *format = ACCESS_COMBINED;
  for (int i = 0; i < 2; i++) {
    struct str suffix = forms[i].suffix;
    if (said.len <= suffix.len || !str_equal(str_from(said, said.len - suffix.len), suffix)) continue;
    *format = forms[i].format;
    said.len -= suffix.len;
    break;
  }
  return said;
}

static bool hold_one(struct logs *logs, struct policy_listener *listener, struct str target,
                     enum access_format format, char **why) {
  char *path = str_to_cstring(target);
  struct entry *entry = hold(logs, path, true, why);
  free(path);
  if (!entry) return false;
  struct held *held = memory_alloc(sizeof *held);
  *held = (struct held){{entry->sink, format}, entry};
  listener->settings.access_log = &held->log;
  return true;
}

/* Where its lines go, and in which form; empty: it writes none. */
static struct str target_of(const struct policy_listener *listener, const char *fallback,
                            enum access_format *format) {
  enum access_format usual;
  if (listener->access_log.ptr) return listener->access_log;
  if (fallback) {
    struct str target = split_target(str_of(fallback), &usual);
    if (!listener->has_log_format) *format = usual;
    return target;
  }
  if (listener->has_log_format)
    log_about(LOG_WARN, listener->place,
              "%.*s: access_log_format has no effect, because there is no access log: write access_log = "
              "\"access.log\" beside it, or in perilune.configure, or start with --access-log FILE",
              STR_ARG(listener->place));
  return STR("");
}

bool logs_hold(struct logs *logs, struct policy_listener *listeners, unsigned count,
               const struct config *config, char **why) {
  const char *fallback = config_text(config, CONFIG_access_log);
  for (unsigned i = 0; i < count; i++) {
    struct policy_listener *listener = &listeners[i];
    enum access_format format = listener->access_log_format;
    struct str target = target_of(listener, fallback, &format);
    if (!target.len) continue;
    if (hold_one(logs, listener, target, format, why)) continue;
    char name[CONFIG_OPTION_BYTES];
    if (listener->access_log.ptr) return why_prefix(why, "%.*s: access log ", STR_ARG(listener->place));
    return why_prefix(why, "%s ", config_said(config, CONFIG_access_log, name));
  }
  return true;
}

void logs_release(struct logs *logs, struct policy_listener *listeners, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    struct held *held = (struct held *)listeners[i].settings.access_log;
    if (!held) continue;
    listeners[i].settings.access_log = NULL;
    release(logs, held->entry);
    free(held);
  }
}

/* --- all of them ---------------------------------------------------------------------------------------- */

void logs_reopen(struct logs *logs) {
  pthread_mutex_lock(&logs->lock);
  LIST_EACH(node, &logs->entries) {
    struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (entry->sink) sink_reopen(entry->sink);
  }
  pthread_mutex_unlock(&logs->lock);
}

void logs_commit(struct logs *logs) {
  pthread_mutex_lock(&logs->lock);
  LIST_EACH(node, &logs->entries) LIST_ENTRY(node, struct entry, link)->is_tentative = false;
  pthread_mutex_unlock(&logs->lock);
}

void logs_tend(struct logs *logs) {
  pthread_mutex_lock(&logs->lock);
  LIST_EACH(node, &logs->entries) {
    struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (entry->finishes && sink_is_done(entry->sink)) close_entry(logs, entry);
  }
  pthread_mutex_unlock(&logs->lock);
}

void logs_give(struct logs *logs, const char *user) {
  pthread_mutex_lock(&logs->lock);
  LIST_EACH(node, &logs->entries) {
    struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (entry->sink) privileges_give(sink_file(entry->sink), entry->target, user);
  }
  pthread_mutex_unlock(&logs->lock);
}

/* Of all sinks of a target. */
static uint64_t dropped_of(struct logs *logs, const struct entry *first) {
  uint64_t sum = 0;
  LIST_EACH(node, &logs->entries) {
    const struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (strcmp(entry->target, first->target) != 0) continue;
    sum += entry->dropped + (entry->sink ? sink_dropped(entry->sink) : 0);
  }
  return sum;
}

static bool is_first(struct logs *logs, const struct entry *wanted) {
  LIST_EACH(node, &logs->entries) {
    const struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (strcmp(entry->target, wanted->target) == 0) return entry == wanted;
  }
  return false;
}

void logs_dropped(struct logs *logs, void (*each)(const char *target, uint64_t dropped, void *context),
                  void *context) {
  pthread_mutex_lock(&logs->lock);
  LIST_EACH(node, &logs->entries) {
    const struct entry *entry = LIST_ENTRY(node, struct entry, link);
    if (is_first(logs, entry)) each(entry->target, dropped_of(logs, entry), context);
  }
  pthread_mutex_unlock(&logs->lock);
}
