// SPDX-License-Identifier: Apache-2.0
// services: reads the answer of a name server to a question for SRV records (RFC 2782).
#ifndef PERILUNE_NET_SERVICES_H
#define PERILUNE_NET_SERVICES_H

#include "net/resolver.h"

/* What the records of a message say; at most `most` of them. The addresses are names with ports. False: this
 * is no such message. *ttl_s is the shortest of the records taken; without records it stays. */
bool services_read(const unsigned char *message, size_t length, struct resolver_service *services,
                   unsigned most, unsigned *count, unsigned *ttl_s);

#endif
