// SPDX-License-Identifier: Apache-2.0
// proxy_script: `perilune proxy` as a policy: the script that does the same, to be saved and changed. It is also what
// checks the health of the peers of a running one (runtime/forward).
#ifndef PERILUNE_CLI_PROXY_SCRIPT_H
#define PERILUNE_CLI_PROXY_SCRIPT_H

#include "runtime/config.h"
#include "runtime/forward.h"

/* A malloc'd text. The settings of the command line are part of it, unless `config` is NULL. */
char *proxy_script(const struct forward_options *options, const struct config *config);

#endif
