// SPDX-License-Identifier: Apache-2.0
// upgrade: which protocols of an Upgrade field may be passed on as a tunnel, and which may not (RFC 9110 section
// 7.8). Nothing is removed silently: a caller that removes protocols gets the reason from upgrade_refusal, and logs it.
#ifndef PERILUNE_HTTP_UPGRADE_H
#define PERILUNE_HTTP_UPGRADE_H

#include "http/message.h"

/* The protocols of all Upgrade fields that can be tunnelled, as one list; empty: there is none. A slice of the one
 * field where that is passed on whole; else in the arena of the headers. */
struct str upgrade_passed(const struct headers *headers);

/* A static sentence that says why an Upgrade of the request, or a protocol of it, goes no further, and *protocol,
 * the first of those. NULL: all is passed on, or there is none. To be asked after framing_of_request, and before
 * framing_strip_request. */
const char *upgrade_refusal(const struct request *request, struct str *protocol);
/* The same for what a response asks for or advertises. */
const char *upgrade_refusal_of_peer(const struct headers *headers, struct str *protocol);

/* A 101 names the protocols that lie on one another. No sender has reason to name more. */
enum { UPGRADE_LAYERS = 16 };
/* Does a 101 switch to protocols that the request offered, and to one at least? */
bool upgrade_is_offered(struct str offered, struct str taken);

#endif
