// SPDX-License-Identifier: Apache-2.0
// proxy_script: writes a policy that does the same as `perilune proxy` with these arguments, to be saved and changed. A
// running `perilune proxy` uses it for its health checks (runtime/forward).
#ifndef PERILUNE_CLI_PROXY_SCRIPT_H
#define PERILUNE_CLI_PROXY_SCRIPT_H

#include "runtime/config.h"
#include "runtime/forward.h"

/* A malloc'd text. The settings of the command line are part of it, unless `config` is NULL. */
char *proxy_script(const struct forward_options *options, const struct config *config);

#endif
