// SPDX-License-Identifier: Apache-2.0
// config: the settings of the process, as one table: each can be set on the command line (--pid-file F) and
// by the policy (perilune.configure{pid_file = "F"}); the command line overrides the policy. Settings of a
// listener or a peer are in exchange/settings.h and exchange/peer.h. To add one: a member, and its line in
// CONFIG_TABLE.
#ifndef PERILUNE_RUNTIME_CONFIG_H
#define PERILUNE_RUNTIME_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

/* X(member, kind, default, what it is). Kinds: COUNT a whole number above 0, or auto (0); SECONDS kept in ms;
 * FILE, NAME, ADDR, LOG, REQUESTS (a log of requests, with a format): texts; FLAG; LEVEL.
 */
#define CONFIG_TABLE(X)                                                                                      \
  X(workers, COUNT, "auto", "worker threads; auto: one for each core")                                       \
  X(grace, SECONDS, "30", "seconds in which a graceful stop ends")                                           \
  X(upgrade_grace, SECONDS, "3600", "seconds in which the old process ends after an upgrade")                \
  X(drain, SECONDS, "30",                                                                                    \
    "seconds that an old policy's background work has after a reload; requests still on it are only "        \
    "reported")                                                                                              \
  X(reload_timeout, SECONDS, "10",                                                                           \
    "seconds within which the workers must switch; after that, a reload says which have not")                \
  X(upgrade_timeout, SECONDS, "60", "seconds within which the new process must serve, or the upgrade fails") \
  X(low_latency, FLAG, "false", "under load, serve at once instead of collecting events for up to 0.1 ms")   \
  X(watch, FLAG, "false", "reload when a file of the policy changes")                                        \
  X(repl, FLAG, "false", "let root and this user evaluate Lua in the workers: perilune repl")                \
  X(daemon, FLAG, "false", "continue in the background once the policy serves")                              \
  X(pid_file, FILE, "", "file with the process id")                                                          \
  X(socket, FILE, "", "path of the command socket; empty: an abstract one")                                  \
  X(user, NAME, "", "user to become once the listeners are open")                                            \
  X(group, NAME, "", "group to become; empty: the user's")                                                   \
  X(admin, ADDR, "", "loopback address or unix:/path of the status page and /metrics")                       \
  X(admin_public, FLAG, "false", "admin may be an address that others can reach")                            \
  X(error_log, LOG, "stderr", "a file, stderr or syslog")                                                    \
  X(access_log, REQUESTS, "", "a file, stdout, stderr or syslog; with :json after it, lines of JSON")        \
  X(log_level, LEVEL, "info", "debug, info, warn or error")

enum config_id {
#define X(member, kind, fallback, what) CONFIG_##member,
  CONFIG_TABLE(X)
#undef X
      CONFIG_COUNT
};

enum config_origin { CONFIG_FROM_DEFAULT, CONFIG_FROM_POLICY, CONFIG_FROM_COMMAND_LINE };

/* A text of any kind is kept as text as well, for printing. */
struct config_value {
  char *text;      /* owned, never NULL once initialised */
  unsigned number; /* COUNT; ms of SECONDS; LEVEL; 0 or 1 of FLAG */
  enum config_origin origin;
  char *place; /* owned; "policy.lua:3", NULL where there is none */
};

struct config {
  struct config_value values[CONFIG_COUNT];
};

void config_init(struct config *config);
void config_free(struct config *config);

/* `name` as the policy writes it ("pid_file") or as the command line does ("--pid-file"). A value that came
 * from a higher origin stays. False: *why is a malloc'd message that names the setting and what is valid. */
bool config_set(struct config *config, const char *name, const char *text, enum config_origin origin,
                const char *place, char **why);
/* -1: unknown. */
int config_find(const char *name);
bool config_is_flag(int id);
const char *config_name(int id);
/* As the command line has it, "--pid-file"; in `text`, which is returned. */
enum { CONFIG_OPTION_BYTES = 32 };
const char *config_option(int id, char text[CONFIG_OPTION_BYTES]);
/* As it was set: "--pid-file" on the command line, else "pid_file". */
const char *config_said(const struct config *config, int id, char text[CONFIG_OPTION_BYTES]);
/* As far as can be told without opening anything: are there the user, the group, and the folders of files? False:
 * *why is a malloc'd message. */
bool config_check(const struct config *config, char **why);
/* The same of one target of a log: a path, or stderr, stdout, syslog. `name` is for the message. */
bool config_check_log(const char *name, const char *target, char **why);

/* How many workers there are to be: as it says, or one for each core. */
unsigned config_workers(const struct config *config);

static inline unsigned config_number(const struct config *c, enum config_id id) {
  return c->values[id].number;
}
/* NULL where it is empty. */
static inline const char *config_text(const struct config *c, enum config_id id) {
  return c->values[id].text[0] ? c->values[id].text : NULL;
}
/* Each with its value and where that came from. */
void config_print(const struct config *config, FILE *out);
/* Those that the command line has set, as a call of perilune.configure; nothing where there are none. */
void config_print_script(const struct config *config, FILE *out);
/* For help: what the value is ("TIME"), where it is none of a flag; the default, ""; and what the setting is. */
const char *config_value_word(int id);
const char *config_fallback(int id);
const char *config_what(int id);

#endif
