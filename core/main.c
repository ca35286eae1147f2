// SPDX-License-Identifier: Apache-2.0
// main: the command line. The one file of core/ that names lua/.
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/version.h"
#include "lua/vm/policy.h"
#include "lua/test/testing.h"
#include "runtime/client.h"
#include "runtime/forward.h"
#include "runtime/server.h"

static const char usage[] =
    "perilune: a Lua-scriptable programmable HTTP proxy\n"
    "\n"
    "  perilune run SCRIPT                          serve by a policy\n"
    "      [--print-config] [settings]\n"
    "  perilune proxy --listen ADDR --to ADDR,...   forward without a script, round robin\n"
    "      [settings]\n"
    "  perilune check SCRIPT                        compile and validate a policy, open nothing\n"
    "  perilune test [SPEC...]                      test policies: busted, with the API of the proxy\n"
    "  perilune reload                              load the policy anew; waits, says what came of it\n"
    "      [--canary 5% --for 30s [--max-errors 1%]]  on trial: a share of the requests first, then all or "
    "none\n"
    "      [--shadow --for 30s]                       dry: on copies of request heads; says where it "
    "differs\n"
    "      [--close-old]                              nothing is loaded: closes what runs on older policies\n"
    "  perilune stop [--now]                        answer what is under way, then end; waits for the end\n"
    "  perilune upgrade                             hand over to the program file as it is now, losing "
    "nothing\n"
    "  perilune status [--json]                     what it serves, how fast, and what goes wrong\n"
    "  perilune version | help\n"
    "\n"
    "ADDR is host:port, [::1]:port, :port or unix:/path.\n"
    "reload, stop, upgrade and status speak to the proxy that runs, or to the one of --pid-file F or "
    "--socket S.\n"
    "Signals: TERM stops gracefully, INT at once, HUP reloads, USR1 opens logs anew, USR2 upgrades,\n"
    "QUIT drains.\n"
    "Exit codes: 0 fine, 1 failed, 2 wrong input (the message names file, line or option).\n"
    "\n"
    "Settings, which a policy makes too, by perilune.configure{ pid_file = \"...\" }; the command line has "
    "the last word:\n";

struct arguments {
  const char *script, *listen, *to, *pid_file, *socket;
  unsigned canary, for_ms, max_errors; /* of 10,000; ms; of 10,000 */
  struct config config;
  bool shadow, close_old;
  bool now, print_config, json;
  bool has_time, has_max_errors; /* were --for and --max-errors given? */
  char **words;                  /* all of them */
};

static int misuse(const char *what, const char *name) {
  fprintf(stderr, "perilune: %s%s; see 'perilune help'\n", what, name);
  return EXIT_BAD_INPUT;
}

/* --- options -------------------------------------------------------------------------------------------- */

/* "5%", "0.5%" as parts of 10,000. */
static bool read_share(const char *text, unsigned *share) {
  char *end;
  double percent = strtod(text, &end);
  if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100)) return false;
  *share = (unsigned)(percent * 100 + 0.5);
  return true;
}

/* "30s", "500ms", "2m". */
static bool set_for(struct arguments *a, const char *text) {
  char *end;
  double number = strtod(text, &end), unit = 0;
  if (strcmp(end, "ms") == 0)
    unit = 1;
  else if (strcmp(end, "s") == 0)
    unit = 1000;
  else if (strcmp(end, "m") == 0)
    unit = 60000;
  if (end == text || unit == 0 || !(number > 0 && number * unit < 86400e3)) return false;
  a->has_time = true;
  a->for_ms = (unsigned)(number * unit);
  return true;
}

static bool set_canary(struct arguments *a, const char *text) {
  return read_share(text, &a->canary) && a->canary > 0;
}
static bool set_max_errors(struct arguments *a, const char *text) {
  a->has_max_errors = true;
  return read_share(text, &a->max_errors);
}

/* clang-format off */
static bool set_listen(struct arguments *a, const char *text) { a->listen = text; return true; }
static bool set_to(struct arguments *a, const char *text) { a->to = text; return true; }
static bool set_pid_file(struct arguments *a, const char *text) { a->pid_file = text; return true; }
static bool set_socket(struct arguments *a, const char *text) { a->socket = text; return true; }
static bool set_print(struct arguments *a, const char *text) { (void)text; a->print_config = true; return true; }
static bool set_json(struct arguments *a, const char *text) { (void)text; a->json = true; return true; }
static bool set_shadow(struct arguments *a, const char *text) { (void)text; a->shadow = true; return true; }
static bool set_close_old(struct arguments *a, const char *text) { (void)text; a->close_old = true; return true; }
static bool set_now(struct arguments *a, const char *text) { (void)text; a->now = true; return true; }
/* clang-format on */

