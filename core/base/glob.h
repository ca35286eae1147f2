// SPDX-License-Identifier: Apache-2.0
// glob: patterns as people write them for paths and names: "*" is any text, "?" any one byte.
#ifndef PERILUNE_BASE_GLOB_H
#define PERILUNE_BASE_GLOB_H

#include <stdbool.h>

#include "base/str.h"

/* The whole text, with regard to case. Takes pattern times text steps at most. */
bool glob_matches(struct str pattern, struct str text);

#endif
