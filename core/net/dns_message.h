// SPDX-License-Identifier: Apache-2.0
// dns_message: reads the answer of a name server to a question for A, AAAA or SRV records (RFC 1035, 2782).
#ifndef PERILUNE_NET_DNS_MESSAGE_H
#define PERILUNE_NET_DNS_MESSAGE_H

#include "net/names.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_AAAA = 28, DNS_SRV = 33 };

/* Of an A record the first four bytes count. In network order. */
struct dns_address {
  unsigned char bytes[16];
};

struct dns_records {
  unsigned count, most; /* of one of the arrays; and its room */
  struct dns_address *addresses;
  struct resolver_service *services;
  bool has_ttl;
  unsigned ttl_s; /* the shortest; where there are none, how long that holds (RFC 2308) */
};

/* The records of `type`, at most RESOLVER_ADDRESSES; the addresses of services are names with ports. False: this is no
 * such message. Free them with dns_records_clear in any case. */
bool dns_message_read(const unsigned char *message, size_t length, enum dns_type type,
                      struct dns_records *records);
void dns_records_clear(struct dns_records *records);

#endif
