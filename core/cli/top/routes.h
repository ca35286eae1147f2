// SPDX-License-Identifier: Apache-2.0
// top/routes: which requests come, by method, host and the first part of the path. The proxy does not count them so:
// they come as `perilune trace` gets them, while that table is shown.
#ifndef PERILUNE_CLI_TOP_ROUTES_H
#define PERILUNE_CLI_TOP_ROUTES_H

#include <stdbool.h>
#include <stdio.h>

#include "runtime/running.h"

struct routes;

struct routes *routes_new(void);
void routes_free(struct routes *routes);
/* Begins to look on, or ends it: nothing that was seen is forgotten. Harmless where it is so already. */
void routes_watch(struct routes *routes, const struct running *running, bool is_wanted);
/* Takes what has come. */
void routes_read(struct routes *routes);
/* The table, in the form of runtime/observe/figures.h. */
void routes_write(const struct routes *routes, FILE *out);

#endif
