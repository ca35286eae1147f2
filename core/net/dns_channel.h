// SPDX-License-Identifier: Apache-2.0
// dns_channel: one name server, asked by c-ares on a loop: a watcher per socket that c-ares opens, one timer for its
// deadlines. c-ares sends the question and receives the answer (by UDP, or TCP if it is long). net/dns_client decides
// which server to ask, and when to ask again.
#ifndef PERILUNE_NET_DNS_CHANNEL_H
#define PERILUNE_NET_DNS_CHANNEL_H

#include <stddef.h>

struct dns_channel;
struct ev_loop;

/* `status` is c-ares'. Once for each question, also from inside of dns_channel_ask and dns_channel_free. `message`
 * may be NULL, and is valid during the call. */
typedef void dns_channel_done(void *owner, int status, const unsigned char *message, size_t length);

/* For "10.0.0.2:53" or "[::1]:53". A question is given up `patience_ms` after it was asked. NULL: c-ares cannot start,
 * *status is why. */
struct dns_channel *dns_channel_new(struct ev_loop *loop, const char *server, unsigned patience_ms,
                                    int *status);
/* Ends all questions (ARES_EDESTRUCTION). Not from inside of a dns_channel_done. NULL is harmless. */
void dns_channel_free(struct dns_channel *channel);
/* `type` is of a record, in class IN. */
void dns_channel_ask(struct dns_channel *channel, const char *name, int type, dns_channel_done *done,
                     void *owner);

#endif
