// SPDX-License-Identifier: Apache-2.0
// arguments: "--option value" and "--option=value" are the same. An option that takes one value may be given only
// once, because nobody means the last one to win.
#include "cli/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "base/path.h"
#include "base/str.h"
#include "runtime/notify.h"
#include "runtime/process.h"

enum { NAME_BYTES = 64, DAY_MS = 86400000 };

void arguments_init(struct arguments *a, int count, char **words) {
  *a = (struct arguments){.words = words, .for_ms = 30000, .max_errors = 100, .from.every_ms = 30000};
  a->listen.items = memory_alloc((size_t)count * sizeof *a->listen.items);
  a->trusted_proxies.items = memory_alloc((size_t)count * sizeof *a->trusted_proxies.items);
  a->points.items = memory_alloc((size_t)count * sizeof *a->points.items);
  a->to.items = memory_alloc((size_t)count * sizeof *a->to.items);
  a->match.items = memory_alloc((size_t)count * sizeof *a->match.items);
  a->acme.domain.items = memory_alloc((size_t)count * sizeof *a->acme.domain.items);
  config_init(&a->config);
}

void arguments_free(struct arguments *a) {
  config_free(&a->config);
  free(a->listen.items);
  free(a->trusted_proxies.items);
  free(a->points.items);
  free(a->to.items);
  free(a->match.items);
  free(a->acme.domain.items);
}

int arguments_refuse(enum command_id command, const char *format, ...) {
  bool has_command = command != COMMAND_COUNT && command != COMMAND_HELP;
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  notify_failed(text); /* an upgrade may wait for us */
  fprintf(stderr, "perilune: %s", text);
  bool asks = *format && format[strlen(format) - 1] == '?'; /* did you mean ...? */
  fprintf(stderr, "%s 'perilune help%s%s'\n", asks ? " See" : "; see", has_command ? " " : "",
          has_command ? command_words[command].name : "");
  return EXIT_BAD_INPUT;
}

bool arguments_check_tls(const struct arguments *a, enum command_id command) {
  if (!a->tls_cert == !a->tls_key) return true;
  arguments_refuse(command, "--tls-cert and --tls-key go together: %s is missing",
                   a->tls_key ? "--tls-cert" : "--tls-key");
  return false;
}

/* Always false: what is wrong has been said. */
#define REFUSE(...) (arguments_refuse(__VA_ARGS__), false)

/* --- values ----------------------------------------------------------------------------------------------- */

/* "5%", "0.5%" as parts of 10,000. */
static bool read_share(const char *text, unsigned *share) {
  char *end;
  double percent = strtod(text, &end);
  if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100)) return false;
  *share = (unsigned)(percent * 100 + 0.5);
  return true;
}

static bool read_pid(const char *text, int *pid) {
  uint64_t number;
  if (!str_to_u64(str_of(text), &number) || number < 1 || number > 0x7fffffff) return false;
  *pid = (int)number;
  return true;
}

static void append(struct text_list *list, const char *text) { list->items[list->count++] = text; }

/* Into the member of its kind; false: it is no value of that kind. */
static bool store(struct arguments *a, const struct option_words *option, const char *value) {
  void *member = (char *)a + option->member;
  switch (option->kind) {
  case OPTION_ON: *(bool *)member = true; return true;
  case OPTION_TEXT: *(const char **)member = value; return true;
  case OPTION_LIST: append(member, value); return true;
  case OPTION_SHARE: return read_share(value, member);
  case OPTION_TIME: return duration_read(value, member) && *(unsigned *)member < DAY_MS;
  case OPTION_PID: break;
  }
  return read_pid(value, member);
}

/* --- options ---------------------------------------------------------------------------------------------- */

/* One option as it was given. */
struct given {
  char name[NAME_BYTES]; /* "--listen", without "=..." */
  char *value;           /* behind "="; NULL: none there */
  char ***words;         /* the word it stands in; moved on where its value is the next one */
  enum command_id command;
};

static int find_option(const char *name, enum command_id command) {
  for (int i = 0; i < OPTION_COUNT; i++)
    if (strcmp(option_words[i].name, name) == 0 && words_take_option(command, i)) return i;
  return -1;
}

/* The setting of that name which the command takes; -1: none. */
static int find_setting(const char *name, enum command_id command) {
  int id = strncmp(name, "--", 2) == 0 ? config_find(name) : -1;
  return id >= 0 && words_take_setting(command, id) ? id : -1;
}

