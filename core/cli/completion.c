// SPDX-License-Identifier: Apache-2.0
// completion: see completion.h. Texts become words in single quotes; each shell has its own way to write a quote, and
// zsh more characters that mean something.
#include "cli/completion.h"

#include <string.h>

#include "cli/words.h"
#include "runtime/config.h"

/* What all shells are told of an option or a setting. */
struct offer {
  const char *name, *value, *what;
};

static const char levels[] = "debug info warn error";

/* The number'th option of the command; false: there is none. */
static bool offer_at(enum command_id command, int number, struct offer *offer,
                     char room[CONFIG_OPTION_BYTES]) {
  for (int i = 0; i < OPTION_COUNT; i++) {
    if (!words_take_option(command, i) || number-- > 0) continue;
    *offer = (struct offer){option_words[i].name, option_words[i].value, option_words[i].what};
    return true;
  }
  for (int i = 0; i < CONFIG_COUNT; i++) {
    if (!words_take_setting(command, i) || number-- > 0) continue;
    const char *value = config_value_word(i);
    *offer = (struct offer){config_option(i, room), *value ? value : NULL, config_what(i)};
    return true;
  }
  return false;
}

static bool is_file(const char *value) {
  return value && (!strncmp(value, "FILE", 4) || !strcmp(value, "PATH") || strstr(value, "SCRIPT") ||
                   strstr(value, "DIR") || strstr(value, "SPEC"));
}

static void put_quoted(FILE *out, const char *text, const char *quote, const char *escaped) {
  for (; *text; text++) {
    if (*text == '\'')
      fputs(quote, out);
    else if (strchr(escaped, *text))
      fprintf(out, "\\%c", *text);
    else
      fputc(*text, out);
  }
}

/* --- bash ------------------------------------------------------------------------------------------------- */

static void put_bash_words(FILE *out, enum command_id command) {
  struct offer offer;
  char room[CONFIG_OPTION_BYTES];
  fprintf(out, "  %s) words='", command_words[command].name);
  for (int i = 0; offer_at(command, i, &offer, room); i++) fprintf(out, "%s%s", i ? " " : "", offer.name);
  fputs("' ;;\n", out);
}

static void put_bash(FILE *out) {
  fputs("_perilune() {\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=\n"
        "  if [ \"$COMP_CWORD\" = 1 ] || { [ \"$COMP_CWORD\" = 2 ] && [ \"${COMP_WORDS[1]}\" = help ]; }; "
        "then\n"
        "    words='",
        out);
  for (int i = 0; i < COMMAND_COUNT; i++) fprintf(out, "%s%s", i ? " " : "", command_words[i].name);
  fprintf(out,
          "'\n  elif [ \"$before\" = --log-level ]; then\n    words='%s'\n"
          "  elif [ \"$before\" = --user ] || [ \"$before\" = --group ]; then\n"
          "    words=$(compgen \"--${before#--}\")\n"
          "  elif [ \"${word#-}\" != \"$word\" ]; then\n  case ${COMP_WORDS[1]} in\n",
          levels);
  for (int i = 0; i < COMMAND_COUNT; i++) put_bash_words(out, (enum command_id)i);
  fputs("  esac\n  fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
        "complete -o default -F _perilune perilune\n",
        out);
}

/* --- zsh -------------------------------------------------------------------------------------------------- */

static void put_zsh_text(FILE *out, const char *text) { put_quoted(out, text, "'\\''", "[]:\\"); }

static void put_zsh_option(FILE *out, const struct offer *offer) {
  fprintf(out, " \\\n      '*%s[", offer->name);
  put_zsh_text(out, offer->what);
  fputc(']', out);
  if (offer->value) fputc(':', out);
  if (offer->value) put_zsh_text(out, offer->value);
  if (offer->value && !strcmp(offer->name, "--log-level"))
    fprintf(out, ":(%s)", levels);
  else if (offer->value)
    fputs(is_file(offer->value) ? ":_files" : ": ", out);
  fputc('\'', out);
}

