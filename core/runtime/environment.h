// SPDX-License-Identifier: Apache-2.0
// environment: what the process takes from the machine and checks again: the time zone for log times, and the files
// of certificates for peers, with the system's store. Both are also checked at each reload; certificates of listeners
// only then, because they belong to the policy.
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
