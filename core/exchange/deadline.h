// SPDX-License-Identifier: Apache-2.0
// deadline: who owes the next byte? While an exchange runs, its stream and its call have a clock each. The wait
// of a clock is derived only from the exchange's state, each time that something moved. One table (deadline.c) says
// for each wait which side owes, which setting is its time, and what its end means. The rule: a clock never runs
// while everybody waits for the proxy itself or its policy, and it starts again afterwards. Only progress of its own
// wait resets a clock.
//
// To add a wait: an id in exchange/waits.h, a line in the table, a line in client_wait or peer_wait.
#ifndef PERILUNE_EXCHANGE_DEADLINE_H
#define PERILUNE_EXCHANGE_DEADLINE_H

#include "exchange/waits.h"

struct exchange;
struct settings;

/* Sets both clocks to what the exchange waits for now. */
void deadline_watch(struct exchange *x);
/* The wait for response heads is over, or begins again with the next attempt or the next part of the request. */
void deadline_head_came(struct exchange *x);
void deadline_request_sent(struct exchange *x);

/* By the settings of the listener; for waits outside an exchange. */
unsigned wait_ms(enum wait wait, const struct settings *settings);

#endif
