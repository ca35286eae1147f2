// SPDX-License-Identifier: Apache-2.0
// config: one parser for values from the command line and from Lua, which passes them as text.
#include "runtime/config.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cores.h"
#include "base/duration.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/safe_file.h"
#include "base/str.h"
#include "base/why.h"

enum kind {
  KIND_COUNT,
  KIND_SECONDS,
  KIND_FILE,
  KIND_NAME,
  KIND_ADDR,
  KIND_LOG,
  KIND_REQUESTS,
  KIND_FLAG,
  KIND_LEVEL
};

static const struct entry {
  const char *name;
  enum kind kind;
  const char *fallback, *what;
} entries[CONFIG_COUNT] = {
#define X(member, kind, fallback, what) {#member, KIND_##kind, fallback, what},
    CONFIG_TABLE(X)
#undef X
};

static const char *const levels[] = {"debug", "info", "warn", "error"};

static const char *wanted(enum kind kind) {
  switch (kind) {
  case KIND_COUNT: return "a whole number from 1 to 1024, or auto";
  case KIND_SECONDS: return DURATION_WORDS;
  case KIND_FILE:
  case KIND_NAME:
  case KIND_ADDR:
  case KIND_LOG:
  case KIND_REQUESTS: return "a text";
  case KIND_FLAG: return "true or false";
  case KIND_LEVEL: break;
  }
  return "debug, info, warn or error";
}

static bool parse_level(const char *text, unsigned *level) {
  for (*level = 0; *level < 4; ++*level)
    if (strcmp(text, levels[*level]) == 0) return true;
  return false;
}

static bool parse(enum kind kind, const char *text, unsigned *number) {
  uint64_t count = 0;
  switch (kind) {
  case KIND_FILE:
  case KIND_NAME:
  case KIND_ADDR:
  case KIND_LOG:
  case KIND_REQUESTS: return true;
  case KIND_SECONDS: return duration_read(text, number);
  case KIND_LEVEL: return parse_level(text, number);
  case KIND_FLAG: *number = strcmp(text, "true") == 0; return *number || strcmp(text, "false") == 0;
  case KIND_COUNT: break;
  }
  if (strcmp(text, "auto") != 0 && (!str_to_u64(str_of(text), &count) || count < 1 || count > 1024))
    return false;
  *number = (unsigned)count;
  return true;
}

/* --- life ----------------------------------------------------------------------------------------------- */

void config_init(struct config *config) {
  for (int i = 0; i < CONFIG_COUNT; i++) {
    struct config_value *value = &config->values[i];
    *value = (struct config_value){.text = str_to_cstring(str_of(entries[i].fallback))};
    parse(entries[i].kind, value->text, &value->number);
  }
}

void config_free(struct config *config) {
  for (int i = 0; i < CONFIG_COUNT; i++) {
    free(config->values[i].text);
    free(config->values[i].place);
  }
}

/* --- setting -------------------------------------------------------------------------------------------- */

static bool is_same(char option, char name) { return option == name || (option == '-' && name == '_'); }

int config_find(const char *name) {
  if (strncmp(name, "--", 2) == 0) name += 2;
  for (int i = 0; i < CONFIG_COUNT; i++) {
    size_t at = 0;
    while (name[at] && is_same(name[at], entries[i].name[at])) at++;
    if (!name[at] && !entries[i].name[at]) return i;
  }
  return -1;
}

const char *config_name(int id) { return entries[id].name; }

const char *config_option(int id, char text[CONFIG_OPTION_BYTES]) {
  snprintf(text, CONFIG_OPTION_BYTES, "--%s", entries[id].name);
  for (char *c = text; *c; c++)
    if (*c == '_') *c = '-';
  return text;
}

const char *config_said(const struct config *config, int id, char text[CONFIG_OPTION_BYTES]) {
  bool is_option = config->values[id].origin == CONFIG_FROM_COMMAND_LINE;
  return is_option ? config_option(id, text) : entries[id].name;
}

bool config_is_flag(int id) { return entries[id].kind == KIND_FLAG; }

static char *unknown(const char *name) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  struct nearest n = nearest_to(name);
  for (int i = 0; i < CONFIG_COUNT; i++) nearest_offer(&n, entries[i].name);
  fprintf(out,
          n.found ? "unknown setting '%s' (did you mean %s?); valid are" : "unknown setting '%s'; valid are",
          name, n.found);
  for (int i = 0; i < CONFIG_COUNT; i++) fprintf(out, "%s %s", i ? "," : "", entries[i].name);
  fclose(out);
  return text;
}

static bool is_format(const char *colon) {
  return colon && (strcmp(colon, ":json") == 0 || strcmp(colon, ":combined") == 0);
}

/* A text that can be no place of that kind, as it was meant; NULL: it may be one. */
static const char *misplaced(enum kind kind, const char *text) {
  const char *colon = strrchr(text, ':');
  bool has_format = is_format(colon);
  if (kind == KIND_FILE && strncmp(text, "unix:", 5) == 0) return "it is a path, without \"unix:\"";
  if (kind == KIND_LOG && strcmp(text, "stdout") == 0)
    return "valid are a file, stderr and syslog; a file of that name is ./stdout";
  if (kind == KIND_LOG && has_format) return "the error log has one format: a file, stderr or syslog alone";
  if (kind == KIND_REQUESTS && strcmp(text, "json") == 0)
    return "a format follows a place, like stdout:json; a file of that name is ./json";
  if (kind == KIND_REQUESTS && has_format && colon == text) return "the place is missing, like stdout:json";
  return NULL;
}

