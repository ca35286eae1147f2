// SPDX-License-Identifier: Apache-2.0
// bundle_command: reads a folder, writes the manifest, signs it, and puts all of it into one file. The same files and
// options make the same bytes: files come in the order of their names, and nothing of the machine goes in.
//
//   perilune-bundle 1
//   <signature of the manifest behind the line above, in base64>
//   <bytes of the manifest>
//   <manifest, JSON><the files' bytes, one after another>
//
// lua/perilune/bundle_archive.lua reads it.
#include "cli/bundle_command.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/duration.h"
#include "base/hex.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "cli/arguments.h"
#include "net/tls_crypto.h"
#include "net/tls_sign.h"
#include "runtime/observe/json.h"
#include "runtime/options.h"

enum { FILES_MOST = 1000, BYTES_MOST = 3 << 20, DEPTH_MOST = 16, PATH_MOST = 255 };
#define MAGIC "perilune-bundle 1\n"

struct packed {
  char *path; /* owned; relative to the folder */
  struct buf bytes;
};

struct packing {
  const struct arguments *arguments;
  struct packed *files; /* owned array */
  unsigned count;
  size_t bytes;
  uint64_t version;
  char *why; /* malloc'd; what is wrong */
};

/* --- files ------------------------------------------------------------------------------------------------ */

static bool is_plain(const char *name) {
  for (const char *c = name; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 127 || *c == '\\') return false;
  return true;
}

static bool add_file(struct packing *p, const char *full, const char *path) {
  if (strlen(path) > PATH_MOST || !is_plain(path))
    return why_say(&p->why, "%s: the name is too long, or has a control character or a backslash", full);
  if (p->count == FILES_MOST) return why_say(&p->why, "more than %d files", FILES_MOST);
  struct packed file = {0};
  if (!safe_read(full, SAFE_READ_MOST, &file.bytes))
    return why_say(&p->why, "%s: %s", full, safe_reason(errno));
  file.path = str_to_cstring(str_of(path));
  p->files = memory_realloc(p->files, (p->count + 1) * sizeof *p->files);
  p->files[p->count++] = file;
  p->bytes += buf_len(&file.bytes);
  return p->bytes <= BYTES_MOST || why_say(&p->why, "more than %d MiB", BYTES_MOST >> 20);
}

static bool add_folder(struct packing *p, const char *folder, const char *path, unsigned depth);

/* Hidden files stay out, as of an editor or of git. */
static bool add(struct packing *p, const char *folder, const char *path, const char *name, unsigned depth) {
  struct arena arena = {0};
  struct stat info;
  const char *full = arena_printf(&arena, "%s/%s%c", folder, name, '\0').ptr;
  const char *inside = arena_printf(&arena, "%s%s%s%c", path, *path ? "/" : "", name, '\0').ptr;
  bool fine = true;
  if (*name == '.')
    fine = true;
  else if (lstat(full, &info) != 0)
    fine = why_say(&p->why, "%s: %s", full, strerror(errno));
  else if (S_ISDIR(info.st_mode))
    fine = add_folder(p, full, inside, depth + 1);
  else if (S_ISREG(info.st_mode))
    fine = add_file(p, full, inside);
  else
    fine = why_say(&p->why, "%s: it is no regular file, and a bundle has no links", full);
  arena_free(&arena);
  return fine;
}

static bool add_folder(struct packing *p, const char *folder, const char *path, unsigned depth) {
  const struct dirent *entry;
  bool fine = true;
  if (depth > DEPTH_MOST) return why_say(&p->why, "%s: too deep", folder);
  DIR *dir = opendir(folder);
  if (!dir) return why_say(&p->why, "%s: %s", folder, strerror(errno));
  while (fine && (entry = readdir(dir))) fine = add(p, folder, path, entry->d_name, depth);
  closedir(dir);
  return fine;
}

static int compare(const void *a, const void *b) {
  return strcmp(((const struct packed *)a)->path, ((const struct packed *)b)->path);
}

static bool has_file(const struct packing *p, const char *path) {
  for (unsigned i = 0; i < p->count; i++)
    if (strcmp(p->files[i].path, path) == 0) return true;
  return false;
}

/* --- the manifest ----------------------------------------------------------------------------------------- */

struct stage {
  double percent;
  unsigned after_ms;
};

/* "25%@10m", "1%". */
static bool read_stage(struct str text, struct stage *to) {
  char stage[64], *end;
  to->after_ms = 0;
  if (text.len >= sizeof stage) return false;
  memcpy(stage, text.ptr, text.len);
  stage[text.len] = '\0';
  to->percent = strtod(stage, &end);
  if (end == stage || *end != '%' || !(to->percent > 0 && to->percent <= 100)) return false;
  return !end[1] || (end[1] == '@' && duration_read(end + 2, &to->after_ms));
}

static void put_stage(struct json *j, const struct stage *stage) {
  json_open(j, NULL, '{');
  json_number(j, "share", (uint64_t)(stage->percent * 100 + 0.5));
  json_number(j, "after", stage->after_ms / 1000);
  json_close(j, '}');
}

static bool put_stages(struct packing *p, struct json *j) {
  struct str rest = str_of(p->arguments->make.stages), text;
  struct stage last = {0}, stage;
  const char *epoch = getenv("SOURCE_DATE_EPOCH");
  uint64_t created = (uint64_t)time(NULL);
  if (epoch && !str_to_u64(str_of(epoch), &created))
    return why_say(&p->why, "SOURCE_DATE_EPOCH is no number");
  json_number(j, "created", created);
  json_open(j, "stages", '[');
  for (; str_split(&rest, ',', &text); last = stage) {
    if (!read_stage(text, &stage))
      return why_say(&p->why, "--stages wants shares and times such as 1%%,25%%@10m,100%%@30m, not '%.*s'",
                     STR_ARG(text));
    if (stage.percent <= last.percent || stage.after_ms < last.after_ms)
      return why_say(&p->why,
                     "--stages: '%.*s' is out of order: shares and times rise, as in 1%%,25%%@10m,100%%@30m",
                     STR_ARG(text));
    put_stage(j, &stage);
  }
  json_close(j, ']');
  return true;
}

