// SPDX-License-Identifier: Apache-2.0
// main: what each command does. The command line is parsed in cli/. This is the only file of core/ that includes lua/.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "cli/bundle_command.h"
#include "cli/bundle_source.h"
#include "cli/completion.h"
#include "cli/files_command.h"
#include "cli/hash_command.h"
#include "cli/help.h"
#include "cli/profile_command.h"
#include "cli/proxy_command.h"
#include "cli/proxy_script.h"
#include "cli/record_command.h"
#include "cli/repl_command.h"
#include "cli/replay_command.h"
#include "cli/steer.h"
#include "cli/top/top.h"
#include "cli/trace_command.h"
#include "lua/test/testing.h"
#include "lua/vm/code_lines.h"
#include "lua/vm/policy.h"
#include "runtime/deploy/bundle.h"
#include "runtime/forward.h"
#include "runtime/process.h"

/* --- that serve ------------------------------------------------------------------------------------------- */

static struct policy_source lua_source(struct arguments *a) {
  return (struct policy_source){&lua_policy, a->operand, a->operand};
}

static int serve(struct arguments *a, struct policy_source source, const struct breakpoint *points,
                 unsigned point_count) {
  struct server_options options = {.source = source,
                                   .config = &a->config,
                                   .arguments = a->words,
                                   .print_config = a->print_config,
                                   .points = points,
                                   .point_count = point_count};
  return process_run(&options);
}

static int run_bundle(struct arguments *a, const struct bundle_settings *settings) {
  struct server_options options = {.source = {&lua_policy, NULL, NULL},
                                   .config = &a->config,
                                   .arguments = a->words,
                                   .print_config = a->print_config};
  char *why = NULL;
  int code = EXIT_BAD_INPUT;
  if (bundle_begin(settings, &options, &why))
    code = process_run(&options);
  else
    fprintf(stderr, "perilune: %s\n", why);
  bundle_end();
  free(why);
  return code;
}

static void free_points(struct breakpoint *points, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    free(points[i].path);
    free(points[i].text);
  }
  free(points);
}

/* With --break. */
static int debug(struct arguments *a) {
  struct breakpoint *points = memory_zalloc(a->points.count * sizeof *points);
  unsigned count = 0;
  char *why = NULL;
  while (count < a->points.count &&
         code_lines_point(a->points.items[count], a->operand, &points[count], &why))
    count++;
  int code = EXIT_BAD_INPUT;
  if (why)
    fprintf(stderr, "perilune: %s\n", why);
  else
    code = serve(a, lua_source(a), points, count);
  free(why);
  free_points(points, count);
  return code;
}

static int run(struct arguments *a) {
  struct bundle_settings settings;
  if (!bundle_source_read(a, &settings)) return EXIT_BAD_INPUT;
  if (a->from.url && a->points.count)
    return arguments_refuse(COMMAND_RUN, "--break is for a SCRIPT: a --bundle is not developed here");
  if (a->from.url) return run_bundle(a, &settings);
  if (!a->operand) return arguments_refuse(COMMAND_RUN, "run wants a SCRIPT");
  return a->points.count ? debug(a) : serve(a, lua_source(a), NULL, 0);
}

static int check(struct arguments *a) {
  if (!a->operand) return arguments_refuse(COMMAND_CHECK, "check wants a SCRIPT");
  struct policy_source source = lua_source(a);
  unsigned warnings;
  int code = process_check(&source, &a->config, &warnings);
  if (code != EXIT_FINE) return code;
  if (warnings && a->strict) {
    fprintf(stderr, "perilune: %s: %u warning%s, which --strict refuses\n", a->operand, warnings,
            plural(warnings));
    return EXIT_BAD_INPUT;
  }
  if (warnings)
    printf("%s: fine, with %u warning%s\n", a->operand, warnings, plural(warnings));
  else
    printf("%s: fine\n", a->operand);
  return EXIT_FINE;
}

