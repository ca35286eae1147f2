// SPDX-License-Identifier: Apache-2.0
// rehearsal: an exchange without connections, for tests of policies: its hooks are called one by one, as the
// test says, with messages that the test makes up. Messages are parsed as if they had arrived, so hooks see
// exactly what they would see in the proxy. Backends get the result of each attempt, as in the proxy: after the hook
// of its failure, when the next one begins, at logging, or at the end of the rehearsal.
#ifndef PERILUNE_EXCHANGE_REHEARSAL_H
#define PERILUNE_EXCHANGE_REHEARSAL_H

#include "exchange/exchange.h"

struct addr;
struct rehearsal;

/* What a rehearsal needs. All borrowed for its life, `head` and what says otherwise for the call. */
struct rehearsal_setup {
  struct proxy *proxy;
  const struct hooks *hooks;
  const struct settings *settings;
  const struct addr *client; /* borrowed for the call */
  struct str head;           /* of the request, as on the wire */
  struct str body;           /* borrowed for the call; it has arrived whole */
  bool secure;               /* as if by TLS */
};

/* NULL: *why is a static sentence on the head. hooks->begin was called. */
struct rehearsal *rehearsal_new(const struct rehearsal_setup *setup, const char **why);
/* Ends a hook that waits, calls hooks->end. */
void rehearsal_free(struct rehearsal *r);
struct exchange *rehearsal_exchange(struct rehearsal *r);

/* Calls a hook; one that is not there is done. After HOOK_WAIT, rehearsal_waits tells when it has ended. What
 * it decided is in the exchange's outcome; a peer given by upstream_peer is the exchange's. */
enum hook_status rehearsal_call(struct rehearsal *r, enum hook hook);
bool rehearsal_waits(struct rehearsal *r);

/* A piece of a body, borrowed until its answer, goes through a body hook; waiting is as with rehearsal_call. */
enum hook_status rehearsal_filter(struct rehearsal *r, enum hook hook, struct str chunk, bool is_last);
/* What goes on of the last piece; valid until the next. */
struct str rehearsal_filtered(const struct rehearsal *r);

/* The peer answers with this head. False: *why. */
bool rehearsal_respond(struct rehearsal *r, struct str head, const char **why);
/* The attempt fails, or the exchange does. Returns what counts as its failure: that of the last attempt, where no
 * backend is left for another. */
enum error rehearsal_fail(struct rehearsal *r, enum error error);
/* After fail_to_connect or error_while_proxy has ended: does the proxy make another attempt then? */
bool rehearsal_retries(const struct rehearsal *r);
/* After a response: may the proxy ask another backend of the set because of its status? Then the attempt fails with
 * ERROR_ANSWERED_ERROR, and error_while_proxy decides, as above. If there is no other attempt, the walk goes on with
 * the response. */
bool rehearsal_may_ask_another(const struct rehearsal *r);
/* How long the peer that was chosen may take until it answers; 0: there is none. */
unsigned rehearsal_first_byte_ms(const struct rehearsal *r);
/* The exchange has failed for good: it is answered with what the policy has said, else with `status` (0: the one
 * of the failure). */
void rehearsal_answer_failure(struct rehearsal *r, unsigned status);

#endif
