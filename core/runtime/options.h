// SPDX-License-Identifier: Apache-2.0
// options: what the command line asks of the process, and the process's exit codes.
#ifndef PERILUNE_RUNTIME_OPTIONS_H
#define PERILUNE_RUNTIME_OPTIONS_H

#include "runtime/policy.h"

struct config;

struct server_options {
  struct policy_source source;
  struct config *config;           /* borrowed; what the policy configures is added */
  char **arguments;                /* this process's, for its successor */
  bool print_config;               /* print the effective settings instead of serving */
  const struct breakpoint *points; /* borrowed: of --break */
  unsigned point_count;
};

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_BAD_INPUT = 2 };

#endif
