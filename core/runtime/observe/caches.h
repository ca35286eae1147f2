// SPDX-License-Identifier: Apache-2.0
// caches: the caches of the policy in force, as status and metrics show them.
#ifndef PERILUNE_RUNTIME_CACHES_H
#define PERILUNE_RUNTIME_CACHES_H

#include <stdio.h>

struct json;
struct registry;

/* For `perilune status`, a line for each; for status.json, an array; and for Prometheus. */
void caches_put_text(FILE *out, struct registry *registry);
void caches_put_json(struct json *j, struct registry *registry);
void caches_put_metrics(FILE *out, struct registry *registry);

#endif
