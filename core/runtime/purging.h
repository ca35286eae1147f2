// SPDX-License-Identifier: Apache-2.0
// purging: the command `purge`, which lets caches forget something.
#ifndef PERILUNE_RUNTIME_PURGING_H
#define PERILUNE_RUNTIME_PURGING_H

struct command_client;

/* `line`: "url|prefix|tag|all hard|soft", and behind a tab each the name of a cache (empty: all of them) and what is to
 * be forgotten. Answers at once. */
void purging_obey(struct command_client *client, const char *line);

#endif