/* To add one: a line here, and its bit in the table of commands at the end. */
enum option_bit {
  TAKES_CONFIG = 1, /* the settings of runtime/config */
  TAKES_LISTEN = 2,
  TAKES_TO = 4,
  TAKES_TARGET = 8, /* --pid-file and --socket of another process */
  TAKES_NOW = 16,
  TAKES_SCRIPT = 32,
  TAKES_CANARY = 64,
  TAKES_PRINT = 128,
  TAKES_JSON = 256
};
static const struct command_option {
  const char *name;
  enum option_bit bit;
  bool (*set)(struct arguments *a, const char *text);
  const char *wants; /* NULL: it takes no value */
} command_options[] = {
    {"--listen", TAKES_LISTEN, set_listen, "an address"},
    {"--to", TAKES_TO, set_to, "addresses"},
    {"--canary", TAKES_CANARY, set_canary, "a share such as 5%"},
    {"--shadow", TAKES_CANARY, set_shadow, NULL},
    {"--close-old", TAKES_CANARY, set_close_old, NULL},
    {"--for", TAKES_CANARY, set_for, "a time such as 30s, 500ms or 2m"},
    {"--max-errors", TAKES_CANARY, set_max_errors, "a share such as 1%"},
    {"--pid-file", TAKES_TARGET, set_pid_file, "a path"},
    {"--socket", TAKES_TARGET, set_socket, "a path"},
    {"--print-config", TAKES_PRINT, set_print, NULL},
    {"--now", TAKES_NOW, set_now, NULL},
    {"--json", TAKES_JSON, set_json, NULL},
};

static const struct command_option *find_option(const char *name, unsigned taken) {
  for (size_t i = 0; i < sizeof command_options / sizeof *command_options; i++)
    if (strcmp(command_options[i].name, name) == 0 && (command_options[i].bit & taken))
      return &command_options[i];
  return NULL;
}

static int unknown_option(const char *name, unsigned taken) {
  bool takes_any = false;
  fprintf(stderr, "perilune: unknown option %s; ", name);
  for (size_t i = 0; i < sizeof command_options / sizeof *command_options; i++) {
    if (!(command_options[i].bit & taken)) continue;
    fprintf(stderr, "%s%s", takes_any ? ", " : "valid are ", command_options[i].name);
    takes_any = true;
  }
  for (int i = 0; i < CONFIG_COUNT && (taken & TAKES_CONFIG); i++, takes_any = true) {
    char option[CONFIG_OPTION_BYTES];
    fprintf(stderr, "%s%s", takes_any ? ", " : "valid are ", config_option(i, option));
  }
  fprintf(stderr, "%s; see 'perilune help'\n", takes_any ? "" : "this command takes none");
  return EXIT_BAD_INPUT;
}

/* A setting at *words; moves to its last word. */
static int read_setting(struct arguments *a, char ***words, int id) {
  const char *name = **words, *text = "true";
  char *why = NULL;
  if (!config_is_flag(id)) text = *++*words;
  if (!text) return misuse("a value is missing behind ", name);
  if (config_set(&a->config, name, text, CONFIG_FROM_COMMAND_LINE, NULL, &why)) return 0;
  misuse(why, "");
  free(why);
  return EXIT_BAD_INPUT;
}

/* Reads the option at *words and moves to its last word. 0: fine; else the exit code. */
static int read_option(struct arguments *a, char ***words, unsigned taken) {
  const char *name = **words;
  int id = taken & TAKES_CONFIG ? config_find(name) : -1;
  if (id >= 0) return read_setting(a, words, id);
  const struct command_option *option = find_option(name, taken);
  if (strchr(name, '=')) return misuse("the value of an option is the word behind it, unlike in ", name);
  if (!option) return unknown_option(name, taken);
  if (!option->wants) return option->set(a, NULL) ? 0 : EXIT_BAD_INPUT;
  const char *value = *++*words;
  if (!value) return misuse("a value is missing behind ", name);
  if (option->set(a, value)) return 0;
  fprintf(stderr, "perilune: %s wants %s, not %s; see 'perilune help'\n", name, option->wants, value);
  return EXIT_BAD_INPUT;
}

/* "-" alone is no option, and no script either: that is a file, which a reload reads again. */
static int read_arguments(struct arguments *a, char **words, unsigned taken) {
  for (; *words; words++) {
    bool is_option = **words == '-';
    int code = is_option ? read_option(a, &words, taken) : 0;
    if (code) return code;
    if (is_option) continue;
    if (a->script || !(taken & TAKES_SCRIPT)) return misuse("one argument too many: ", *words);
    a->script = *words;
  }
  return 0;
}

