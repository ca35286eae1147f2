// SPDX-License-Identifier: Apache-2.0
// dns_channel: c-ares on a loop: a watcher per socket that c-ares opens, one timer for its deadlines. Nothing above it
// knows c-ares' sockets.
#ifndef PERILUNE_NET_DNS_CHANNEL_H
#define PERILUNE_NET_DNS_CHANNEL_H

#include <stdbool.h>

struct ares_channeldata;
struct dns_channel;
struct ev_loop;

/* `servers` NULL: the system's. NULL: c-ares cannot start, *status is why. */
struct dns_channel *dns_channel_new(struct ev_loop *loop, const char *servers, int *status);
/* References: one of whoever made it, one of each question under way. The last one frees it, so it must not be given
 * back from inside of c-ares' callbacks. */
void dns_channel_hold(struct dns_channel *channel);
void dns_channel_release(struct dns_channel *channel);
/* Ends all questions, through their callbacks. */
void dns_channel_cancel(struct dns_channel *channel);
/* For calls into c-ares, and right after each. */
struct ares_channeldata *dns_channel_ares(struct dns_channel *channel);
void dns_channel_keep_deadline(struct dns_channel *channel);

#endif
