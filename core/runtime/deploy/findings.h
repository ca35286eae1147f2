// SPDX-License-Identifier: Apache-2.0
// findings: mistakes that `perilune check` finds in a policy that has loaded, and which would show only when a
// request comes that way. For a running proxy they are warnings: the policy is used anyway.
#ifndef PERILUNE_RUNTIME_FINDINGS_H
#define PERILUNE_RUNTIME_FINDINGS_H

struct instance;

/* Lines of "FILE:LINE: what", a bounded number of them and how many more there are. Malloc'd; NULL: none. In the thread
 * that has loaded it, before it is bound. */
char *findings_take(const struct instance *instance);
/* `text` with "warning: ..." lines behind it, malloc'd; takes over `text`. */
char *findings_append(char *text, const char *findings);

#endif
