// SPDX-License-Identifier: Apache-2.0
// bundle: the policy comes from elsewhere, as a signed file (`perilune run --bundle`). Here is what of that outlives
// generations: which version runs, which is wanted, what was refused; and how a version is put in the policy's place.
// lua/perilune/bundle_agent.lua, a task of the control worker, fetches, checks and unpacks.
//
// The folder. good: the version to start with, which ran last; versions/N: its files; versions/N.signed: what tells
// that they are the ones that were signed (bundle_check.h). A version becomes good once it is in force. Until then, and
// if it is refused, the last one is what is loaded.
#ifndef PERILUNE_RUNTIME_BUNDLE_H
#define PERILUNE_RUNTIME_BUNDLE_H

#include "runtime/deploy/bundle_state.h"
#include "runtime/deploy/canary.h"

struct server;
struct server_options;

/* Before the process runs: the script of the last good version becomes that of `options`, or one that waits for the
 * first. False: *why is a malloc'd message. */
bool bundle_begin(const struct bundle_settings *settings, struct server_options *options, char **why);
void bundle_end(void);
/* --- in the control worker's thread --- */

/* The server that runs; before any policy is in force. */
void bundle_serve(struct server *server);
/* Puts a version with that script in the policy's place, by a canary where options say so (`share` above 0). Its
 * outcome is in the state. NULL: it has begun; else why it cannot be tried now, a static sentence or the server's. */
const char *bundle_try(uint64_t version, const char *script, const struct canary_options *canary);

#endif
