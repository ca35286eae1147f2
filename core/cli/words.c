// SPDX-License-Identifier: Apache-2.0
// words: see words.h. Texts are for a terminal of 100 columns.
#include "cli/words.h"

#include "base/duration.h"
#include "cli/arguments.h"

const struct command_words command_words[COMMAND_COUNT] = {
    [COMMAND_RUN] = {"run", "SCRIPT", "SCRIPT", "serve by a policy",
                     "Runs in the foreground until it is stopped. The log goes to standard error.\n",
                     HAS_SETTINGS},
    [COMMAND_PROXY] = {"proxy", "", "--listen ADDR --to ADDR", "forward without a script, round robin",
                       "Peers that fail are left out for a while, and a request that no peer has handled is "
                       "tried at another\n"
                       "one; with --health, peers are asked every second, too. 'perilune proxy ... "
                       "--print-config' prints the\n"
                       "script that does the same: save it, change it, run it by 'perilune run'.\n",
                       HAS_SETTINGS},
    [COMMAND_CHECK] =
        {"check", "SCRIPT", "SCRIPT", "compile and validate a policy, open nothing",
         "Says 'SCRIPT: fine', or what is wrong in which line (exit code 2). Settings are for what is "
         "checked\nwith them: files, users and addresses. A proxy that runs is not disturbed.\n",
         HAS_SETTINGS},
    [COMMAND_TEST] =
        {"test", "[SPEC...]", "[SPEC...]", "test policies with busted and the API of the proxy",
         "A SPEC is a file, or a folder whose files *_spec.lua are run. Without SPEC: all *_spec.lua here\n"
         "and in the folder 'spec'. With --watch they run again whenever a spec, a policy or a module is\n"
         "saved. All other words behind 'test' go to busted (Debian's lua-busted), such as\n"
         "--filter=PATTERN; see 'busted --help'.\n",
         NO_SETTINGS},
    [COMMAND_RELOAD] =
        {"reload", "", "", "load the policy of a running proxy again",
         "Waits, and says what came of it: all workers switch to the new policy, or none does.\n",
         NO_SETTINGS},
    [COMMAND_UPGRADE] =
        {"upgrade", "", "", "replace a running proxy by the program file as it is now",
         "The new process takes over the sockets: no connection is refused or lost. The old one goes on\n"
         "to serve if the new one cannot. Dictionaries, rates and counters of the policy begin anew in the\n"
         "new one: a maintenance switch that is on is off again.\n",
         NO_SETTINGS},
    [COMMAND_STATUS] =
        {"status", "", "", "what a running proxy serves, how fast, and what goes wrong",
         "One look at what --admin shows as a page: requests, workers, backends, limits, errors.\n",
         NO_SETTINGS},
    [COMMAND_STOP] = {"stop", "", "", "end a running proxy once it has answered what is under way",
                      "Waits for the end, at most for the proxy's --grace; older processes that upgrades "
                      "have left end, too.\n",
                      NO_SETTINGS},
    [COMMAND_VERSION] = {"version", "", "", "the version; also -v, -V and --version", "", NO_SETTINGS},
    [COMMAND_HELP] = {"help", "[COMMAND]", "[COMMAND]",
                      "this, or the options of a command; also COMMAND --help", "", NO_SETTINGS},
};

#define OF(id)       (1u << COMMAND_##id)
#define TARGET       (OF(RELOAD) | OF(UPGRADE) | OF(STATUS) | OF(STOP))
#define MEMBER(name) offsetof(struct arguments, name)