static void put_canary(const struct arguments *a, struct json *j) {
  json_open(j, "canary", '{');
  json_number(j, "share", a->canary);
  json_number(j, "for_ms", a->for_ms);
  json_number(j, "max_errors", a->max_errors);
  json_close(j, '}');
}

static void put_files(const struct packing *p, struct json *j) {
  json_open(j, "files", '[');
  for (unsigned i = 0; i < p->count; i++) {
    unsigned char digest[DIGEST_BYTES_MAX];
    char text[2 * DIGEST_BYTES_MAX];
    struct str bytes = buf_len(&p->files[i].bytes) ? buf_str(&p->files[i].bytes) : STR("");
    size_t length = crypto_digest(DIGEST_SHA256, bytes, digest);
    hex_put_text(text, (struct str){(const char *)digest, length});
    json_open(j, NULL, '{');
    json_text(j, "path", str_of(p->files[i].path));
    json_number(j, "size", bytes.len);
    json_text(j, "sha256", (struct str){text, 2 * length});
    json_close(j, '}');
  }
  json_close(j, ']');
}

/* With the line before it. Malloc'd; NULL: p->why. */
static char *make_manifest(struct packing *p, const char *main_file) {
  char *text = NULL;
  size_t length;
  struct json j = {open_memstream(&text, &length), true};
  fputs(MAGIC, j.out);
  json_open(&j, NULL, '{');
  json_number(&j, "format", 1);
  json_number(&j, "version", p->version);
  json_text(&j, "main", str_of(main_file));
  bool fine = !p->arguments->make.stages || put_stages(p, &j);
  if (p->arguments->canary) put_canary(p->arguments, &j);
  put_files(p, &j);
  json_close(&j, '}');
  fclose(j.out);
  if (fine) return text;
  free(text);
  return NULL;
}

/* --- the file --------------------------------------------------------------------------------------------- */

static bool write_bundle(struct packing *p, const char *manifest) {
  unsigned char signature[SIGNATURE_BYTES];
  char encoded[128];
  size_t offset = sizeof MAGIC - 1, length = strlen(manifest) - offset;
  if (!sign_text(p->arguments->make.key, str_of(manifest), signature, &p->why))
    return why_prefix(&p->why, "--key ");
  struct str bytes = {(const char *)signature, sizeof signature};
  size_t encoded_length = base64_encode(encoded, bytes, base64_plain, true);
  struct arena arena = {0};
  struct buf out = {0};
  buf_append_str(&out, arena_printf(&arena, MAGIC "%.*s\n%zu\n%s", (int)encoded_length, encoded, length,
                                    manifest + offset));
  for (unsigned i = 0; i < p->count; i++)
    if (buf_len(&p->files[i].bytes)) buf_append_str(&out, buf_str(&p->files[i].bytes));
  bool fine = safe_replace(p->arguments->output, buf_str(&out)) ||
              why_say(&p->why, "%s: %s", p->arguments->output, safe_reason_new(errno));
  buf_release(&out);
  arena_free(&arena);
  return fine;
}

static bool pack(struct packing *p) {
  const struct arguments *a = p->arguments;
  const char *main_file = a->make.main ? a->make.main : "policy.lua";
  p->version = (uint64_t)time(NULL);
  if (a->make.version &&
      (!str_to_u64(str_of(a->make.version), &p->version) || !p->version || p->version >> 53))
    return why_say(&p->why, "--version wants a whole number, 1 or more, not '%s'", a->make.version);
  if (!add_folder(p, a->operand, "", 0)) return false;
  if (p->count) qsort(p->files, p->count, sizeof *p->files, compare);
  if (!has_file(p, main_file))
    return why_say(&p->why, "%s has no file %s; --main names the script to run", a->operand, main_file);
  char *manifest = make_manifest(p, main_file);
  bool fine = manifest && write_bundle(p, manifest);
  free(manifest);
  return fine;
}

int bundle_command(struct arguments *a) {
  struct packing p = {.arguments = a};
  if (!a->operand) return arguments_refuse(COMMAND_BUNDLE, "bundle wants a DIR");
  if (!a->make.key || !a->output)
    return arguments_refuse(COMMAND_BUNDLE, "bundle wants --key KEY and -o FILE");
  if (arguments_has(a, "--canary") && !a->canary)
    return arguments_refuse(COMMAND_BUNDLE, "--canary wants a share above 0%%");
  if (!a->canary && (arguments_has(a, "--for") || arguments_has(a, "--max-errors")))
    return arguments_refuse(COMMAND_BUNDLE, "--for and --max-errors belong to --canary");
  bool fine = pack(&p);
  if (fine)
    printf("%s: version %llu, %u file%s, %zu bytes\n", a->output, (unsigned long long)p.version, p.count,
           plural(p.count), p.bytes);
  else
    fprintf(stderr, "perilune: bundle: %s\n", p.why);
  for (unsigned i = 0; i < p.count; i++) {
    free(p.files[i].path);
    buf_release(&p.files[i].bytes);
  }
  free(p.files);
  free(p.why);
  return fine ? EXIT_FINE : EXIT_BAD_INPUT;
}
