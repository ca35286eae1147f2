// SPDX-License-Identifier: Apache-2.0
// upload: how slowly a request body may come. Besides body_timeout, which is between two reads, a client has a credit
// of time: waiting for it uses it up, each byte gives some back, 1/min_receive_rate s, and it never grows beyond its
// beginning. So a client may stall now and then, but cannot be slower than that in the long run. The credit stands
// still while the client is not who is waited for, and is full again when it takes some of a response: there the client
// may be waiting for us. upload_timeout is the end in any case.
#ifndef PERILUNE_EXCHANGE_UPLOAD_H
#define PERILUNE_EXCHANGE_UPLOAD_H

#include <stdbool.h>

struct exchange;

/* The body is waited for: for how long, from now. */
unsigned upload_wait_ms(struct exchange *x);
/* Something else is. */
void upload_pause(struct exchange *x);
/* The time is over. NULL: it is body_timeout; else what else, for the log. */
const char *upload_why(const struct exchange *x);
/* Nothing that has come meanwhile changes it. */
bool upload_is_over(const struct exchange *x);

#endif
