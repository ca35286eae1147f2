// SPDX-License-Identifier: Apache-2.0
// bundle: one for the process. The server loads the script that its options name: a try names another one, and a
// refusal names the old one again before anything else can be loaded.
#include "runtime/deploy/bundle.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "net/tls_context.h"
#include "net/tls_sign.h"
#include "runtime/deploy/bundle_check.h"
#include "runtime/deploy/reload.h"
#include "runtime/server.h"
#include "shared/registry.h"

static struct {
  struct server_options *options; /* borrowed; NULL: no bundle */
  struct server *server;          /* borrowed */
  char *script, *tried;           /* owned; what is in force, and on trial */
  char *folder;                   /* owned: absolute */
  char *files[5];                 /* owned: the settings' other files, absolute */
  char **older;                   /* owned array of owned: scripts of policies that may still run */
  unsigned older_count;
  uint64_t trial; /* its version */
} bundle;

static char *join(const char *folder, const char *name) { return why_text("%s/%s", folder, name); }

/* --- the last good version -------------------------------------------------------------------------------- */

/* "12 policy.lua\n" */
static bool read_good(struct str text) {
  struct str version, script;
  uint64_t number;
  if (!str_split(&text, ' ', &version) || !text.ptr || !str_split(&text, '\n', &script)) return false;
  if (!str_to_u64(version, &number) || !number || !script.len) return false;
  bundle_state()->running = number;
  bundle.script =
      why_text("%s/versions/%llu/%.*s", bundle.folder, (unsigned long long)number, STR_ARG(script));
  bundle_state()->seen = number;
  char *why = NULL;
  if (bundle_check(bundle.script, &why)) return true;
  log_warn("bundle: version %llu is not used: %s", (unsigned long long)number, why);
  bundle_state()->failures++;
  bundle_copy(bundle_state()->why, str_of(why));
  free(why);
  free(bundle.script);
  bundle.script = NULL;
  bundle_state()->running = 0;
  return false;
}

static void find_good(void) {
  char *path = join(bundle.folder, "good");
  struct buf text = {0};
  bool is_known = safe_read(path, SAFE_READ_MOST, &text) && read_good(buf_str(&text));
  if (is_known)
    log_info("bundle: version %llu is the last good one", (unsigned long long)bundle_state()->running);
  else
    log_info("bundle: there is no version so far; waiting for the first from %s", bundle_settings()->url);
  buf_release(&text);
  free(path);
}

static void keep_good(void) {
  char *path = join(bundle.folder, "good");
  const char *inside = strstr(bundle.script, "/versions/");
  inside = inside ? strchr(inside + sizeof "/versions/" - 1, '/') : NULL;
  char *text = why_text("%llu %s\n", (unsigned long long)bundle_state()->running, inside ? inside + 1 : "");
  if (!safe_replace(path, str_of(text)))
    log_warn("bundle: %s: %s; the next start does not know of version %llu", path, safe_reason_new(errno),
             (unsigned long long)bundle_state()->running);
  free(text);
  free(path);
}

/* What serves nothing, until there is a version. */
static bool write_waiting(char **why) {
  bundle.script = join(bundle.folder, "waiting.lua");
  return safe_replace(bundle.script, STR("-- Waits for the first bundle.\n"
                                         "require(\"perilune\").listen(\"127.0.0.1:0\", {\n"
                                         "  request_filter = function(session) return session:respond "
                                         "{ status = 503, body = \"no bundle so far\\n\" } end,\n})\n")) ||
         why_say(why, "--bundle-dir: %s: %s", bundle.script, safe_reason_new(errno));
}

/* Nobody else may put a policy there. */
static bool prepare_folder(const char *folder, char **why) {
  struct stat info;
  if (mkdir(folder, 0700) != 0 && errno != EEXIST)
    return why_say(why, "--bundle-dir %s: %s", folder, safe_reason_new(errno));
  bundle.folder = realpath(folder, NULL);
  if (!bundle.folder || stat(bundle.folder, &info) != 0)
    return why_say(why, "--bundle-dir %s: %s", folder, strerror(errno));
  if (!S_ISDIR(info.st_mode)) return why_say(why, "--bundle-dir %s: it is no folder", folder);
  if (info.st_mode & (S_IWGRP | S_IWOTH))
    return why_say(why, "--bundle-dir %s: others can write to it; chmod 700 it", folder);
  return true;
}

/* A daemon's paths are absolute. */
static bool find_file(const char *option, const char **name, char **owned, char **why) {
  if (!*name) return true;
  if (access(*name, R_OK) != 0) return why_say(why, "%s %s: %s", option, *name, strerror(errno));
  *name = *owned = path_absolute(*name);
  return true;
}

