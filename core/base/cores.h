// SPDX-License-Identifier: Apache-2.0
// cores: how many cores this process may use.
#ifndef PERILUNE_BASE_CORES_H
#define PERILUNE_BASE_CORES_H

/* At least 1; what taskset and a cpuset leave of the machine. */
unsigned cores_available(void);

#endif
