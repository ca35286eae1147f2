// SPDX-License-Identifier: Apache-2.0
// http1: HTTP/1 on a client's connection, one exchange after another. http1_requests.c waits for heads and begins
// exchanges; http1_stream.c is what they know of the protocol; ending.c is what follows each of them.
#ifndef PERILUNE_DOWNSTREAM_HTTP1_H
#define PERILUNE_DOWNSTREAM_HTTP1_H

struct downstream;

/* http1_requests.c: the first request may come. */
void http1_greeted(struct downstream *d);
/* The next one may come. While the proxy stops it will be the last, and it is waited for shortly. */
void http1_await(struct downstream *d);
/* There is something to read while it is IDLE or has a part of a head. */
void http1_read_head(struct downstream *d);
/* The rest of a head has not come in time. */
void http1_head_due(struct downstream *d);
/* The part of a head that is there is answered with 408, and its memory given back. */
void http1_give_up_head(struct downstream *d);
/* The connection closes: no part of a head is held any more. */
void http1_forget_head(struct downstream *d);

/* http1_stream.c: makes the connection's stream one of HTTP/1. */
void http1_stream_init(struct downstream *d);
/* There is something to read while an exchange is under way. */
void http1_stream_readable(struct downstream *d);

/* ending.c: what follows an exchange, which still knows what it was sent. */
void http1_ended(struct downstream *d);
/* An event of the conn, or the timer, in state DRAIN or LINGER. */
void ending_readable(struct downstream *d);
void ending_writable(struct downstream *d);
void ending_due(struct downstream *d);
/* The proxy stops: it takes no longer than it must. */
void ending_hasten(struct downstream *d);
/* The connection is about to be closed, with an exchange under way or just ended: a response that was cut off does not
 * look whole. */
void ending_shows_cut(struct downstream *d);

#endif
