// SPDX-License-Identifier: Apache-2.0
// bundle_check: see bundle_check.h. Nothing of the manifest is believed before its signature is checked.
#include "runtime/deploy/bundle_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/hex.h"
#include "base/json_read.h"
#include "base/path.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "net/tls_crypto.h"
#include "net/tls_sign.h"
#include "runtime/deploy/bundle_state.h"

enum { DEPTH_MOST = 16 };

struct checking {
  struct arena arena;
  const char *folder; /* of the version; in the arena */
  struct str *paths;  /* of the manifest; in the arena */
  unsigned count, room;
  char **why;
};

/* --- a file ------------------------------------------------------------------------------------------------ */

static bool has_digest(struct str bytes, struct str wanted) {
  unsigned char digest[DIGEST_BYTES_MAX];
  char text[2 * DIGEST_BYTES_MAX];
  size_t length = crypto_digest(DIGEST_SHA256, bytes, digest);
  hex_put_text(text, (struct str){(const char *)digest, length});
  return str_equal(wanted, (struct str){text, 2 * length});
}

static bool check_file(struct checking *c, struct str path, struct str digest) {
  const char *full = arena_printf(&c->arena, "%s/%.*s%c", c->folder, STR_ARG(path), '\0').ptr;
  struct buf text = {0};
  bool is_there = safe_read(full, SAFE_READ_MOST, &text);
  if (!is_there) why_say(c->why, "%s: %s", full, safe_reason(errno));
  bool fine = is_there && (has_digest(buf_len(&text) ? buf_str(&text) : STR(""), digest) ||
                           why_say(c->why, "%s: it is not as it was signed", full));
  buf_release(&text);
  return fine;
}

static void note_path(struct checking *c, struct str path) {
  if (c->count == c->room) {
    c->room = c->room ? 2 * c->room : 64;
    struct str *more = arena_alloc(&c->arena, c->room * sizeof *more);
    if (c->count) memcpy(more, c->paths, c->count * sizeof *more);
    c->paths = more;
  }
  c->paths[c->count++] = path;
}

/* { "path": ..., "sha256": ... } */
static bool check_entry(struct checking *c, struct json_reader *r) {
  struct str name, path = STR(""), digest = STR("");
  json_read_open(r, '{');
  while (json_read_member(r, &name)) {
    if (str_equal(name, STR("path")))
      path = json_read_text(r);
    else if (str_equal(name, STR("sha256")))
      digest = json_read_text(r);
    else
      json_read_skip(r);
  }
  if (r->is_bad) return true; /* the caller says so */
  note_path(c, path);
  return check_file(c, path, digest);
}

/* --- the manifest ------------------------------------------------------------------------------------------ */

static bool check_files(struct checking *c, struct json_reader *r) {
  json_read_open(r, '[');
  while (json_read_more(r))
    if (!check_entry(c, r)) return false;
  return true;
}

static bool check_manifest(struct checking *c, struct str text, uint64_t version) {
  struct json_reader r = json_reader_of(text, &c->arena);
  struct str name;
  uint64_t named = 0;
  json_read_open(&r, '{');
  while (json_read_member(&r, &name)) {
    if (str_equal(name, STR("version")))
      named = json_read_whole(&r);
    else if (!str_equal(name, STR("files")))
      json_read_skip(&r);
    else if (!check_files(c, &r))
      return false;
  }
  if (r.is_bad || !json_read_is_done(&r))
    return why_say(c->why, "%s.signed: its manifest makes no sense", c->folder);
  return named == version || why_say(c->why, "%s.signed: it is of another version", c->folder);
}

/* "perilune-bundle 1\n<signature>\n<bytes of the manifest>\n<manifest>": the manifest, once its signature is known
 * to be good; what is signed has the first line before it. */
