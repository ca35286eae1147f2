// SPDX-License-Identifier: Apache-2.0
// files_command: see files_command.h. The script has absolute names, since it lies nowhere itself.
#include "cli/files_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/path.h"
#include "base/str.h"
#include "net/addr.h"

#define REFUSE(...) (arguments_refuse(COMMAND_FILES, __VA_ARGS__), false)

static void put_text(FILE *out, const char *text) {
  fputc('"', out);
  escape_lua(out, str_of(text));
  fputc('"', out);
}

static void put_name(FILE *out, const char *name) {
  char *whole = path_absolute(name);
  put_text(out, whole);
  free(whole);
}

static bool check_folder(const struct arguments *a) {
  struct stat info;
  if (!a->operand) return REFUSE("files wants a DIR: the folder whose files are served");
  if (stat(a->operand, &info) != 0) return REFUSE("%s: %s", a->operand, strerror(errno));
  return S_ISDIR(info.st_mode) || REFUSE("%s: it is no folder", a->operand);
}

static bool check_files(const struct arguments *a) {
  const char *names[] = {a->tls_cert, a->tls_key};
  if (!arguments_check_tls(a, COMMAND_FILES)) return false;
  for (unsigned i = 0; i < 2; i++)
    if (names[i] && access(names[i], R_OK) != 0) return REFUSE("%s: %s", names[i], strerror(errno));
  if (a->files.index && (!*a->files.index || strchr(a->files.index, '/')))
    return REFUSE("--index wants the name of a file");
  return true;
}

static bool check_listeners(const struct arguments *a) {
  struct addr addr;
  const char *why;
  if (!a->listen.count) return REFUSE("files wants --listen ADDR: where to listen");
  for (unsigned i = 0; i < a->listen.count; i++) {
    struct str rest = str_of(a->listen.items[i]), part;
    while (str_split(&rest, ',', &part))
      if (!addr_parse_listener(str_trim(part), &addr, &why))
        return REFUSE("--listen \"%.*s\": %s", STR_ARG(part), why);
  }
  return true;
}

static void put_files(FILE *out, const struct arguments *a) {
  fputs("local files = perilune.files { root = ", out);
  put_name(out, a->operand);
  if (a->files.index) fputs(", index = ", out);
  if (a->files.index) put_text(out, a->files.index);
  if (a->files.list) fputs(", listing = true", out);
  if (a->files.hidden) fputs(", hidden = true", out);
  fputs(" }\n\n", out);
}

static void put_options(FILE *out, const struct arguments *a) {
  if (!a->tls_cert && !a->compress) return;
  fputs(", { ", out);
  if (a->tls_cert) {
    fputs("certificate = ", out);
    put_name(out, a->tls_cert);
    fputs(", key = ", out);
    put_name(out, a->tls_key);
  }
  if (a->compress) fprintf(out, "%scompress = true", a->tls_cert ? ", " : "");
  fputs(" }", out);
}

static void put_listeners(FILE *out, const struct arguments *a) {
  for (unsigned i = 0; i < a->listen.count; i++) {
    struct str rest = str_of(a->listen.items[i]), part;
    while (str_split(&rest, ',', &part)) {
      part = str_trim(part);
      fputs("perilune.listen(\"", out);
      escape_lua(out, part);
      fputs("\", files", out);
      put_options(out, a);
      fputs(")\n", out);
    }
  }
}

char *files_script(const struct arguments *a) {
  char *text = NULL;
  size_t bytes;
  if (!check_folder(a) || !check_files(a) || !check_listeners(a)) return NULL;
  FILE *out = open_memstream(&text, &bytes);
  fputs("-- Does what 'perilune files' does. Save it, and run it by 'perilune run'.\n"
        "local perilune = require \"perilune\"\n\n",
        out);
  put_files(out, a);
  put_listeners(out, a);
  fclose(out);
  return text;
}
