// SPDX-License-Identifier: Apache-2.0
// cores: how many cores this process may use, and which of its threads come first there.
#ifndef PERILUNE_BASE_CORES_H
#define PERILUNE_BASE_CORES_H

/* At least 1; what taskset and a cpuset leave of the machine. */
unsigned cores_available(void);
/* From now on this thread gets a third of what a worker gets where both want the same core. Without effect where the
 * kernel does not allow it. */
void cores_yield_to_workers(void);

#endif
