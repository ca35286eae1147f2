// SPDX-License-Identifier: Apache-2.0
// proxy_protocol: the PROXY header, versions 1 and 2, by which a load balancer says who its client is. It
// comes before anything else on a connection, TLS included. Addresses are plain socket addresses: this layer
// does not use the network.
#ifndef PERILUNE_HTTP_PROXY_PROTOCOL_H
#define PERILUNE_HTTP_PROXY_PROTOCOL_H

#include <sys/socket.h>

#include "base/str.h"

struct proxy_protocol {
  struct sockaddr_storage source, destination;
  socklen_t source_length,
      destination_length; /* 0: not told (LOCAL, UNKNOWN, a family that is none of ours) */
  bool is_of_client;      /* the sender speaks for a client, told or not; false: for itself (LOCAL) */
};

enum proxy_protocol_result {
  PROXY_PROTOCOL_MORE,   /* needs more bytes */
  PROXY_PROTOCOL_WHOLE,  /* *length bytes from the start are the header */
  PROXY_PROTOCOL_ABSENT, /* these bytes begin something else */
  PROXY_PROTOCOL_BAD     /* a header, but malformed or longer than PROXY_PROTOCOL_LONGEST */
};

/* The longest header accepted, type-length-values of version 2 included; they are skipped. */
enum { PROXY_PROTOCOL_LONGEST = 4096 };
/* bytes[0..count) starts where the connection does and grows between calls. */
enum proxy_protocol_result proxy_protocol_parse(const char *bytes, size_t count,
                                                struct proxy_protocol *header, size_t *length);

enum { PROXY_PROTOCOL_BYTES = 232 };
/* Writes a header of version 1 or 2; returns its length. Where addresses are not told, or of kinds that the version
 * cannot express, it is UNKNOWN; in version 2 LOCAL, or, of a client (is_of_client), of no family: what is LOCAL may be
 * taken for ourselves. An IPv4 address beside an IPv6 one is written as an IPv4-mapped one. */
size_t proxy_protocol_write(unsigned version, const struct proxy_protocol *header,
                            char bytes[PROXY_PROTOCOL_BYTES]);

#endif
