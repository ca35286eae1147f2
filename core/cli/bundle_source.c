// SPDX-License-Identifier: Apache-2.0
// bundle_source: see bundle_source.h. Files are looked at where they are used (runtime/deploy/bundle.c).
#include "cli/bundle_source.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "runtime/deploy/bundle_state.h"

#define REFUSE(...) (arguments_refuse(COMMAND_RUN, __VA_ARGS__), false)

static bool check_lonely(const struct arguments *a) {
  static const char *const all[] = {"--bundle-key",      "--bundle-dir",        "--bundle-node",
                                    "--bundle-ca",       "--bundle-token-file", "--bundle-cert",
                                    "--bundle-cert-key", "--bundle-every"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (arguments_has(a, all[i])) return REFUSE("%s: --bundle is missing", all[i]);
  return true;
}

static bool check_url(const struct bundle_from *from) {
  struct str rest = str_of(from->url);
  bool is_secure = str_take_nocase(&rest, STR("https://"));
  if (!is_secure && !str_take_nocase(&rest, STR("http://")))
    return REFUSE("--bundle wants a URL that begins with https:// or http://, not '%s'", from->url);
  if (is_secure) return true;
  if (from->ca) return REFUSE("--bundle-ca is for https://, and --bundle begins with http://");
  return !from->certificate || REFUSE("--bundle-cert is for https://, and --bundle begins with http://");
}

static bool check(const struct arguments *a) {
  const struct bundle_from *from = &a->from;
  if (!from->url) return check_lonely(a);
  if (a->operand) return REFUSE("either a SCRIPT or --bundle");
  if (!from->key) return REFUSE("--bundle wants --bundle-key: whose signatures are good");
  if (!from->certificate != !from->certificate_key)
    return REFUSE("--bundle-cert and --bundle-cert-key go together");
  return check_url(from);
}

/* The machine's name, where none is given. */
static const char *node_name(const struct bundle_from *from) {
  static char name[256];
  if (from->node) return from->node;
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

static const char *folder_name(const struct bundle_from *from) {
  static char folder[PATH_MAX];
  const char *state = getenv("STATE_DIRECTORY");
  if (from->dir) return from->dir;
  snprintf(folder, sizeof folder, "%s/bundle", state ? state : "/var/lib/perilune");
  return folder;
}

bool bundle_source_read(const struct arguments *a, struct bundle_settings *settings) {
  const struct bundle_from *from = &a->from;
  if (!check(a)) return false;
  *settings = (struct bundle_settings){.url = from->url,
                                       .keys = from->key,
                                       .folder = folder_name(from),
                                       .node = node_name(from),
                                       .access = {.ca = from->ca,
                                                  .token_file = from->token_file,
                                                  .certificate = from->certificate,
                                                  .key = from->certificate_key},
                                       .every_ms = from->every_ms};
  return true;
}
