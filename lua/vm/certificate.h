// SPDX-License-Identifier: Apache-2.0
// certificate: the policy's `certificate` hook, which is called during a TLS handshake.
#ifndef PERILUNE_LUA_CERTIFICATE_H
#define PERILUNE_LUA_CERTIFICATE_H

#include "exchange/hooks.h"

/* For struct hooks. */
enum hook_status certificate_run(struct certificate_request *request);
void certificate_cancel(struct certificate_request *request);

#endif
