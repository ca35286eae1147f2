// SPDX-License-Identifier: Apache-2.0
// environment: what the process takes from the machine, and looks at again: the time zone of the log's times, and the
// files of certificates towards peers, with the system's store of trusted ones. Both also at each reload; those of
// listeners only then, as they belong to the policy.
#ifndef PERILUNE_RUNTIME_ENVIRONMENT_H
#define PERILUNE_RUNTIME_ENVIRONMENT_H

struct environment;

enum { ENVIRONMENT_LOOK_S = 2 };

struct environment *environment_new(void);
/* Once a second, in the control thread: every ENVIRONMENT_LOOK_S it looks. What has changed is read by a thread of its
 * own. NULL is fine. */
void environment_beat(struct environment *environment);
/* NULL is fine. */
void environment_free(struct environment *environment);

#endif