static bool find_files(struct bundle_settings *s, char **why) {
  char **owned = bundle.files;
  return find_file("--bundle-key", &s->keys, owned, why) &&
         find_file("--bundle-ca", &s->access.ca, owned + 1, why) &&
         find_file("--bundle-token-file", &s->access.token_file, owned + 2, why) &&
         find_file("--bundle-cert", &s->access.certificate, owned + 3, why) &&
         find_file("--bundle-cert-key", &s->access.key, owned + 4, why);
}

/* They are read again when they are used: this is to tell of mistakes at the start. */
static bool check_keys(const char *keys, char **why) {
  return sign_has_keys(keys, why) || why_prefix(why, "--bundle-key: ");
}

static bool check_certificates(const struct bundle_access *access, char **why) {
  struct tls_client_options tls = {
      .ca = str_of(access->ca), .certificate = str_of(access->certificate), .key = str_of(access->key)};
  if (!access->ca && !access->certificate) return true;
  struct tls_context *context = tls_context_client(&tls, why);
  tls_context_release(context);
  return context || why_prefix(why, "--bundle-ca, --bundle-cert: ");
}

bool bundle_begin(const struct bundle_settings *settings, struct server_options *options, char **why) {
  struct bundle_settings absolute = *settings;
  bundle.options = options;
  if (!find_files(&absolute, why) || !check_keys(absolute.keys, why) ||
      !check_certificates(&absolute.access, why) || !prepare_folder(settings->folder, why))
    return false;
  absolute.folder = bundle.folder;
  bundle_set(&absolute);
  find_good();
  if (!bundle.script && !write_waiting(why)) return false;
  options->source.name = settings->url;
  options->source.source = bundle.script;
  return true;
}

void bundle_end(void) {
  for (unsigned i = 0; i < bundle.older_count; i++) free(bundle.older[i]);
  free(bundle.older);
  free(bundle.script);
  free(bundle.tried);
  free(bundle.folder);
  bundle.folder = NULL;
  for (unsigned i = 0; i < sizeof bundle.files / sizeof *bundle.files; i++) {
    free(bundle.files[i]);
    bundle.files[i] = NULL;
  }
  bundle.older = NULL;
  bundle.older_count = 0;
  bundle.script = bundle.tried = NULL;
  bundle.options = NULL;
  bundle_set(NULL);
}

void bundle_serve(struct server *server) { bundle.server = server; }

/* --- a try ------------------------------------------------------------------------------------------------ */

static void take(void) {
  bundle.older = memory_realloc(bundle.older, (bundle.older_count + 1) * sizeof *bundle.older);
  bundle.older[bundle.older_count++] = bundle.script;
  bundle.script = bundle.tried;
  bundle.tried = NULL;
  bundle_state()->running = bundle.trial;
  bundle_state()->refusal[0] = '\0';
  keep_good();
  log_info("bundle: version %llu is in force", (unsigned long long)bundle.trial);
}

static void refuse(const char *why) {
  bundle.options->source.source = bundle.script;
  free(bundle.tried);
  bundle.tried = NULL;
  bundle_state()->refused = bundle.trial;
  bundle_copy(bundle_state()->refusal, str_of(why));
  log_warn("bundle: version %llu is refused; version %llu serves on", (unsigned long long)bundle.trial,
           (unsigned long long)bundle_state()->running);
}

static void on_ended(struct server *s, bool fine, const char *why) {
  (void)s;
  bundle_state()->is_trying = false;
  if (fine)
    take();
  else
    refuse(why);
}

static void on_loaded(struct server *s, struct generation *g, const char *why, void *owner) {
  (void)owner;
  if (!g && phase_is_over(s->phase)) return;
  on_ended(s, g != NULL, why);
  if (g) {
    generation_put_in_force(s, g);
    return;
  }
  server_enter(s, PHASE_SERVING);
  generation_refuse(s, "bundle", why);
  server_reload_queued(s);
}

static bool begin(struct server *s, const struct canary_options *canary, char **why) {
  if (canary->share) return canary_start(s, canary, why);
  server_enter(s, PHASE_LOADING);
  if (generation_load(s, registry_stage(s->registry), on_loaded, NULL, why)) return true;
  server_enter(s, PHASE_SERVING);
  return false;
}

const char *bundle_try(uint64_t version, const char *script, const struct canary_options *canary) {
  struct server *s = bundle.server;
  struct canary_options options = *canary;
  char *why = NULL;
  const char *obstacle = s ? server_refusal(s, DEMAND_RELOAD) : "it does not serve yet";
  if (obstacle) return obstacle;
  const void *before = bundle.options->source.source;
  options.on_end = on_ended;
  free(bundle.tried);
  bundle.tried = str_to_cstring(str_of(script));
  bundle.trial = version;
  bundle.options->source.source = bundle.tried;
  bundle_state()->is_trying = true;
  log_info("bundle: version %llu is tried", (unsigned long long)version);
  if (begin(s, &options, &why)) return NULL;
  bundle.options->source.source = before;
  bundle_state()->is_trying = false;
  log_warn("bundle: %s", why);
  free(why);
  return "it could not begin";
}
