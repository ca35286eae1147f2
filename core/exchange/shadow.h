// SPDX-License-Identifier: Apache-2.0
// shadow: tries another policy with live traffic. For each exchange, a copy of its request head goes through the
// other policy's hooks up to its decision (an answer, a peer, a failure). The decision is compared with the real one
// and then dropped: neither the client nor a peer notices. What the hooks send by their own sockets (perilune.http,
// tcp, dns) is really sent, because a policy may need the answers for its decision. The copy has the same facts about
// the client's connection as the real exchange, while that lives. It has no body: if the other policy reads the body,
// nothing is compared, and the report counts that.
#ifndef PERILUNE_EXCHANGE_SHADOW_H
#define PERILUNE_EXCHANGE_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

struct exchange;

enum { SHADOW_ADDRESSES = 16, SHADOW_SAMPLES = 8, SHADOW_TEXT = 200 };

struct shadow_address {
  char address[80];
  uint64_t in_force, tried; /* how often each policy chose it */
};

/* What a worker has seen; plain data. */
struct shadow_report {
  uint64_t compared, differing;
  uint64_t bodies; /* could not be compared: the policy that is tried reads the body */
  unsigned address_count, sample_count;
  struct shadow_address addresses[SHADOW_ADDRESSES];
  char samples[SHADOW_SAMPLES][SHADOW_TEXT]; /* the first differences, in words */
};

struct shadow; /* one comparison; shared by the two exchanges */

/* Begins a dry run for `x`, whose head has just been read and whose service has a policy to try. */
void shadow_begin(struct exchange *x);
/* `x`, real or shadow, has an answer, a peer or a failure; only its first decision counts. */
void shadow_decided(struct exchange *x);
/* The policy wants the body of `x`. Does nothing where it is no shadow, or has none. */
void shadow_lacks_body(struct exchange *x);
/* The client of `x` is gone: its shadow knows nothing of the connection any more. */
void shadow_lost_client(struct exchange *x);
/* `x` ends. */
void shadow_release(struct exchange *x);
/* Adds `part` to `sum`. */
void shadow_add(struct shadow_report *sum, const struct shadow_report *part);

#endif