/* All that the command takes, in the order of its help; returns how many. */
enum { NAMES_MOST = OPTION_COUNT + CONFIG_COUNT };
static int valid_names(enum command_id command, const char *names[NAMES_MOST]) {
  static char settings[CONFIG_COUNT][CONFIG_OPTION_BYTES];
  int count = 0;
  for (int i = 0; i < OPTION_COUNT; i++)
    if (words_take_option(command, i)) names[count++] = option_words[i].name;
  for (int i = 0; i < CONFIG_COUNT; i++)
    if (words_take_setting(command, i)) names[count++] = config_option(i, settings[i]);
  return count;
}

/* Options of one letter there are none; what other programs mean by them. */
static const char *const letters[][2] = {{"-w", "--workers"}, {"-d", "--daemon"}, {"-l", "--listen"},
                                         {"-t", "--to"},      {"-u", "--user"},   {"-g", "--group"},
                                         {"-j", "--json"},    {"-p", "--pid"},    {"-s", "--socket"}};

static const char *meant_by(const char *name, const char *const *names, int count) {
  struct nearest n = nearest_to(name);
  for (size_t k = 0; k < sizeof letters / sizeof *letters; k++)
    for (int i = 0; strcmp(letters[k][0], name) == 0 && i < count; i++)
      if (strcmp(letters[k][1], names[i]) == 0) return names[i];
  for (int i = 0; i < count; i++) nearest_offer(&n, names[i]);
  return n.found;
}

/* Many names are no help in a line. */
enum { LISTED_MOST = 10 };

static bool unknown(const struct given *g) {
  const char *names[NAMES_MOST], *command = command_words[g->command].name;
  char list[NAMES_MOST * CONFIG_OPTION_BYTES];
  int count = valid_names(g->command, names);
  size_t length = 0;
  const char *meant = meant_by(g->name, names, count);
  if (meant) return REFUSE(g->command, "%s has no option %s; did you mean %s?", command, g->name, meant);
  if (count > LISTED_MOST) return REFUSE(g->command, "%s has no option %s", command, g->name);
  for (int i = 0; i < count; i++)
    length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", i ? ", " : "", names[i]);
  if (!count) return REFUSE(g->command, "%s has no option %s; it takes none", command, g->name);
  return REFUSE(g->command, "%s has no option %s; valid are %s", command, g->name, list);
}

/* NULL: there is none, and that was said. A word with two dashes is the next option: a value that begins so is written
 * behind "=". */
static const char *value_of(struct given *g, const char *what) {
  if (g->value) return g->value;
  const char *next = (*g->words)[1];
  if (next && strncmp(next, "--", 2) != 0) return *++*g->words;
  arguments_refuse(g->command, "a value is missing: %s %s", g->name, what);
  return NULL;
}

static bool twice(const struct given *g) {
  return REFUSE(g->command, "%s is given twice, and takes one value", g->name);
}

/* A setting that is given again takes the place of the first: a script adds to a command line that is not its own. */
static bool read_setting(struct arguments *a, struct given *g, int id) {
  bool is_flag = config_is_flag(id);
  const char *text = is_flag && !g->value ? "true" : value_of(g, config_value_word(id));
  char *why = NULL;
  if (!text) return false;
  if (config_set(&a->config, g->name, text, CONFIG_FROM_COMMAND_LINE, NULL, &why)) return true;
  arguments_refuse(g->command, "%s", why);
  free(why);
  return false;
}

static bool read_value(struct arguments *a, struct given *g, int id) {
  const struct option_words *option = &option_words[id];
  const char *value = NULL;
  if (option->value) {
    value = value_of(g, option->value);
    if (!value) return false;
    if (a->given[id] && option->kind != OPTION_LIST) return twice(g);
    if (!*value) return REFUSE(g->command, "%s is empty; it wants %s", g->name, option->value);
  } else if (g->value) {
    return REFUSE(g->command, "%s takes no value", g->name);
  }
  a->given[id] = true;
  if (store(a, option, value)) return true;
  return REFUSE(g->command, "%s wants %s, not '%s'%s", g->name, option_wants(option->kind), value,
                option->kind == OPTION_TIME ? duration_hint(value) : "");
}

