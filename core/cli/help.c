// SPDX-License-Identifier: Apache-2.0
// help: see help.h. For the man page, texts are escaped: a dash is "\-", and a line must not begin with a dot.
#include "cli/help.h"

#include <ctype.h>
#include <stdbool.h>

#include "base/version.h"
#include "runtime/config.h"

enum { USAGE_COLUMN = 41, OPTION_COLUMN = 28 };

static const char settings_text[] =
    "Settings. A policy can make them, too, by perilune.configure { pid_file = "
    "\"...\" }; the command line overrides it:\n";

static bool takes_any(enum command_id command) {
  for (int i = 0; i < OPTION_COUNT; i++)
    if (words_take_option(command, i)) return true;
  return false;
}

static const char *value_of(int option) {
  return option_words[option].value ? option_words[option].value : "";
}

/* --- for the terminal ------------------------------------------------------------------------------------- */

static void print_usage(FILE *out, enum command_id id) {
  const struct command_words *c = &command_words[id];
  int length = fprintf(out, "  perilune %s%s%s", c->name, *c->usage ? " " : "", c->usage);
  fprintf(out, "%*s  %s\n", length < USAGE_COLUMN ? USAGE_COLUMN - length : 0, "", c->summary);
}

void help_print(FILE *out) {
  fputs("perilune " PERILUNE_VERSION ": a programmable HTTP proxy; a Lua script is its configuration\n\n",
        out);
  for (int i = 0; i < COMMAND_COUNT; i++) print_usage(out, (enum command_id)i);
  fputs("\n'perilune help COMMAND' lists its options; --pid, --pid-file or --socket choose one of several "
        "proxies.\n\n",
        out);
  fputs(words_signals, out);
  fputs(words_exit_codes, out);
}

static void print_option(FILE *out, const char *name, const char *value, const char *what) {
  int length = fprintf(out, "  %s%s%s", name, *value ? " " : "", value);
  if (length > OPTION_COLUMN) {
    fputc('\n', out);
    length = 0;
  }
  fprintf(out, "%*s  %s", OPTION_COLUMN - length, "", what);
}

static void print_settings(FILE *out, enum command_id command) {
  fprintf(out, "\n%s", settings_text);
  for (int i = 0; i < CONFIG_COUNT; i++) {
    char name[CONFIG_OPTION_BYTES];
    const char *fallback = config_fallback(i);
    if (!words_take_setting(command, i)) continue;
    print_option(out, config_option(i, name), config_value_word(i), config_what(i));
    fprintf(out, *fallback && !config_is_flag(i) ? " (%s)\n" : "\n", fallback);
  }
}

void help_print_command(FILE *out, enum command_id command) {
  const struct command_words *c = &command_words[command];
  bool has_options = takes_any(command) || words_take_settings(command);
  fprintf(out, "perilune %s: %s\n\n", c->name, c->summary);
  fprintf(out, "  perilune %s%s%s%s\n", c->name, *c->usage ? " " : "", c->usage,
          has_options ? " [options]" : "");
  if (*c->text) fprintf(out, "\n%s", c->text);
  if (takes_any(command)) fputc('\n', out);
  for (int i = 0; i < OPTION_COUNT; i++) {
    if (!words_take_option(command, i)) continue;
    print_option(out, option_words[i].name, value_of(i), option_words[i].what);
    fputc('\n', out);
  }
  if (words_take_settings(command)) print_settings(out, command);
  if (words_take_settings(command)) fprintf(out, "\n%s", words_addresses);
}

/* --- for man ---------------------------------------------------------------------------------------------- */

static void put(FILE *out, const char *text) {
  bool at_begin = true;
  for (; *text; text++) {
    if (at_begin && (*text == '.' || *text == '\'')) fputs("\\&", out);
    if (*text == '-' || *text == '\\') fputc('\\', out);
    fputc(*text == '\\' ? 'e' : *text, out);
    at_begin = *text == '\n';
  }
}

/* ".TP", a term in bold with its value in italics, and what it is. */
static void put_term(FILE *out, const char *name, const char *value, const char *what, const char *fallback) {
  fputs(".TP\n\\fB", out);
  put(out, name);
  fputs("\\fR", out);
  if (*value) fputs(" \\fI", out);
  put(out, value);
  fputs(*value ? "\\fR\n" : "\n", out);
  put(out, what);
  if (*fallback) fputs(" (", out);
  put(out, fallback);
  fputs(*fallback ? ")\n" : "\n", out);
}

static void put_command(FILE *out, enum command_id command) {
  const struct command_words *c = &command_words[command];
  fprintf(out, ".SS \"perilune %s%s", c->name, *c->usage ? " " : "");
  put(out, c->usage);
  fputs(takes_any(command) || words_take_settings(command) ? " [options]\"\n" : "\"\n", out);
  fputc(toupper(c->summary[0]), out);
  put(out, c->summary + 1);
  fputs(".\n", out);
  put(out, c->text);
  for (int i = 0; i < OPTION_COUNT; i++)
    if (words_take_option(command, i))
      put_term(out, option_words[i].name, value_of(i), option_words[i].what, "");
}

static void put_settings(FILE *out) {
  fputs(".SH SETTINGS\nof run, proxy and check.\n", out);
  put(out, settings_text);
  for (int i = 0; i < CONFIG_COUNT; i++) {
    char name[CONFIG_OPTION_BYTES];
    bool is_flag = config_is_flag(i);
    put_term(out, config_option(i, name), config_value_word(i), config_what(i),
             is_flag ? "" : config_fallback(i));
  }
}

void help_print_man(FILE *out) {
  fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n.\\\" Written by 'perilune help --man': change "
        "core/cli/words.c, "
        "then 'make docs'.\n",
        out);
  fputs(".TH PERILUNE 1 \"\" \"perilune " PERILUNE_VERSION "\" \"\"\n", out);
  fputs(".SH NAME\nperilune \\- a programmable HTTP proxy\n.SH SYNOPSIS\n.B perilune\n\\fICOMMAND\\fR "
        "[options]\n",
        out);
  fputs(".SH DESCRIPTION\nA C core moves the bytes; a Lua script decides. One script is configuration and "
        "policy at\n"
        "once: where to listen, which peer gets a request, what is answered, changed, limited, logged.\n",
        out);
  fputs(".SH COMMANDS\n", out);
  for (int i = 0; i < COMMAND_COUNT; i++) put_command(out, (enum command_id)i);
  put_settings(out);
  fputs(".SH ADDRESSES\n", out);
  put(out, words_addresses);
  fputs(".SH SIGNALS\n", out);
  put(out, words_signals);
  fputs(".SH EXIT STATUS\n", out);
  put(out, words_exit_codes);
  fputs(".SH SEE ALSO\nThe API of policies is described in docs/api.md of the sources, and examples are "
        "beside the\n"
        "modules, in share/perilune/examples.\n",
        out);
}