/* --- commands ------------------------------------------------------------------------------------------- */

static struct policy_source lua_source(struct arguments *a) {
  return (struct policy_source){&lua_policy, a->script, a->script};
}

static struct server_options server_options(struct arguments *a, struct policy_source source) {
  return (struct server_options){
      .source = source, .config = &a->config, .arguments = a->words, .print_config = a->print_config};
}

static int run(struct arguments *a) {
  if (!a->script) return misuse("run wants a SCRIPT", "");
  struct server_options options = server_options(a, lua_source(a));
  return server_run(&options);
}

static int check(struct arguments *a) {
  if (!a->script) return misuse("check wants a SCRIPT", "");
  struct policy_source source = lua_source(a);
  int code = server_check(&source, &a->config);
  if (code == 0) printf("%s: fine\n", a->script);
  return code;
}

static int proxy(struct arguments *a) {
  if (!a->listen || !a->to) return misuse("proxy wants --listen ADDR and --to ADDR,...", "");
  struct forward_options forward = {str_of(a->listen), str_of(a->to)};
  struct server_options options =
      server_options(a, (struct policy_source){&forward_policy, &forward, "proxy"});
  return server_run(&options);
}

static int tell(struct arguments *a, const char *line) {
  struct client_target target = {a->socket, a->pid_file};
  return client_command(&target, line);
}

static int reload(struct arguments *a) {
  char line[96];
  if (a->shadow + a->close_old + (a->canary > 0) > 1)
    return misuse("one of --canary, --shadow and --close-old at a time", "");
  if (a->has_time && !a->canary && !a->shadow) return misuse("--for belongs to --canary or --shadow", "");
  if (a->has_max_errors && !a->canary) return misuse("--max-errors belongs to --canary", "");
  if (a->close_old) return tell(a, "close old");
  if (!a->canary && !a->shadow) return tell(a, "reload");
  if (a->shadow)
    snprintf(line, sizeof line, "reload shadow %u", a->for_ms);
  else
    snprintf(line, sizeof line, "reload canary %u %u %u", a->canary, a->for_ms, a->max_errors);
  return tell(a, line);
}
static int stop(struct arguments *a) { return tell(a, a->now ? "stop now" : "stop"); }
static int upgrade(struct arguments *a) { return tell(a, "upgrade"); }
static int status(struct arguments *a) { return tell(a, a->json ? "status json" : "status"); }

static int version(struct arguments *a) {
  (void)a;
  puts("perilune " PERILUNE_VERSION);
  return EXIT_FINE;
}

static int help(struct arguments *a) {
  (void)a;
  fputs(usage, stdout);
  config_help(stdout);
  return EXIT_FINE;
}

enum { TAKES_SERVER = TAKES_CONFIG | TAKES_PRINT };

static const struct command {
  const char *name;
  int (*run)(struct arguments *a);
  unsigned takes; /* enum option_bit */
} commands[] = {
    {"run", run, TAKES_SERVER | TAKES_SCRIPT},
    {"proxy", proxy, TAKES_SERVER | TAKES_LISTEN | TAKES_TO},
    {"check", check, TAKES_SCRIPT | TAKES_CONFIG},
    {"reload", reload, TAKES_TARGET | TAKES_CANARY},
    {"stop", stop, TAKES_TARGET | TAKES_NOW},
    {"upgrade", upgrade, TAKES_TARGET},
    {"status", status, TAKES_TARGET | TAKES_JSON},
    {"version", version, 0},
    {"--version", version, 0},
    {"help", help, 0},
    {"--help", help, 0},
    {"-h", help, 0},
};

static bool asks_for_help(char **words) {
  for (; *words; words++)
    if (strcmp(*words, "--help") == 0 || strcmp(*words, "-h") == 0) return true;
  return false;
}

static int dispatch(struct arguments *a) {
  char **words = a->words;
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(words[1], commands[i].name) != 0) continue;
    if (asks_for_help(words + 2)) return help(a);
    int code = read_arguments(a, words + 2, commands[i].takes);
    return code ? code : commands[i].run(a);
  }
  return misuse("unknown command ", words[1]);
}

int main(int count, char **words) {
  struct arguments a = {.words = words, .for_ms = 30000, .max_errors = 100};
  if (count < 2) return misuse("a command is missing", "");
  if (strcmp(words[1], "test") == 0) return testing_main(words + 2); /* its options are busted's */
  memory_begin();
  config_init(&a.config);
  int code = dispatch(&a);
  config_free(&a.config);
  return code;
}
