// SPDX-License-Identifier: Apache-2.0
// size: a number of bytes as people write it: 67108864, 64M, 64MiB, 1G.
#ifndef PERILUNE_BASE_SIZE_H
#define PERILUNE_BASE_SIZE_H

#include "base/str.h"

#define SIZE_WORDS "a number of bytes such as 256M"

/* False: it is none, or more than fits. */
bool size_parse(struct str text, uint64_t *bytes);

#endif
