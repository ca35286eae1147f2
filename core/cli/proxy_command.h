// SPDX-License-Identifier: Apache-2.0
// proxy_command: checks the arguments of `perilune proxy` and brings them into one form: addresses without "https://"
// and with a port, and absolute file names. It opens nothing.
#ifndef PERILUNE_CLI_PROXY_COMMAND_H
#define PERILUNE_CLI_PROXY_COMMAND_H

#include "base/arena.h"
#include "cli/arguments.h"
#include "runtime/forward.h"

struct proxy_command {
  struct arena arena;             /* all text */
  struct cidr_set *networks;      /* owned; of --trusted-proxies; NULL: there are none */
  struct forward_options options; /* its checker is the caller's to set */
};

/* False: what is wrong was said. In either case proxy_command_free follows. */
bool proxy_command_read(struct proxy_command *p, const struct arguments *a);
void proxy_command_free(struct proxy_command *p);

#endif