/* What stands behind the last colon of a log of requests, and is no format; NULL: all is well. */
static const char *unknown_format(enum kind kind, const char *text) {
  const char *colon = kind == KIND_REQUESTS ? strrchr(text, ':') : NULL;
  if (!colon || !colon[1] || is_format(colon)) return NULL;
  for (const char *c = colon + 1; *c; c++)
    if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z')) return NULL; /* part of a file's name */
  return colon + 1;
}

bool config_set(struct config *config, const char *name, const char *text, enum config_origin origin,
                const char *place, char **why) {
  int id = config_find(name);
  unsigned number = 0;
  if (id < 0) {
    *why = unknown(name);
    return false;
  }
  if (!parse(entries[id].kind, text, &number))
    return why_say(why, "%s wants %s, not '%s'%s%s", name, wanted(entries[id].kind), text,
                   entries[id].kind == KIND_SECONDS ? duration_hint(text) : "",
                   id == CONFIG_grace && strcmp(text, "0") == 0 ? ", and 'perilune stop --now' does not wait"
                                                                : "");
  const char *format = unknown_format(entries[id].kind, text);
  if (format) return why_say(why, "%s '%s': there is no format '%s'; valid is :json", name, text, format);
  const char *reason = misplaced(entries[id].kind, text);
  if (reason) return why_say(why, "%s '%s': %s", name, text, reason);
  struct config_value *value = &config->values[id];
  if (value->origin > origin) return true;
  free(value->text);
  free(value->place);
  *value = (struct config_value){str_to_cstring(str_of(text)), number, origin,
                                 place ? str_to_cstring(str_of(place)) : NULL};
  return true;
}

/* --- checking ------------------------------------------------------------------------------------------- */

static bool has_folder(const char *name, const char *path, char **why) {
  char folder[PATH_MAX];
  struct stat info;
  if (strlen(path) >= sizeof folder) return why_about(why, name, path, "the path is too long");
  strcpy(folder, path);
  if (stat(dirname(folder), &info) != 0) return why_about(why, name, path, safe_reason_new(errno));
  if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
    return why_about(why, name, path, safe_reason_new(EISDIR));
  return true;
}

bool config_check_log(const char *name, const char *target, char **why) {
  static const char *const others[] = {"stderr", "stdout", "syslog"};
  for (int i = 0; i < 3; i++)
    if (strncmp(target, others[i], 6) == 0 && (!target[6] || target[6] == ':')) return true;
  return has_folder(name, target, why);
}

/* No user or group of that name. Always false. */
static bool is_missing(const struct config *config, enum config_id id, char **why) {
  char name[CONFIG_OPTION_BYTES];
  const struct config_value *value = &config->values[id];
  why_about(why, config_said(config, id, name), value->text, "there is none of that name");
  return value->place && why_prefix(why, "%s: ", value->place);
}

bool config_check(const struct config *config, char **why) {
  static const enum config_id files[] = {CONFIG_pid_file, CONFIG_socket},
                              logs[] = {CONFIG_error_log, CONFIG_access_log};
  for (int i = 0; i < 2; i++) {
    const char *path = config_text(config, files[i]), *log = config_text(config, logs[i]);
    char name[CONFIG_OPTION_BYTES];
    if (path && !has_folder(config_said(config, files[i], name), path, why)) return false;
    if (log && !config_check_log(config_said(config, logs[i], name), log, why)) return false;
  }
  const char *user = config_text(config, CONFIG_user), *group = config_text(config, CONFIG_group);
  if (user && !getpwnam(user)) return is_missing(config, CONFIG_user, why);
  if (group && !getgrnam(group)) return is_missing(config, CONFIG_group, why);
  return true;
}

/* --- printing ------------------------------------------------------------------------------------------- */

void config_print(const struct config *config, FILE *out) {
  static const char *const origins[] = {"default", "policy", "command line"};
  for (int i = 0; i < CONFIG_COUNT; i++) {
    const struct config_value *value = &config->values[i];
    fprintf(out, "%-15s %-20s %s%s%s\n", entries[i].name, value->text[0] ? value->text : "-",
            origins[value->origin], value->place ? ", " : "", value->place ? value->place : "");
  }
}

static bool is_bare(enum kind kind, const char *text) {
  return kind == KIND_FLAG || (kind == KIND_COUNT && strcmp(text, "auto") != 0);
}

static void print_lua(const struct config_value *value, enum kind kind, FILE *out) {
  const char *quote = is_bare(kind, value->text) ? "" : "\"";
  if (kind == KIND_SECONDS) {
    fprintf(out, "%.10g", value->number / 1000.0);
    return;
  }
  fputs(quote, out);
  escape_lua(out, str_of(value->text));
  fputs(quote, out);
}

void config_print_script(const struct config *config, FILE *out) {
  bool any = false;
  for (int i = 0; i < CONFIG_COUNT; i++) {
    const struct config_value *value = &config->values[i];
    if (value->origin != CONFIG_FROM_COMMAND_LINE) continue;
    fprintf(out, "%s%s = ", any ? ", " : "perilune.configure { ", entries[i].name);
    print_lua(value, entries[i].kind, out);
    any = true;
  }
  if (any) fputs(" }\n", out);
}

const char *config_value_word(int id) {
  switch (entries[id].kind) {
  case KIND_COUNT: return "N";
  case KIND_SECONDS: return "TIME";
  case KIND_FILE: return "FILE";
  case KIND_NAME: return "NAME";
  case KIND_ADDR: return "ADDR";
  case KIND_LOG:
  case KIND_REQUESTS: return "WHERE";
  case KIND_FLAG: return "";
  case KIND_LEVEL: break;
  }
  return "LEVEL";
}

const char *config_fallback(int id) { return entries[id].fallback; }
const char *config_what(int id) { return entries[id].what; }

unsigned config_workers(const struct config *config) {
  unsigned said = config_number(config, CONFIG_workers);
  return said ? said : cores_available();
}
