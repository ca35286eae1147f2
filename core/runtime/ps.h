// SPDX-License-Identifier: Apache-2.0
// ps: `perilune ps`: asks each proxy that runs here what it is.
#ifndef PERILUNE_RUNTIME_PS_H
#define PERILUNE_RUNTIME_PS_H

#include <stdbool.h>
#include <stdio.h>

/* Returns the exit code: fine also where none runs. */
int ps_print(FILE *out, bool as_json);

#endif
