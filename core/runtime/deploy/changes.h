// SPDX-License-Identifier: Apache-2.0
// changes: what a reload has changed, as lines for people: files of the policy, listeners, and settings of the
// process, which come into force with an upgrade only; and what an upgrade does not hand over.
#ifndef PERILUNE_RUNTIME_CHANGES_H
#define PERILUNE_RUNTIME_CHANGES_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

struct config;
struct listening;
struct registry;
struct stamps;

/* The state of files as they are now; `lines` are their paths. NULL lines: of none. */
struct stamps *stamps_take(const char *lines);
/* Has one of them been written, or put in its place, between `begin` and now? `begin` is of CLOCK_REALTIME_COARSE: no
 * file that is written later gets a time before it. */
bool stamps_have_changed(const struct stamps *stamps, const struct timespec *begin);
/* NULL is fine. */
void stamps_free(struct stamps *stamps);

/* Each writes lines such as "  changed: policy.lua"; nothing where nothing has changed. `before` may be NULL: then
 * there was nothing before. */
void changes_of_files(const struct stamps *before, const struct stamps *now, FILE *out);
void changes_of_listeners(const struct listening *before, const struct listening *now, FILE *out);
/* `now` is what the new policy configures; what the command line has set is not the policy's to change. */
void changes_of_settings(const struct config *running, const struct config *now, FILE *out);
/* What shared objects the policy in force has, which a successor begins again: malloc'd, one line without its end.
 * NULL: none. */
char *changes_of_successor(struct registry *registry);

#endif