/* Reads the option at *words and moves to its last word. */
static bool read_option(struct arguments *a, char ***words, enum command_id command) {
  struct given g = {.words = words, .command = command};
  size_t length = strcspn(**words, "=");
  snprintf(g.name, sizeof g.name, "%.*s", (int)length, **words);
  if ((**words)[length]) g.value = **words + length + 1;
  int id = find_option(g.name, command);
  if (id >= 0) return read_value(a, &g, id);
  id = find_setting(g.name, command);
  return id >= 0 ? read_setting(a, &g, id) : unknown(&g);
}

static unsigned most_operands(const struct command_words *words) {
  unsigned count = 1;
  for (const char *at = words->operands; *at; at++) count += *at == ' ';
  return count < OPERANDS_MOST ? count : OPERANDS_MOST;
}

static bool read_operand(struct arguments *a, const char *word, enum command_id command) {
  const struct command_words *words = &command_words[command];
  if (!*word) return REFUSE(command, "a word behind %s is empty", words->name);
  if (!*words->operands) return REFUSE(command, "%s takes no '%s'", words->name, word);
  if (a->operand && most_operands(words) == 1)
    return REFUSE(command, "%s takes one %s, and '%s' is a second one", words->name, words->operands, word);
  if (a->operand_count == most_operands(words))
    return REFUSE(command, "%s takes %s, and '%s' is one word more", words->name, words->operands, word);
  a->operands[a->operand_count++] = word;
  a->operand = a->operands[0];
  return true;
}

/* "-" alone is no option, and no script either: that is a file, which a reload reads again. Behind "--" there are no
 * options. */
bool arguments_read(struct arguments *a, enum command_id command, char **words) {
  bool has_options = true;
  for (; *words; words++) {
    if (has_options && strcmp(*words, "--") == 0)
      has_options = false;
    else if (has_options && **words == '-' ? !read_option(a, &words, command)
                                           : !read_operand(a, *words, command))
      return false;
  }
  return true;
}

/* --- commands --------------------------------------------------------------------------------------------- */

static const struct {
  const char *word;
  enum command_id command;
} other_words[] = {{"-h", COMMAND_HELP},
                   {"--help", COMMAND_HELP},
                   {"-v", COMMAND_VERSION},
                   {"-V", COMMAND_VERSION},
                   {"--version", COMMAND_VERSION}};

/* What other programs call it. */
static const char *const synonyms[][2] = {{"start", "run"},
                                          {"serve", "run"},
                                          {"restart", "upgrade"},
                                          {"validate", "check"},
                                          {"configtest", "check"},
                                          {"quit", "stop"},
                                          {"kill", "stop"},
                                          {"info", "status"},
                                          {"list", "status"},
                                          {"drain", "backend"},
                                          {"loglevel", "log-level"},
                                          {"htpasswd", "hash-password"},
                                          {"mkpasswd", "hash-password"}};

static const char *synonym_of(const char *word) {
  for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
    if (strcmp(synonyms[i][0], word) == 0) return synonyms[i][1];
  return NULL;
}

enum command_id arguments_command(const char *word) {
  struct nearest n = nearest_to(word);
  for (int i = 0; i < COMMAND_COUNT; i++) {
    if (strcmp(word, command_words[i].name) == 0) return (enum command_id)i;
    nearest_offer(&n, command_words[i].name);
  }
  for (size_t i = 0; i < sizeof other_words / sizeof *other_words; i++)
    if (strcmp(word, other_words[i].word) == 0) return other_words[i].command;
  const char *meant = synonym_of(word);
  if (!meant) meant = n.found;
  if (path_is_script(word))
    arguments_refuse(COMMAND_COUNT, "unknown command '%s'; did you mean 'run %s'?", word, word);
  else if (*word == '-')
    arguments_refuse(COMMAND_COUNT, "a command comes first, and options behind it, not %s", word);
  else if (meant)
    arguments_refuse(COMMAND_COUNT, "unknown command '%s'; did you mean '%s'?", word, meant);
  else
    arguments_refuse(COMMAND_COUNT, "unknown command '%s'", word);
  return COMMAND_COUNT;
}

bool arguments_ask_for_help(char **words) {
  for (; *words && strcmp(*words, "--") != 0; words++)
    if (strcmp(*words, "--help") == 0 || strcmp(*words, "-h") == 0) return true;
  return false;
}

bool arguments_has(const struct arguments *a, const char *option) {
  for (int i = 0; i < OPTION_COUNT; i++)
    if (a->given[i] && strcmp(option_words[i].name, option) == 0) return true;
  return false;
}