/* A command that takes settings has --pid-file and --socket among these. */
const struct option_words option_words[OPTION_COUNT] = {
    {"--listen", "ADDR", OF(PROXY), OPTION_LIST, MEMBER(listen),
     "where to listen; may be given several times. With --tls-cert that is by TLS, but for http://ADDR"},
    {"--to", "ADDR", OF(PROXY), OPTION_LIST, MEMBER(to),
     "where to forward to; several times, or a list with commas; https://HOST[:PORT] is by TLS,"
     " h2://HOST[:PORT] by TLS and HTTP/2, h2c:// HTTP/2 without TLS"},
    {"--health", "PATH", OF(PROXY), OPTION_TEXT, MEMBER(health),
     "ask each peer for PATH every second; one that does not answer 200 is left out until it does"},
    {"--tls-cert", "FILE", OF(PROXY), OPTION_TEXT, MEMBER(tls_cert),
     "certificate (PEM, with its chain): serve clients by TLS"},
    {"--tls-key", "FILE", OF(PROXY), OPTION_TEXT, MEMBER(tls_key), "its key (PEM)"},
    {"--ca", "FILE", OF(PROXY), OPTION_TEXT, MEMBER(ca),
     "who may have signed the certificates of https:// peers (PEM); else the system's store says so"},
    {"--insecure-skip-verify", NULL, OF(PROXY), OPTION_ON, MEMBER(insecure),
     "do not verify the certificates of https:// peers: anybody in between can read and change all"},
    {"--change-host", NULL, OF(PROXY), OPTION_ON, MEMBER(change_host),
     "the peer gets its own name in Host, not the one that the client has asked for"},
    {"--compress", NULL, OF(PROXY), OPTION_ON, MEMBER(compress),
     "compress responses for clients that accept it: zstd, br or gzip"},
    {"--print-config", NULL, OF(RUN) | OF(PROXY), OPTION_ON, MEMBER(print_config),
     "print what is in effect instead of serving: of run the settings, of proxy a script"},
    {"--canary", "SHARE", OF(RELOAD), OPTION_SHARE, MEMBER(canary),
     "on trial: that share of the requests first, for instance 5%, then all or none"},
    {"--shadow", NULL, OF(RELOAD), OPTION_ON, MEMBER(shadow),
     "dry: on copies of request heads; says what would be decided otherwise"},
    {"--for", "TIME", OF(RELOAD), OPTION_TIME, MEMBER(for_ms), "how long a --canary or --shadow takes (30s)"},
    {"--max-errors", "SHARE", OF(RELOAD), OPTION_SHARE, MEMBER(max_errors),
     "how far the error share on trial may exceed the present one (1%)"},
    {"--abort", NULL, OF(RELOAD), OPTION_ON, MEMBER(abort),
     "end the canary, the shadow or the load that is under way; the policy in force stays"},
    {"--close-old", NULL, OF(RELOAD), OPTION_ON, MEMBER(close_old),
     "load nothing: close the connections that still use older policies"},
    {"--json", NULL, OF(STATUS), OPTION_ON, MEMBER(json), "all of it as JSON, for programs"},
    {"--now", NULL, OF(STOP), OPTION_ON, MEMBER(now), "without waiting for what is under way"},
    {"--pid", "PID", TARGET, OPTION_PID, MEMBER(pid), "the running proxy with that process id"},
    {"--pid-file", "FILE", TARGET, OPTION_TEXT, MEMBER(pid_file), "the one that has written that file"},
    {"--socket", "PATH", TARGET, OPTION_TEXT, MEMBER(socket),
     "the one whose command socket that is; without these three: the only one that runs"},
    {"--man", NULL, OF(HELP), OPTION_ON, MEMBER(man), "all of it as the source of a man page"},
};

bool words_take_option(enum command_id command, int option) {
  return option_words[option].commands >> command & 1;
}

bool words_take_settings(enum command_id command) { return command_words[command].settings == HAS_SETTINGS; }

bool words_take_setting(enum command_id command, int setting) {
  bool serves = setting == CONFIG_daemon || setting == CONFIG_watch;
  return words_take_settings(command) && !(command == COMMAND_CHECK && serves);
}

const char *option_wants(enum option_kind kind) {
  switch (kind) {
  case OPTION_SHARE: return "a share such as 5%";
  case OPTION_TIME: return DURATION_WORDS;
  case OPTION_PID: return "the id of a process";
  case OPTION_ON:
  case OPTION_TEXT:
  case OPTION_LIST: break;
  }
  return NULL;
}

const char words_addresses[] = "An address ADDR is host:port, [::1]:port or unix:/path. To listen on, :port "
                               "is every address of this machine,\n"
                               "and localhost:port is 127.0.0.1. To connect to, port or :port is this "
                               "machine, and a host may be a name.\n"
                               "For proxy, http://host without a port is port 80, https://host is 443.\n"
                               "A TIME is 30 (seconds), 500ms, 5m or 1h.\n";

const char words_signals[] =
    "Signals: TERM stops gracefully, INT at once, HUP reloads, USR1 opens log files again, USR2 upgrades,\n"
    "QUIT drains: it stops listening, and ends with the last connection.\n";

const char words_exit_codes[] =
    "Exit codes: 0 fine, 1 failed, 2 wrong input (the message names file, line or option).\n";
