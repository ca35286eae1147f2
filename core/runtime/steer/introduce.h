// SPDX-License-Identifier: Apache-2.0
// steer/introduce: what a proxy says of itself to `perilune ps` (runtime/ps.h): lines "<word>\t<text>".
#ifndef PERILUNE_RUNTIME_STEER_INTRODUCE_H
#define PERILUNE_RUNTIME_STEER_INTRODUCE_H

struct server;

/* Malloc'd. */
char *introduce(const struct server *server);

#endif