/* What could not be served is not shown as a script either. */
static int print_script(struct arguments *a, const struct policy_source *source,
                        const struct forward_options *options) {
  unsigned unused;
  int code = process_check(source, &a->config, &unused);
  if (code != EXIT_FINE) return code;
  char *script = proxy_script(options, &a->config);
  fputs(script, stdout);
  free(script);
  return EXIT_FINE;
}

static int proxy(struct arguments *a) {
  struct proxy_command p;
  int code = EXIT_BAD_INPUT;
  if (proxy_command_read(&p, a)) {
    char *script = proxy_script(&p.options, NULL);
    struct policy_text text = {"proxy", script};
    p.options.checker = &lua_text_policy;
    p.options.checks = &text;
    struct policy_source source = {&forward_policy, &p.options, "proxy"};
    if (p.options.domain_count) source = (struct policy_source){&lua_text_policy, &text, "proxy"};
    code = a->print_config ? print_script(a, &source, &p.options) : serve(a, source, NULL, 0);
    free(script);
  }
  proxy_command_free(&p);
  return code;
}

static int files(struct arguments *a) {
  char *script = files_script(a);
  if (!script) return EXIT_BAD_INPUT;
  struct policy_text text = {"files", script};
  struct policy_source source = {&lua_text_policy, &text, "files"};
  int code = EXIT_FINE;
  unsigned unused;
  if (!a->print_config)
    code = serve(a, source, NULL, 0);
  else if ((code = process_check(&source, &a->config, &unused)) == EXIT_FINE)
    fputs(script, stdout);
  free(script);
  return code;
}

/* --- that speak to a proxy that runs ---------------------------------------------------------------------- */

static int reload(struct arguments *a) {
  char line[96];
  const char *how = a->strict ? "strictly " : "";
  if (a->strict && (a->abort || a->close_old))
    return arguments_refuse(COMMAND_RELOAD, "--strict is for what is loaded: leave it away");
  if (a->shadow + a->close_old + a->abort + arguments_has(a, "--canary") > 1)
    return arguments_refuse(COMMAND_RELOAD, "one of --canary, --shadow, --abort and --close-old at a time");
  if (arguments_has(a, "--canary") && !a->canary)
    return arguments_refuse(COMMAND_RELOAD, "--canary wants a share above 0%%");
  if (arguments_has(a, "--for") && !a->canary && !a->shadow)
    return arguments_refuse(COMMAND_RELOAD, "--for belongs to --canary or --shadow");
  if (arguments_has(a, "--max-errors") && !a->canary)
    return arguments_refuse(COMMAND_RELOAD, "--max-errors belongs to --canary");
  if (a->abort) return command_tell(a, "reload abort", true);
  if (a->close_old) return command_tell(a, "close old", true);
  if (!a->canary && !a->shadow)
    snprintf(line, sizeof line, "%sreload", how);
  else if (a->shadow)
    snprintf(line, sizeof line, "%sreload shadow %u progress", how, a->for_ms);
  else
    snprintf(line, sizeof line, "%sreload canary %u %u %u progress", how, a->canary, a->for_ms,
             a->max_errors);
  return command_tell(a, line, true);
}
static int stop(struct arguments *a) { return command_tell(a, a->now ? "stop now" : "stop", true); }
static int upgrade(struct arguments *a) { return command_tell(a, "upgrade", true); }
static int status(struct arguments *a) { return command_tell(a, a->json ? "status json" : "status", false); }

static int replay(struct arguments *a) { return replay_command(a, &lua_policy); }