static void put_zsh_command(FILE *out, enum command_id command) {
  const struct command_words *c = &command_words[command];
  struct offer offer;
  char room[CONFIG_OPTION_BYTES];
  fprintf(out, "    %s) _arguments", c->name);
  for (int i = 0; offer_at(command, i, &offer, room); i++) put_zsh_option(out, &offer);
  if (command == COMMAND_HELP)
    fputs(" '1:command:->commands'", out);
  else if (*c->operands)
    fprintf(out, " '*:%s:%s'", is_file(c->operands) ? "file" : "word", is_file(c->operands) ? "_files" : " ");
  fputs(" ;;\n", out);
}

static void put_zsh(FILE *out) {
  fputs("_perilune() {\n  local -a commands=(\n", out);
  for (int i = 0; i < COMMAND_COUNT; i++) {
    fprintf(out, "    '%s:", command_words[i].name);
    put_quoted(out, command_words[i].summary, "'\\''", "");
    fputs("'\n", out);
  }
  fputs("  )\n  if (( CURRENT == 2 )) || [[ $words[2] == help && CURRENT == 3 ]]; then\n"
        "    _describe command commands\n    return\n  fi\n  words=($words[2,-1])\n  (( CURRENT-- ))\n"
        "  case $words[1] in\n",
        out);
  for (int i = 0; i < COMMAND_COUNT; i++) put_zsh_command(out, (enum command_id)i);
  fputs("  esac\n}\n_perilune \"$@\"\n", out);
}

/* --- fish ------------------------------------------------------------------------------------------------- */

static void put_fish_text(FILE *out, const char *text) {
  fputc('\'', out);
  put_quoted(out, text, "\\'", "\\");
  fputc('\'', out);
}

static void put_fish_command(FILE *out, enum command_id command) {
  const struct command_words *c = &command_words[command];
  struct offer offer;
  char room[CONFIG_OPTION_BYTES];
  fprintf(out, "complete -c perilune -f -n __fish_use_subcommand -a %s -d ", c->name);
  put_fish_text(out, c->summary);
  fputc('\n', out);
  if (!is_file(c->operands))
    fprintf(out, "complete -c perilune -f -n '__fish_seen_subcommand_from %s'\n", c->name);
  for (int i = 0; offer_at(command, i, &offer, room); i++) {
    bool is_long = offer.name[1] == '-';
    fprintf(out, "complete -c perilune -n '__fish_seen_subcommand_from %s' -%c %s -d ", c->name,
            is_long ? 'l' : 's', offer.name + 1 + is_long);
    put_fish_text(out, offer.what);
    if (offer.value && !strcmp(offer.name, "--log-level"))
      fprintf(out, " -x -a '%s'", levels);
    else if (offer.value)
      fputs(is_file(offer.value) ? " -r -F" : " -x", out);
    fputc('\n', out);
  }
}

static void put_fish(FILE *out) {
  for (int i = 0; i < COMMAND_COUNT; i++) put_fish_command(out, (enum command_id)i);
  fputs("complete -c perilune -f -n '__fish_seen_subcommand_from help' -a '", out);
  for (int i = 0; i < COMMAND_COUNT; i++) fprintf(out, "%s%s", i ? " " : "", command_words[i].name);
  fputs("'\n", out);
}

bool completion_print(FILE *out, const char *shell) {
  static const struct {
    const char *name;
    void (*put)(FILE *out);
  } shells[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};
  for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
    if (strcmp(shell, shells[i].name) != 0) continue;
    if (strcmp(shell, "zsh") == 0) fputs("#compdef perilune\n", out);
    fprintf(out,
            "# SPDX-License-Identifier: Apache-2.0\n"
            "# Written by 'perilune help --completion %s': change core/cli/words.c, then 'make docs'.\n",
            shell);
    shells[i].put(out);
    return true;
  }
  return false;
}
