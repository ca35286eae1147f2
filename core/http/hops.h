// SPDX-License-Identifier: Apache-2.0
// hops: what proxies say of their own clients, in X-Forwarded-For or in Forwarded (RFC 7239), from the last hop back to
// the first. Each proxy writes behind what came to it. So what stands at the end is read before what a client may
// have put in front of it, and nothing that stands there, such as an open quote, can change how the end is read.
#ifndef PERILUNE_HTTP_HOPS_H
#define PERILUNE_HTTP_HOPS_H

#include "base/str.h"
#include "http/headers.h"

enum hop_kind {
  HOP_ADDRESS,
  HOP_HIDDEN, /* "unknown", "_name", or an element of Forwarded without "for" */
  HOP_NONSENSE
};

enum { HOP_TEXT = 64 };

struct hop {
  enum hop_kind kind;
  struct str said; /* as it stands in the field */
  char
      text[HOP_TEXT]; /* of an address: "1.2.3.4:80", "[::1]:80", each without ":80" where no port is named */
  size_t length;      /* of the text */
};

struct hops {
  const struct headers *headers;
  enum field_id id;
  unsigned line; /* the field where the hop was that was read last */
  size_t start;  /* and where in it that began */
  size_t rest;   /* bytes in front of it that are not read */
};

/* FIELD_X_FORWARDED_FOR or FIELD_FORWARDED, all fields of that name as one list. */
struct hops hops_of(const struct headers *headers, enum field_id id);
/* The one before; empty members are left out. False: there is none. */
bool hops_previous(struct hops *hops, struct hop *hop);

#endif
