// SPDX-License-Identifier: Apache-2.0
// sandbox: what a container's sandbox does to a thread, for units that must do without a system call.
#ifndef PERILUNE_SPEC_SANDBOX_H
#define PERILUNE_SPEC_SANDBOX_H

/* The system call `call` (SYS_...) fails with `error` in the calling thread, for good; and no_new_privs with it. */
void sandbox_forbid(int call, int error);

#endif
