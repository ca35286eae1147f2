// SPDX-License-Identifier: Apache-2.0
// bundle_source: what `perilune run --bundle` says of where the policy comes from.
#ifndef PERILUNE_CLI_BUNDLE_SOURCE_H
#define PERILUNE_CLI_BUNDLE_SOURCE_H

#include <stdbool.h>

struct arguments;
struct bundle_settings;

/* `settings` borrows from the arguments, and from what lives as long as the process. False: what does not go together
 * was said. */
bool bundle_source_read(const struct arguments *a, struct bundle_settings *settings);

#endif
