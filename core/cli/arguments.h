// SPDX-License-Identifier: Apache-2.0
// arguments: reads the words of a command line into one struct, or says which word is wrong and what would be right.
#ifndef PERILUNE_CLI_ARGUMENTS_H
#define PERILUNE_CLI_ARGUMENTS_H

#include <stdbool.h>

#include "cli/words.h"
#include "runtime/config.h"

enum { OPERANDS_MOST = 4 };

struct text_list {
  const char **items; /* owned array of borrowed texts */
  unsigned count;
};

/* Of purge: one of them. */
struct purge_words {
  const char *url, *prefix, *tag;
  bool all, soft;
};

/* Of help: what is printed for others to read. */
struct help_words {
  const char *completion;
  bool man;
};

/* Of files. */
struct files_words {
  const char *index;
  bool list, hidden;
};

/* Of run: where the policy comes from. */
struct bundle_from {
  const char *url, *key, *dir, *node;
  const char *ca, *token_file, *certificate, *certificate_key;
  unsigned every_ms;
};

/* Of bundle: how one is made. */
struct bundle_make {
  const char *key, *version, *main, *stages;
};

/* Of trace alone. */
struct trace_arguments {
  const char *status, *slower, *client, *count;
  bool no_fields, recent;
};

/* Of proxy: how its peers are spoken to. */
struct peer_words {
  const char *ca;
  bool insecure, change_host;
};

/* Of proxy --domain. */
struct acme_arguments {
  struct text_list domain;
  const char *email, *directory;
  bool staging;
};

/* Of profile, record and replay. */
struct looking {
  const char *policy, *against;
  unsigned share; /* of 10,000 */
  bool folded, wait;
};

struct arguments {
  struct config config;
  char **words; /* borrowed: all, the program's name first */
  const char
      *operands[OPERANDS_MOST + 1]; /* SCRIPT, or the command that help is about, or what an action is for */
  const char *operand;              /* the first; NULL: none */
  unsigned operand_count;
  bool given[OPTION_COUNT];
  struct text_list listen, to, match, trusted_proxies, points;
  const char *tls_cert, *tls_key, *health, *cache;
  struct help_words help;
  struct purge_words purge;
  struct files_words files;
  struct trace_arguments trace;
  struct bundle_from from;
  struct bundle_make make;
  const char *pid_file, *socket, *output, *worker, *method;
  int pid;
  unsigned canary, for_ms, max_errors; /* of 10,000; ms; of 10,000 */
  struct peer_words peers;
  bool compress;
  struct acme_arguments acme;
  bool shadow, close_old, abort, strict, now, forget, print_config, json;
  struct looking look;
};

/* `words` as main gets them. */
void arguments_init(struct arguments *a, int count, char **words);
void arguments_free(struct arguments *a);
/* Which command the word is; COMMAND_COUNT: none, and that was said. -h, --help, -v, -V, --version are words, too. */
enum command_id arguments_command(const char *word);
/* Reads what stands behind the command. False: what is wrong was said. */
bool arguments_read(struct arguments *a, enum command_id command, char **words);
/* Does one of the words ask for help? */
bool arguments_ask_for_help(char **words);
/* Was the option given whose member this is? */
bool arguments_has(const struct arguments *a, const char *option);

/* "perilune: WHAT; see 'perilune help COMMAND'" to standard error. COMMAND_COUNT: of none. Returns the exit code. */
int arguments_refuse(enum command_id command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Refuses --tls-cert without --tls-key, and the reverse. False: it has. */
bool arguments_check_tls(const struct arguments *a, enum command_id command);

#endif
