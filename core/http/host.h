// SPDX-License-Identifier: Apache-2.0
// host: which authority a request is for: the four forms of a target (RFC 9112 section 3.2), and the Host
// field.
#ifndef PERILUNE_HTTP_HOST_H
#define PERILUNE_HTTP_HOST_H

#include "base/error.h"
#include "http/message.h"

/* uri-host [ ":" port ] (RFC 9110 section 7.2), the host not empty, the port at most 65535 and possibly
 * empty. */
bool host_is_valid(struct str authority);

/* Decides request->target and ->authority from the target as received, and the Host field that goes with
 * them: what an absolute-form target or CONNECT names replaces Host (RFC 9112 section 3.2.2). New text comes
 * from the headers' arena. */
enum error host_of_request(struct request *request, const char **why);

#endif
