// SPDX-License-Identifier: Apache-2.0
// words: the commands and options of the command line, with their texts, as two tables. The parser (arguments), the
// help and the man page all use them. The settings of the process are in runtime/config.
//
// To add an option: a line in words.c, and its member in struct arguments. To add a command: its id here, its entry in
// words.c, and its function in main.c.
#ifndef PERILUNE_CLI_WORDS_H
#define PERILUNE_CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum command_id {
  COMMAND_RUN,
  COMMAND_PROXY,
  COMMAND_FILES,
  COMMAND_CHECK,
  COMMAND_TEST,
  COMMAND_RELOAD,
  COMMAND_UPGRADE,
  COMMAND_STATUS,
  COMMAND_BACKEND,
  COMMAND_LOG_LEVEL,
  COMMAND_PS,
  COMMAND_PROFILE,
  COMMAND_TRACE,
  COMMAND_TOP,
  COMMAND_RECORD,
  COMMAND_REPLAY,
  COMMAND_REPL,
  COMMAND_PURGE,
  COMMAND_BUNDLE,
  COMMAND_HASH,
  COMMAND_STOP,
  COMMAND_VERSION,
  COMMAND_HELP,
  COMMAND_COUNT
};

struct command_words {
  const char *name;
  const char *operands; /* what stands behind it: "SCRIPT", "SET ADDRESS": so many words; "": none may */
  const char *usage;    /* in the overview, all that is needed behind the name */
  const char *summary;  /* one line, lower case, no full stop */
  const char *text;     /* sentences, in lines that end with \n; "" */
  enum { NO_SETTINGS, HAS_SETTINGS } settings; /* those of runtime/config? */
};
extern const struct command_words command_words[COMMAND_COUNT];

enum option_kind {
  OPTION_ON,    /* bool: takes no value */
  OPTION_TEXT,  /* const char * */
  OPTION_LIST,  /* struct text_list: may be given several times */
  OPTION_SHARE, /* unsigned, of 10,000: "5%" */
  OPTION_TIME,  /* unsigned, ms: "30s" */
  OPTION_PID    /* int */
};

struct option_words {
  const char *name;  /* "--listen" */
  const char *value; /* "ADDR"; NULL: it takes none */
  unsigned commands; /* OF(RUN) | ...: which take it */
  enum option_kind kind;
  size_t member;    /* of struct arguments */
  const char *what; /* in one line */
};
enum { OPTION_COUNT = 76 };
extern const struct option_words option_words[OPTION_COUNT];

bool words_take_option(enum command_id command, int option);
bool words_take_settings(enum command_id command);
/* Does the command take that setting of runtime/config? Those that say how a process serves are not check's. */
bool words_take_setting(enum command_id command, int setting);
/* What a value of that kind is, for a message; NULL: anything. */
const char *option_wants(enum option_kind kind);

/* Of all commands: signals, addresses, exit codes; in lines. */
extern const char words_addresses[], words_signals[], words_exit_codes[];

#endif
