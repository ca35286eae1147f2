// SPDX-License-Identifier: Apache-2.0
// words: see words.h. Texts are for a terminal of 100 columns.
#include "cli/words.h"

#include "base/duration.h"
#include "cli/arguments.h"

const struct command_words command_words[COMMAND_COUNT] = {
    [COMMAND_RUN] = {"run", "SCRIPT", "SCRIPT", "serve with a policy",
                     "Runs in the foreground until it is stopped. The log goes to standard error.\n",
                     HAS_SETTINGS},
    [COMMAND_PROXY] =
        {"proxy", "", "--listen ADDR --to ADDR", "forward without a script, round robin",
         "A peer that fails is not used for a while, and a request that no peer has handled is sent to\n"
         "another one. With --health, peers are also checked every second. 'perilune proxy ...\n"
         "--print-config' prints a script that does the same: save it, change it, and run it with\n"
         "'perilune run'.\n",
         HAS_SETTINGS},
    [COMMAND_FILES] =
        {"files", "DIR", "DIR --listen ADDR", "serve the files of a folder",
         "GET and HEAD, with ranges, conditional requests, types by the end of the name, and files of .zst,\n"
         ".br and .gz beside a file for clients that accept them. Nothing outside of DIR is served,\n"
         "wherever a link leads, and no name that begins with a dot. 'perilune files ... --print-config'\n"
         "prints a script that does the same.\n",
         HAS_SETTINGS},
    [COMMAND_CHECK] =
        {"check", "SCRIPT", "SCRIPT", "load a policy and look for mistakes, without opening anything",
         "Says 'SCRIPT: fine', or what is wrong in which line (exit code 2). What may be meant is a "
         "warning:\n"
         "'SCRIPT: fine, with 2 warnings'. The settings are checked, too: files, users and addresses. A\n"
         "running proxy is not disturbed.\n",
         HAS_SETTINGS},
    [COMMAND_TEST] =
        {"test", "[SPEC...]", "[SPEC...]", "test policies with busted and the API of the proxy",
         "A SPEC is a file, or a folder whose files *_spec.lua are run. Without SPEC: all *_spec.lua here\n"
         "and in the folder 'spec'. With --watch they run again whenever a spec, a policy or a module is\n"
         "saved. All other words after 'test' are passed to busted (Debian's lua-busted), such as\n"
         "--filter=PATTERN; see 'busted --help'.\n",
         NO_SETTINGS},
    [COMMAND_RELOAD] =
        {"reload", "", "", "load the policy of a running proxy again",
         "Waits for the result and prints it: all workers switch to the new policy, or none does. What\n"
         "'perilune check' would find is a warning here: the policy is used anyway, unless --strict is "
         "given.\n",
         NO_SETTINGS},
    [COMMAND_UPGRADE] =
        {"upgrade", "", "", "replace a running proxy by the program file as it is now",
         "The new process takes over the sockets: no connection is refused or lost. If the new one\n"
         "cannot serve, the old one goes on. Dictionaries, rates and counters of the policy are empty in "
         "the\n"
         "new process: a maintenance switch that was on is off.\n",
         NO_SETTINGS},
    [COMMAND_STATUS] = {"status", "", "", "what a running proxy serves, how fast, and what goes wrong",
                        "Prints what --admin shows as a page: requests, workers, backends, limits, errors.\n",
                        NO_SETTINGS},
    [COMMAND_BACKEND] =
        {"backend", "ACTION SET ADDRESS WEIGHT", "ACTION [SET] [ADDRESS]",
         "drain, disable, enable or weigh a backend",
         "list [SET]                   shows the backends, and what was said of them\n"
         "drain [SET] ADDRESS          gives it no new requests, and waits until those it has have ended\n"
         "disable [SET] ADDRESS        the same, without waiting\n"
         "enable [SET] ADDRESS         puts it back\n"
         "weight [SET] ADDRESS WEIGHT  a share of the requests in proportion to this, 1 to 65535\n"
         "\n"
         "SET may be left out if one set alone has the address. What is said holds over reloads and "
         "upgrades.\n"
         "'perilune backend --forget [SET] [ADDRESS]' takes it back: what the policy says holds again.\n",
         NO_SETTINGS},
    [COMMAND_LOG_LEVEL] = {"log-level", "LEVEL", "[LEVEL]",
                           "show or change the level of a running proxy's error log",
                           "LEVEL is debug, info, warn or error, or default: as configured. It holds over "
                           "reloads, but not over an\n"
                           "upgrade.\n",
                           NO_SETTINGS},
    [COMMAND_PS] = {"ps", "", "", "which proxies run here, and how commands name them",
                    "Of proxies of other users it says no more than that they run. Those in other network\n"
                    "namespaces are not found.\n",
                    NO_SETTINGS},
    [COMMAND_PROFILE] = {"profile", "", "[--for TIME] [-o FILE]",
                         "where the hooks of a running proxy spend their time, by line",
                         "Samples the policy for a while (10s), in all workers, as compiled code too, and "
                         "prints the lines that took\n"
                         "most. With -o, a flame graph is written: an SVG file for a browser, in which a "
                         "click zooms in. The proxy\n"
                         "serves on; while it is not profiled, nothing is measured.\n",
                         NO_SETTINGS},
    [COMMAND_TRACE] = {"trace", "", "", "look on at the requests of a running proxy, step by step",
                       "Prints each request when it has ended: its hooks and what they waited for, the peers "
                       "that were asked and\n"
                       "why they failed, retries, the cache, times, bytes and fields. Ends with Ctrl-C. "
                       "Secrets are not shown:\n"
                       "credentials, cookies, and whatever has a name like one of a secret. If they come "
                       "faster than they are\n"
                       "read, some are left out, and counted; the proxy does not wait.\n",
                       NO_SETTINGS},
    [COMMAND_TOP] =
        {"top", "", "", "watch a running proxy in the terminal",
         "Draws rates, statuses and latencies of the last minute, and tables of backends, hooks, "
         "listeners, workers,\n"
         "failures and routes. Keys: q quits, Tab shows the next table, s sorts by the next column, "
         "r turns the order\n"
         "round, / filters, p pauses, arrows scroll. For the routes requests are looked on at, as "
         "by trace, while that\n"
         "table is shown.\n",
         NO_SETTINGS},
    [COMMAND_RECORD] =
        {"record", "", "[--for TIME] -o FILE", "record requests of a running proxy, for 'perilune replay'",
         "The file has heads, bodies up to 64 KiB, and the heads of the peers' answers. Secrets, such as\n"
         "cookies and tokens, are replaced before it is written. The proxy never waits for it: what\n"
         "cannot be written fast enough is lost, and counted. Ctrl-C ends it.\n",
         NO_SETTINGS},
    [COMMAND_REPLAY] =
        {"replay", "FILE", "FILE --policy SCRIPT", "what a policy would have done with recorded requests",
         "Runs its hooks without a network, in the time of the recording, and compares what they decide\n"
         "with what the recording says, or with another policy (--against): answers, peers, changed\n"
         "fields, errors, waits. Exit codes: 0 the same, 1 something differs, 2 it could not be done.\n",
         NO_SETTINGS},
    [COMMAND_REPL] =
        {"repl", "[CODE]", "[CODE]", "evaluate Lua in a running proxy that was started with --repl",
         "In the VM of one worker: its globals, and the locals of the policy's main chunk that its hooks "
         "use; a\nname that is assigned stays until the policy is loaded again. Without CODE it asks for "
         "lines, until\ntheir end (Ctrl-D). hook_time and memory_limit hold, each use is logged.\n",
         NO_SETTINGS},
    [COMMAND_PURGE] =
        {"purge", "[CACHE]", "[CACHE] --url URL", "let the cache of a running proxy forget responses",
         "One of --url, --prefix, --tag and --all says which. CACHE is the name of a cache; without it, all "
         "caches\nof the proxy are meant. It takes the same short time for one response and for a million.\n",
         NO_SETTINGS},
    [COMMAND_BUNDLE] = {"bundle", "DIR", "DIR --key KEY -o FILE",
                        "make a signed bundle of policy files, for 'run --bundle'",
                        "Takes all files in DIR but hidden ones. The key is one of Ed25519: 'openssl genpkey "
                        "-algorithm ed25519\n"
                        "-out KEY', and 'openssl pkey -in KEY -pubout -out KEY.pub' for the proxies. The "
                        "same files and options\n"
                        "make the same bundle. A proxy takes a version only if it is higher than the one "
                        "that runs: to go back,\n"
                        "make a bundle of the old files with a new version.\n",
                        NO_SETTINGS},
    [COMMAND_HASH] =
        {"hash-password", "[NAME]", "[NAME]", "make the hash of a password, for perilune.basic_auth",
         "Asks for it in the terminal, or reads it as the one line of standard input. With NAME it prints a\n"
         "line for a file of users.\n",
         NO_SETTINGS},
    [COMMAND_STOP] =
        {"stop", "", "", "end a running proxy after its current requests",
         "Waits for the end, at most for the proxy's --grace. Older processes that are left from upgrades "
         "end, too.\n",
         NO_SETTINGS},
    [COMMAND_VERSION] = {"version", "", "", "print the version; also -v, -V and --version", "", NO_SETTINGS},
    [COMMAND_HELP] = {"help", "[COMMAND]", "[COMMAND]",
                      "print this, or the options of a command; also COMMAND --help", "", NO_SETTINGS},
};

