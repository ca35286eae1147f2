// SPDX-License-Identifier: Apache-2.0
// bundle_state: static structs, and the lines of the log about the source.
#include "runtime/deploy/bundle_state.h"

#include <string.h>

#include "base/log.h"

static struct bundle_settings settings;
static struct bundle_state state;

void bundle_set(const struct bundle_settings *wanted) {
  settings = wanted ? *wanted : (struct bundle_settings){0};
}
const struct bundle_settings *bundle_settings(void) { return settings.url ? &settings : NULL; }
struct bundle_state *bundle_state(void) {
  return &state;
}

void bundle_copy(char to[BUNDLE_WHY_BYTES], struct str text) {
  size_t length = text.len < BUNDLE_WHY_BYTES ? text.len : BUNDLE_WHY_BYTES - 1;
  if (length) memcpy(to, text.ptr, length);
  to[length] = '\0';
  for (char *c = to; *c; c++)
    if (*c == '\n') *c = *(c + 1) ? ' ' : '\0';
}

void bundle_note_good(void) {
  if (state.is_down) log_info("bundle: %s is back", settings.url);
  state.is_down = false;
  state.good = moment_now();
}

void bundle_note_failure(struct str why) {
  char text[BUNDLE_WHY_BYTES];
  bundle_copy(text, why);
  bool is_news = !state.is_down || strcmp(text, state.why) != 0;
  if (is_news)
    log_warn("bundle: %s: %s; version %llu serves on", settings.url, text, (unsigned long long)state.running);
  state.failures++;
  state.is_down = true;
  memcpy(state.why, text, sizeof text);
}