/* Tabs are between its words. */
static int purge(struct arguments *a) {
  char line[4000];
  const char *kind = a->purge.url ? "url" : a->purge.prefix ? "prefix" : a->purge.tag ? "tag" : "all";
  const char *what = a->purge.url      ? a->purge.url
                     : a->purge.prefix ? a->purge.prefix
                     : a->purge.tag    ? a->purge.tag
                                       : "";
  const char *cache = a->operand ? a->operand : "";
  if (!!a->purge.url + !!a->purge.prefix + !!a->purge.tag + a->purge.all != 1)
    return arguments_refuse(COMMAND_PURGE, "one of --url, --prefix, --tag and --all says what is forgotten");
  if (strpbrk(what, "\t\n") || strpbrk(cache, "\t\n"))
    return arguments_refuse(COMMAND_PURGE, "there is a tab or a line feed in a word");
  int length =
      snprintf(line, sizeof line, "purge %s %s\t%s\t%s", kind, a->purge.soft ? "soft" : "hard", cache, what);
  if (length >= (int)sizeof line) return arguments_refuse(COMMAND_PURGE, "that is too long");
  return command_tell(a, line, true);
}

/* --- that only say something ------------------------------------------------------------------------------ */

static int version(struct arguments *a) {
  (void)a;
  puts("perilune " PERILUNE_VERSION);
  return EXIT_FINE;
}

static int help(struct arguments *a) {
  enum command_id about = a->operand ? arguments_command(a->operand) : COMMAND_HELP;
  if (about == COMMAND_COUNT) return EXIT_BAD_INPUT;
  if (a->help.completion)
    return completion_print(stdout, a->help.completion)
               ? EXIT_FINE
               : arguments_refuse(COMMAND_HELP, "--completion wants bash, zsh or fish, not '%s'",
                                  a->help.completion);
  if (a->help.man)
    help_print_man(stdout);
  else if (a->operand)
    help_print_command(stdout, about);
  else
    help_print(stdout);
  return EXIT_FINE;
}

/* --- which ------------------------------------------------------------------------------------------------ */

/* The options of test are busted's: it does not come here. */
static int (*const functions[COMMAND_COUNT])(struct arguments *a) = {
    [COMMAND_RUN] = run,
    [COMMAND_PROXY] = proxy,
    [COMMAND_FILES] = files,
    [COMMAND_CHECK] = check,
    [COMMAND_TEST] = help,
    [COMMAND_RELOAD] = reload,
    [COMMAND_UPGRADE] = upgrade,
    [COMMAND_STATUS] = status,
    [COMMAND_STOP] = stop,
    [COMMAND_VERSION] = version,
    [COMMAND_HELP] = help,
    [COMMAND_PURGE] = purge,
    [COMMAND_BUNDLE] = bundle_command,
    [COMMAND_HASH] = hash_command,
    [COMMAND_BACKEND] = steer_backend,
    [COMMAND_LOG_LEVEL] = steer_log_level_command,
    [COMMAND_PS] = ps,
    [COMMAND_PROFILE] = profile_command,
    [COMMAND_TRACE] = trace_command,
    [COMMAND_TOP] = top_command,
    [COMMAND_RECORD] = record_command,
    [COMMAND_REPLAY] = replay,
    [COMMAND_REPL] = repl_command,
};

static int obey(struct arguments *a) {
  enum command_id command = arguments_command(a->words[1]);
  if (command == COMMAND_COUNT) return EXIT_BAD_INPUT;
  if (command != COMMAND_HELP && arguments_ask_for_help(a->words + 2)) {
    help_print_command(stdout, command);
    return EXIT_FINE;
  }
  return arguments_read(a, command, a->words + 2) ? functions[command](a) : EXIT_BAD_INPUT;
}

int main(int count, char **words) {
  struct arguments a;
  if (count < 2) return arguments_refuse(COMMAND_COUNT, "a command is missing, such as 'run SCRIPT'");
  if (strcmp(words[1], "test") == 0 && !arguments_ask_for_help(words + 2)) return testing_main(words + 2);
  memory_begin();
  signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the call */
  arguments_init(&a, count, words);
  int code = obey(&a);
  arguments_free(&a);
  return code;
}
