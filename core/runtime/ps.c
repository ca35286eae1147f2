// SPDX-License-Identifier: Apache-2.0
// ps: each proxy is asked by its command socket (steer/introduce.h), and has a second to answer. Those of other users
// are not asked: anybody may bind a name, and what they would answer is not to be believed.
#include "runtime/ps.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "runtime/observe/json.h"
#include "runtime/process.h"
#include "runtime/running.h"

enum { ANSWER_BYTES = 16384, LISTENERS_SHOWN = 8 };

struct found {
  struct ucred who;
  char user[64];
  char text[ANSWER_BYTES]; /* lines "word\ttext"; "": it does not answer, or was not asked */
  bool is_trusted;
};

/* --- its facts -------------------------------------------------------------------------------------------- */

/* The next text of that word behind `rest`; false: there is none. */
static bool next(const struct found *f, struct str *rest, const char *word, struct str *value) {
  struct str line, name;
  if (!rest->ptr) *rest = str_of(f->text);
  while (str_split(rest, '\n', &line))
    if (str_split(&line, '\t', &name) && str_equal(name, str_of(word)) && line.ptr) {
      *value = line;
      return true;
    }
  return false;
}

static struct str fact(const struct found *f, const char *word) {
  struct str rest = {NULL, 0}, value = {"", 0};
  next(f, &rest, word, &value);
  return value;
}

static uint64_t count_of(const struct found *f, const char *word) {
  uint64_t number = 0;
  str_to_u64(fact(f, word), &number);
  return number;
}

/* --- text ------------------------------------------------------------------------------------------------- */

static void put(FILE *out, const char *before, struct str text) {
  fputs(before, out);
  running_print(out, text.ptr, text.len);
}

static void put_time(FILE *out, uint64_t seconds) {
  unsigned long long s = seconds;
  if (s >= 172800)
    fprintf(out, "%llu days", s / 86400);
  else if (s >= 7200)
    fprintf(out, "%llu h", s / 3600);
  else if (s >= 120)
    fprintf(out, "%llu min", s / 60);
  else
    fprintf(out, "%llu s", s);
}

static void put_listeners(FILE *out, const struct found *f) {
  struct str rest = {NULL, 0}, listener;
  unsigned count = 0;
  while (next(f, &rest, "listener", &listener))
    if (count++ < LISTENERS_SHOWN) put(out, count == 1 ? "  listens on  " : ", ", listener);
  if (count > LISTENERS_SHOWN) fprintf(out, " and %u more", count - LISTENERS_SHOWN);
  if (count) fputc('\n', out);
}

static void put_text(FILE *out, const struct found *f) {
  fprintf(out, "process %d, user %s", (int)f->who.pid, f->user);
  if (!*f->text) {
    fputs(f->is_trusted ? ": does not say what it serves\n" : ": not yours, and was not asked\n", out);
    return;
  }
  put(out, ": ", fact(f, "policy"));
  if (str_equal(fact(f, "state"), STR("stopping"))) fputs(" (stopping)", out);
  fputc('\n', out);
  put_listeners(out, f);
  put(out, "  generation  ", fact(f, "generation"));
  fputs(", in force for ", out);
  put_time(out, count_of(f, "generation_seconds"));
  fputs("; up ", out);
  put_time(out, count_of(f, "seconds"));
  uint64_t workers = count_of(f, "workers");
  fprintf(out, "; %llu worker%s\n", (unsigned long long)workers, plural(workers));
  if (fact(f, "admin").len) put(out, "  status page ", fact(f, "admin"));
  if (fact(f, "admin").len) fputc('\n', out);
  fprintf(out, "  name it     --pid %d", (int)f->who.pid);
  if (fact(f, "pid_file").len) put(out, " or --pid-file ", fact(f, "pid_file"));
  if (fact(f, "socket").len) put(out, " or --socket ", fact(f, "socket"));
  fputc('\n', out);
}

/* --- JSON ------------------------------------------------------------------------------------------------- */

static void put_json(struct json *j, const struct found *f) {
  static const char *const texts[] = {"version", "policy", "state", "admin", "pid_file", "socket"};
  static const char *const numbers[] = {"generation", "generation_seconds", "seconds", "workers"};
  struct str rest = {NULL, 0}, listener;
  json_open(j, NULL, '{');
  json_number(j, "pid", (uint64_t)f->who.pid);
  json_text(j, "user", str_of(f->user));
  json_flag(j, "answers", *f->text);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) json_text(j, texts[i], fact(f, texts[i]));
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    json_number(j, numbers[i], count_of(f, numbers[i]));
  json_open(j, "listeners", '[');
  while (next(f, &rest, "listener", &listener)) json_text(j, NULL, listener);
  json_close(j, ']');
  json_close(j, '}');
}

/* --- all -------------------------------------------------------------------------------------------------- */

/* False: it has just gone. */
static bool look_at(const struct running *running, struct found *f) {
  int fd = running_reach(running);
  if (fd < 0) return false;
  *f = (struct found){.who = running_peer(fd)};
  const struct passwd *user = getpwuid(f->who.uid);
  if (user)
    snprintf(f->user, sizeof f->user, "%s", user->pw_name);
  else
    snprintf(f->user, sizeof f->user, "%u", (unsigned)f->who.uid);
  f->is_trusted = running_is_trusted(fd, geteuid());
  if (f->is_trusted) running_ask(fd, "ps\n", f->text, sizeof f->text);
  close(fd);
  return true;
}

int ps_print(FILE *out, bool as_json) {
  struct running running[RUNNING_MOST];
  unsigned count = running_find_all(running), shown = 0;
  struct json j = {out, true};
  if (as_json) json_open(&j, NULL, '[');
  for (unsigned i = 0; i < count; i++) {
    struct found f;
    if (!look_at(&running[i], &f)) continue;
    shown++;
    if (as_json)
      put_json(&j, &f);
    else
      put_text(out, &f);
  }
  if (as_json) json_close(&j, ']');
  if (as_json) fputc('\n', out);
  if (!as_json && !shown) fputs("no proxy is running that could be found from here\n", out);
  return EXIT_FINE;
}
