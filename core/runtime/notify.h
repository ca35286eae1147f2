// SPDX-License-Identifier: Apache-2.0
// notify: reports the state to the process that started this one: the service manager (sd_notify's protocol: a
// datagram to $NOTIFY_SOCKET), and a parent that waits on a pipe ($PERILUNE_READY_FD: an upgrade, --daemon).
#ifndef PERILUNE_RUNTIME_NOTIFY_H
#define PERILUNE_RUNTIME_NOTIFY_H

#include <stdint.h>

/* Reads the environment, and takes away from it what is not for children. Call once, before threads start. */
void notify_init(void);
/* A line such as "STOPPING=1"; nothing happens where nobody listens. */
void notify_state(const char *state);
/* We serve: READY=1 with our process id, and a byte into the pipe. */
void notify_ready(void);
/* Around a reload; the first line of the outcome is what the service manager shows of us from then on. */
void notify_reloading(void);
void notify_reloaded(const char *outcome);
/* We end before we serve: the reason goes into the pipe, behind a "!", where a "1" would say that we do. */
void notify_failed(const char *why);
/* How often WATCHDOG=1 is wanted, in ms; 0: never. */
uint64_t notify_watchdog_ms(void);

#endif