#define OF(id) (1u << COMMAND_##id)
#define TARGET                                                                                               \
  (OF(RELOAD) | OF(UPGRADE) | OF(STATUS) | OF(BACKEND) | OF(LOG_LEVEL) | OF(PROFILE) | OF(TRACE) | OF(TOP) | \
   OF(RECORD) | OF(REPL) | OF(PURGE) | OF(STOP))
#define MEMBER(name) offsetof(struct arguments, name)

/* A command that takes settings has --pid-file and --socket among these. */
const struct option_words option_words[OPTION_COUNT] = {
    {"--listen", "ADDR", OF(PROXY) | OF(FILES), OPTION_LIST, MEMBER(listen),
     "where to listen; may be given several times. With --tls-cert it speaks TLS, except for http://ADDR"},
    {"--to", "ADDR", OF(PROXY), OPTION_LIST, MEMBER(to),
     "where to forward to; may be given several times, or as a list with commas; https://HOST[:PORT]: with "
     "TLS, h2://HOST[:PORT]: HTTP/2 with TLS, h2c://: HTTP/2 without TLS"},
    {"--domain", "NAME", OF(PROXY), OPTION_LIST, MEMBER(acme.domain),
     "get certificates for NAME by ACME and renew them; may be given several times. Without --listen it "
     "listens at "
     ":443; what comes to port 80, or to --listen http://ADDR, is sent to https"},
    {"--email", "ADDR", OF(PROXY), OPTION_TEXT, MEMBER(acme.email),
     "where the authority of --domain may write to"},
    {"--staging", NULL, OF(PROXY), OPTION_ON, MEMBER(acme.staging),
     "use the staging authority of Let's Encrypt, whose certificates nobody trusts: for trials"},
    {"--acme-directory", "URL", OF(PROXY), OPTION_TEXT, MEMBER(acme.directory),
     "use another authority than Let's Encrypt"},
    {"--health", "PATH", OF(PROXY), OPTION_TEXT, MEMBER(health),
     "ask each peer for PATH every second; a peer is used only while it answers 200"},
    {"--cache", "SIZE", OF(PROXY), OPTION_TEXT, MEMBER(cache),
     "keep responses that may be shared in so much memory, such as 256M, and answer from there"},
    {"--tls-cert", "FILE", OF(PROXY) | OF(FILES), OPTION_TEXT, MEMBER(tls_cert),
     "certificate (PEM, with its chain) for TLS with clients"},
    {"--tls-key", "FILE", OF(PROXY) | OF(FILES), OPTION_TEXT, MEMBER(tls_key), "its key (PEM)"},
    {"--ca", "FILE", OF(PROXY), OPTION_TEXT, MEMBER(peers.ca),
     "authorities for the certificates of https:// peers (PEM), instead of the system's"},
    {"--insecure-skip-verify", NULL, OF(PROXY), OPTION_ON, MEMBER(peers.insecure),
     "do not verify the certificates of https:// peers: others on the way can read and change all"},
    {"--change-host", NULL, OF(PROXY), OPTION_ON, MEMBER(peers.change_host),
     "send the peer its own name in Host, instead of the client's Host"},
    {"--compress", NULL, OF(PROXY) | OF(FILES), OPTION_ON, MEMBER(compress),
     "compress responses for clients that accept it: zstd, br or gzip"},
    {"--trusted-proxies", "NETWORK", OF(PROXY), OPTION_LIST, MEMBER(trusted_proxies),
     "load balancers in front, such as 10.0.0.0/8, whose X-Forwarded-For or Forwarded says who the client "
     "is; may be "
     "given several times, or as a list with commas"},
    {"--break", "FILE:LINE", OF(RUN), OPTION_LIST, MEMBER(points),
     "in development: stop what comes to that line, and ask in the terminal; everything else goes on. May be "
     "given "
     "several times"},
    {"--worker", "NUMBER", OF(REPL), OPTION_TEXT, MEMBER(worker),
     "in which worker's VM: its number, from 0 (0), or control"},
    {"--method", "METHOD", OF(HASH), OPTION_TEXT, MEMBER(method), "yescrypt, bcrypt or argon2id (yescrypt)"},
    {"--list", NULL, OF(FILES), OPTION_ON, MEMBER(files.list), "list folders that have no index"},
    {"--index", "NAME", OF(FILES), OPTION_TEXT, MEMBER(files.index),
     "the file that stands for its folder (index.html)"},
    {"--hidden", NULL, OF(FILES), OPTION_ON, MEMBER(files.hidden), "serve names that begin with a dot, too"},
    {"--print-config", NULL, OF(RUN) | OF(PROXY) | OF(FILES), OPTION_ON, MEMBER(print_config),
     "do not serve: print the settings in effect (run), or the same as a script (proxy, files)"},
    {"--canary", "SHARE", OF(RELOAD), OPTION_SHARE, MEMBER(canary),
     "try the new policy on this share of the requests first, for instance 5%, then on all or none"},
    {"--shadow", NULL, OF(RELOAD), OPTION_ON, MEMBER(shadow),
     "run the new policy on copies of request heads, and report where it decides differently"},
    {"--for", "TIME", OF(RELOAD), OPTION_TIME, MEMBER(for_ms), "how long a --canary or --shadow takes (30s)"},
    {"--for", "TIME", OF(PROFILE), OPTION_TIME, MEMBER(for_ms), "how long it looks (10s)"},
    {"--for", "TIME", OF(RECORD), OPTION_TIME, MEMBER(for_ms), "for how long (60s)"},
    {"--share", "SHARE", OF(RECORD), OPTION_SHARE, MEMBER(look.share),
     "of so many of the requests, by chance (100%)"},
    {"--policy", "SCRIPT", OF(REPLAY), OPTION_TEXT, MEMBER(look.policy), "the policy that is asked"},
    {"--against", "SCRIPT", OF(REPLAY), OPTION_TEXT, MEMBER(look.against),
     "the policy that it is compared with; without it: what the recording says"},
    {"-o", "FILE", OF(PROFILE) | OF(RECORD), OPTION_TEXT, MEMBER(output), "write it to this file"},
    {"--folded", NULL, OF(PROFILE), OPTION_ON, MEMBER(look.folded),
     "as text instead of SVG: a line for each stack, and its microseconds; without -o, to standard output"},
    {"--wait", NULL, OF(PROFILE), OPTION_ON, MEMBER(look.wait),
     "not the time of the processor, but that for which hooks wait, by the line that waits"},
    {"--max-errors", "SHARE", OF(RELOAD), OPTION_SHARE, MEMBER(max_errors),
     "by how much the trial's share of errors may exceed that of the present policy (1%)"},
    {"--strict", NULL, OF(CHECK) | OF(RELOAD), OPTION_ON, MEMBER(strict),
     "refuse a policy of which check has warnings, too; reload refuses what it otherwise only warns of"},
    {"--abort", NULL, OF(RELOAD), OPTION_ON, MEMBER(abort),
     "end the current canary, shadow or load; the policy in force stays"},
    {"--close-old", NULL, OF(RELOAD), OPTION_ON, MEMBER(close_old),
     "load nothing: close the connections that still use older policies"},
    {"--for", "TIME", OF(BACKEND), OPTION_TIME, MEMBER(for_ms),
     "how long drain waits for the requests that the backend has (30s); then it says how many are left"},
    {"--match", "NAME=PATTERN", OF(TRACE), OPTION_LIST, MEMBER(match),
     "path, host, method, peer or error, as in 'path=/api*'; may be given several times: all must hold"},
    {"--status", "STATUS", OF(TRACE), OPTION_TEXT, MEMBER(trace.status), "503, 5xx or 400-499"},
    {"--slower", "TIME", OF(TRACE), OPTION_TEXT, MEMBER(trace.slower), "those that took so long, or longer"},
    {"--client", "NETWORK", OF(TRACE), OPTION_TEXT, MEMBER(trace.client),
     "an address, or a network such as 10.0.0.0/8"},
    {"--count", "N", OF(TRACE), OPTION_TEXT, MEMBER(trace.count), "end after so many"},
    {"--no-fields", NULL, OF(TRACE), OPTION_ON, MEMBER(trace.no_fields), "leave the fields out"},
    {"--recent", NULL, OF(TRACE), OPTION_ON, MEMBER(trace.recent),
     "show recent failures and the slowest calls of hooks, which are kept, with less detail; and end"},
    {"--forget", NULL, OF(BACKEND), OPTION_ON, MEMBER(forget),
     "take back what was said: of a backend, of a set, or of all; give no ACTION with it"},
    {"--for", "TIME", OF(LOG_LEVEL), OPTION_TIME, MEMBER(for_ms),
     "how long; then the configured level holds again. Without it: until the process ends"},
    {"--json", NULL, OF(STATUS) | OF(BACKEND) | OF(PS) | OF(TRACE), OPTION_ON, MEMBER(json),
     "as JSON, for programs"},
    {"--url", "URL", OF(PURGE), OPTION_TEXT, MEMBER(purge.url),
     "the response to this URL, with all that it varies on"},
    {"--prefix", "URL", OF(PURGE), OPTION_TEXT, MEMBER(purge.prefix),
     "all URLs that begin so, for instance https://a.example/images/; https://a.example: all of that host"},
    {"--tag", "NAME", OF(PURGE), OPTION_TEXT, MEMBER(purge.tag),
     "all responses that have this name in Surrogate-Key, Cache-Tag or Cache-Groups"},
    {"--all", NULL, OF(PURGE), OPTION_ON, MEMBER(purge.all), "everything"},
    {"--soft", NULL, OF(PURGE), OPTION_ON, MEMBER(purge.soft),
     "do not forget them, but take them for stale: the peer is asked whether they are still good"},
    {"--now", NULL, OF(STOP), OPTION_ON, MEMBER(now), "without waiting for current requests"},
    {"--pid", "PID", TARGET, OPTION_PID, MEMBER(pid), "the running proxy with that process id"},
    {"--pid-file", "FILE", TARGET, OPTION_TEXT, MEMBER(pid_file), "the proxy that has written this file"},
    {"--socket", "PATH", TARGET, OPTION_TEXT, MEMBER(socket),
     "the proxy with this command socket; without these three options: the only one that runs"},
    {"--bundle", "URL", OF(RUN), OPTION_TEXT, MEMBER(from.url),
     "run the policy of a signed bundle, which is fetched again and again; without SCRIPT"},
    {"--bundle-key", "FILE", OF(RUN), OPTION_TEXT, MEMBER(from.key),
     "public keys (Ed25519, PEM), one of which must have signed the bundle"},
    {"--bundle-dir", "DIR", OF(RUN), OPTION_TEXT, MEMBER(from.dir),
     "where bundles are unpacked and the last good one is kept (/var/lib/perilune/bundle, or below "
     "$STATE_DIRECTORY)"},
    {"--bundle-ca", "FILE", OF(RUN), OPTION_TEXT, MEMBER(from.ca),
     "authorities (PEM) whose certificates the server of the bundle may show (the system's)"},
    {"--bundle-token-file", "FILE", OF(RUN), OPTION_TEXT, MEMBER(from.token_file),
     "a file with a token, which is sent as Authorization: Bearer; read again when it changes"},
    {"--bundle-cert", "FILE", OF(RUN), OPTION_TEXT, MEMBER(from.certificate),
     "the certificate (PEM) by which the server of the bundle knows this proxy; read again when it changes"},
    {"--bundle-cert-key", "FILE", OF(RUN), OPTION_TEXT, MEMBER(from.certificate_key), "its key (PEM)"},
    {"--bundle-every", "TIME", OF(RUN), OPTION_TIME, MEMBER(from.every_ms),
     "how often it is asked for (30s)"},
    {"--bundle-node", "NAME", OF(RUN), OPTION_TEXT, MEMBER(from.node),
     "what this proxy is called, for the stages of a bundle (the machine's name)"},
    {"--key", "FILE", OF(BUNDLE), OPTION_TEXT, MEMBER(make.key), "the private key (Ed25519, PEM)"},
    {"-o", "FILE", OF(BUNDLE), OPTION_TEXT, MEMBER(output), "write the bundle to this file"},
    {"--version", "N", OF(BUNDLE), OPTION_TEXT, MEMBER(make.version),
     "its version, a whole number (Unix time)"},
    {"--main", "FILE", OF(BUNDLE), OPTION_TEXT, MEMBER(make.main),
     "the script in DIR that is run (policy.lua)"},
    {"--stages", "LIST", OF(BUNDLE), OPTION_TEXT, MEMBER(make.stages),
     "shares of the proxies, and when, for instance 1%,25%@10m,100%@30m: a proxy has its place by a hash of "
     "its name"},
    {"--canary", "SHARE", OF(BUNDLE), OPTION_SHARE, MEMBER(canary),
     "each proxy tries it on this share of its requests first, for instance 5%"},
    {"--for", "TIME", OF(BUNDLE), OPTION_TIME, MEMBER(for_ms), "how long a --canary takes (30s)"},
    {"--max-errors", "SHARE", OF(BUNDLE), OPTION_SHARE, MEMBER(max_errors),
     "by how much the trial's share of errors may exceed that of the present policy (1%)"},
    {"--man", NULL, OF(HELP), OPTION_ON, MEMBER(help.man), "print the source of a man page"},
    {"--completion", "SHELL", OF(HELP), OPTION_TEXT, MEMBER(help.completion),
     "print a script that completes the command line in bash, zsh or fish"},
};

bool words_take_option(enum command_id command, int option) {
  return option_words[option].commands >> command & 1;
}

bool words_take_settings(enum command_id command) { return command_words[command].settings == HAS_SETTINGS; }

bool words_take_setting(enum command_id command, int setting) {
  bool serves = setting == CONFIG_daemon || setting == CONFIG_watch || setting == CONFIG_repl;
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

const char words_addresses[] = "An address ADDR is host:port, [::1]:port or unix:/path. For listening, :port "
                               "is every address of this machine,\n"
                               "and localhost:port is 127.0.0.1. For connecting, port or :port is this "
                               "machine, and a host may be a name.\n"
                               "For proxy, http://host without a port is port 80, https://host is 443. A "
                               "TIME is 30 (seconds), 500ms, 5m or 1h.\n";

const char words_signals[] =
    "Signals: TERM stops gracefully, INT at once, HUP reloads, USR1 opens log files again, USR2 upgrades,\n"
    "QUIT drains: it stops listening, and ends when the last connection ends.\n";

const char words_exit_codes[] =
    "Exit codes: 0 success, 1 failure, 2 wrong input (the message names the file and line, or the option).\n";
