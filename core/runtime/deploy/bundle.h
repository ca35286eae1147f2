// SPDX-License-Identifier: Apache-2.0
// bundle: the policy comes from elsewhere, as a signed file (`perilune run --bundle`). Here is what of that outlives
// generations: which version runs, which is wanted, what was refused; and how a version is put in the policy's place.
// lua/perilune/bundle_agent.lua, a task of the control worker, fetches, checks and unpacks.
//
// The folder. good: the version to start with, which ran last; versions/N: its files. A version becomes good once it is
// in force. Until then, and if it is refused, the last one is what is loaded.
#ifndef PERILUNE_RUNTIME_BUNDLE_H
#define PERILUNE_RUNTIME_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "runtime/deploy/canary.h"

struct json;
struct server;
struct server_options;

struct bundle_settings {
  const char *url, *keys, *folder, *node; /* borrowed for the life of the process */
  unsigned every_ms;
};

enum { BUNDLE_WHY_BYTES = 400 };

struct bundle_state {
  uint64_t running;           /* version; 0: none so far */
  uint64_t wanted;            /* the newest that is signed and whole; 0: none so far */
  uint64_t refused;           /* the last one that was tried and not taken */
  time_t good_at;             /* when the source last answered; 0: never */
  uint64_t failures;          /* of asking it, and of what it gave */
  bool is_trying, is_down;    /* a version is loaded, or on trial; the source, or what it gave, is not good */
  char why[BUNDLE_WHY_BYTES]; /* it is down */
  char refusal[BUNDLE_WHY_BYTES]; /* why the refused one was */
};

/* Before the process runs: the script of the last good version becomes that of `options`, or one that waits for the
 * first. False: *why is a malloc'd message. */
bool bundle_begin(const struct bundle_settings *settings, struct server_options *options, char **why);
void bundle_end(void);
/* NULL: the policy is a file of this machine. */
const struct bundle_settings *bundle_settings(void);

/* --- in the control worker's thread --- */

struct bundle_state *bundle_state(void);
/* The server that runs; before any policy is in force. */
void bundle_serve(struct server *server);
void bundle_note_good(void);
void bundle_note_failure(struct str why);
/* Puts a version with that script in the policy's place, by a canary where options say so (`share` above 0). Its outcome
 * is in the state. NULL: it has begun; else why it cannot be tried now, a static sentence or of the server. */
const char *bundle_try(uint64_t version, const char *script, const struct canary_options *canary);

void bundle_put_text(FILE *out);
void bundle_put_json(struct json *j);
void bundle_put_metrics(FILE *out);

#endif
