// SPDX-License-Identifier: Apache-2.0
// describe: says in a line of the log which request it is about: " (GET /path of client
// 127.0.0.1:50000, request id 7f3a)".
#ifndef PERILUNE_EXCHANGE_DESCRIBE_H
#define PERILUNE_EXCHANGE_DESCRIBE_H

struct exchange;

enum { DESCRIBE_BYTES = 512 };

/* Without the query, which may hold secrets. The request id is the policy's, else the field X-Request-Id. It belongs
 * behind a message, and never into the subject of its throttle: clients make it up. Gives `room`. */
const char *exchange_describe(struct exchange *x, char room[DESCRIBE_BYTES]) __attribute__((cold));

#endif