static bool check_signature(struct checking *c, struct str head, struct str *manifest) {
  struct str rest = head, format, encoded, length;
  char signature[2 * SIGNATURE_BYTES];
  size_t bytes = 0;
  bool is_whole = str_split(&rest, '\n', &format) && rest.ptr && str_split(&rest, '\n', &encoded) &&
                  rest.ptr && str_split(&rest, '\n', &length) && rest.ptr;
  if (!is_whole || encoded.len > sizeof signature || !base64_trim(&encoded) ||
      !base64_decode(signature, &bytes, encoded, base64_plain))
    return why_say(c->why, "%s.signed: it is malformed", c->folder);
  struct str text = arena_printf(&c->arena, "%.*s\n%.*s", STR_ARG(format), STR_ARG(rest));
  *manifest = rest;
  return sign_is_by(bundle_settings()->keys, text, (struct str){signature, bytes}, c->why) ||
         why_prefix(c->why, "%s.signed: ", c->folder);
}

/* --- what is not in it ------------------------------------------------------------------------------------- */

static bool is_listed(const struct checking *c, const char *path) {
  for (unsigned i = 0; i < c->count; i++)
    if (str_equal(c->paths[i], str_of(path))) return true;
  return false;
}

static bool look_into(struct checking *c, const char *inside, unsigned depth);

static bool look_at(struct checking *c, const char *path, const char *name, unsigned depth) {
  struct stat info;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return true;
  const char *full = arena_printf(&c->arena, "%s/%s%c", c->folder, path, '\0').ptr;
  if (stat(full, &info) == 0 && S_ISDIR(info.st_mode)) return look_into(c, path, depth + 1);
  return !path_is_script(name) || is_listed(c, path) ||
         why_say(c->why, "%s/%s: it is not in the bundle, and scripts that nobody has signed are not run",
                 c->folder, path);
}

/* A folder that cannot be read to its end may have anything. */
static bool look_into(struct checking *c, const char *inside, unsigned depth) {
  const char *slash = *inside ? "/" : "";
  const char *full = arena_printf(&c->arena, "%s%s%s%c", c->folder, slash, inside, '\0').ptr;
  if (depth > DEPTH_MOST) return why_say(c->why, "%s: too deep", full);
  DIR *folder = opendir(full);
  if (!folder) return why_say(c->why, "%s: %s", full, strerror(errno));
  const struct dirent *entry;
  bool fine = true;
  while (errno = 0, fine && (entry = readdir(folder)))
    fine = look_at(c, arena_printf(&c->arena, "%s%s%s%c", inside, slash, entry->d_name, '\0').ptr,
                   entry->d_name, depth);
  if (fine && errno) fine = why_say(c->why, "%s: %s", full, strerror(errno));
  closedir(folder);
  return fine;
}

/* --- all --------------------------------------------------------------------------------------------------- */

static bool check_version(struct checking *c, uint64_t version) {
  struct buf head = {0};
  struct str manifest = {0};
  const char *path = arena_printf(&c->arena, "%s.signed%c", c->folder, '\0').ptr;
  bool fine = safe_read(path, SAFE_READ_MOST, &head) || why_say(c->why, "%s: %s", path, safe_reason(errno));
  fine = fine && check_signature(c, buf_str(&head), &manifest) && check_manifest(c, manifest, version) &&
         look_into(c, "", 0);
  buf_release(&head);
  return fine;
}

/* The version below the bundles' folder, and its own folder. False: it is of none. */
static bool find_version(struct checking *c, const char *script, uint64_t *version) {
  struct str rest = str_of(script), number;
  const char *above = arena_printf(&c->arena, "%s/versions/%c", bundle_settings()->folder, '\0').ptr;
  if (!str_starts_with(rest, str_of(above))) return false;
  rest = str_from(rest, strlen(above));
  if (!str_split(&rest, '/', &number) || !rest.ptr || !str_to_u64(number, version)) return false;
  c->folder = arena_printf(&c->arena, "%s%.*s%c", above, STR_ARG(number), '\0').ptr;
  return true;
}

bool bundle_check(const char *script, char **why) {
  struct checking c = {.why = why};
  uint64_t version;
  if (!bundle_settings()) return true;
  bool fine = !find_version(&c, script, &version) || check_version(&c, version);
  bundle_state()->is_damaged = !fine;
  arena_free(&c.arena);
  return fine;
}
