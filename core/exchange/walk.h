// SPDX-License-Identifier: Apache-2.0
// walk: what the files that make up an exchange share with each other and with nobody else: steps.c (the
// walk), failure.c (how they end early), attempt.c (one try at a peer), respond.c (heads to the client),
// transfer.c (bodies), deadline.c (who owes the next byte), negotiation.c (Upgrade), hedge.c (a second try while
// the first is slow), elsewhere.c (another backend after an error response), filter.c (the policy's hooks in the
// bodies), request_body.c (the body read for the policy).
#ifndef PERILUNE_EXCHANGE_WALK_H
#define PERILUNE_EXCHANGE_WALK_H

#include "exchange/exchange.h"
#include "exchange/settings.h"

struct service_policy;

/* failure.c: a hook that waits is given up. */
void exchange_stop_waiting(struct exchange *x);

/* failure.c: counts a failure, and tells the log. */
void exchange_report(struct exchange *x, enum error error, const char *why);

/* steps.c: a hook in the midst of a step, which is run again once it has ended. STEP_NEXT: it has ended, or there is
 * none; else the step returns what this did: it waits, has answered or has failed. */
enum step_result exchange_hook(struct exchange *x, enum hook hook, hook_fn *function);
/* The same for one whose failure is not the exchange's. */
enum hook_status exchange_hook_status(struct exchange *x, enum hook hook, hook_fn *function);
/* steps.c: the walk continues with `step` instead of the next one. */
void exchange_jump(struct exchange *x, enum exchange_step step);
/* The connection takes no further request: the proxy stops, or its listener has gone. */
bool exchange_ends_connection(const struct exchange *x);

/* names.c */
struct str exchange_step_name(enum exchange_step step);

/* attempt.c, beside what attempt.h says. STEP_NEXT: x->response is parsed. */
enum step_result attempt_read_response(struct exchange *x);

/* negotiation.c: says what of the client's Upgrade is not passed on, before it is removed; and of a peer's. */
void negotiation_tell(struct exchange *x) __attribute__((cold));
void negotiation_tell_peer(const struct exchange *x) __attribute__((cold));
/* The Sec-WebSocket-Accept that a key wants (RFC 6455 section 4.2.2); empty: this OpenSSL refuses the digest. Arena. */
struct str negotiation_accept(struct arena *arena, struct str key);
/* What is wrong with switching protocols by this 101; NULL: nothing, or it is none. */
const char *negotiation_fault(const struct exchange *x);

/* respond.c */
void respond_interim(struct exchange *x);  /* puts the 1xx head on its way through x->down */
void respond_continue(struct exchange *x); /* the same with a 100 of our own */
void respond_response(struct exchange *x); /* the head, and what is there of the body */
void respond_answer(struct exchange *x);
/* The response has failed: if nothing of its head was written, the client can still be given another one. */
void respond_forget_unsent(struct exchange *x);
/* For answer_filter: x->response becomes the final head that is about to be sent, of any origin; and its fields are
 * taken as the hook left them. */
void respond_show_head(struct exchange *x);
void respond_take_head(struct exchange *x);
/* The answer to TRACE or OPTIONS that may be forwarded no further: the request as it came, without what is
 * secret (RFC 9110 section 9.3.8), or what can be asked of us. */
void respond_as_final_recipient(struct exchange *x);
/* An answer as the failure table says, if none was given. */
void respond_failure(struct exchange *x);

/* transfer.c: each pumps until it waits, and ends the exchange or runs it where that changed something. */
void transfer_up(struct exchange *x);
void transfer_down(struct exchange *x);
/* The peer has switched protocols: what the client sends behind its request is passed on as it is. */
void transfer_tunnel(struct exchange *x);
/* The client waits for a 100 that will not come: it may never send its body. */
bool transfer_is_hopeless(const struct exchange *x);
/* A final response was sent to its end. */
bool transfer_has_answered(const struct exchange *x);
/* All of the peer's final response is here, and its head has been sent: the rest of the request is not needed. */
bool transfer_peer_has_answered(const struct exchange *x);
/* Such a peer takes no more, or too slowly: its connection closes, and the rest of the request is read away. */
void transfer_give_up_peer(struct exchange *x);
/* A peer that has begun to answer takes no more of the request: the rest is read away. */
void transfer_stop_sending(struct exchange *x);
/* Nothing moves in it any more. */
void transfer_end_tunnel(struct exchange *x);
/* The bodies are through in both directions, or given up. */
bool transfer_is_done(const struct exchange *x);

/* request_body.c: a small body is waited for before a peer is asked; true: still. Its client has paused: true: it is
 * not waited for any longer, and a peer is asked. */
bool request_body_await(struct exchange *x);
bool request_body_is_awaited(const struct exchange *x);
bool request_body_paused(struct exchange *x);
/* Goes on to read it for the policy; tells the policy; sets where attempts take it from. */
void request_body_pump(struct exchange *x);
void request_body_done(struct exchange *x);
void request_body_send(struct exchange *x);

/* The cache (cache.h), of exchanges whose listener has one. Behind request_filter: on to a peer, or to response_filter
 * with what is stored. */
enum step_result cache_look_up(struct exchange *x);
/* A final head of the peer's is here: is it for the cache? */
enum step_result cache_take_head(struct exchange *x);
/* No peer gave an answer: the exchange goes on with what is stored, if it is allowed to be stale. STEP_NEXT: it is
 * not. */
enum step_result cache_rescue(struct exchange *x);
/* It ends with an answer of ours or of the policy: nobody waits for what it was to fetch. */
void cache_answered(struct exchange *x);
/* The request of an attempt is there: it becomes what the cache asks for. */
void cache_prepare(struct exchange *x);
/* The client is gone, but what it has asked for is wanted: the exchange goes on, on a stream without a client. */
bool cache_goes_on_alone(struct exchange *x, enum error error);
void cache_end(struct exchange *x);
/* Is it an exchange of the cache itself? */
enum background_kind cache_background(const struct exchange *x);
static inline enum background_kind exchange_background(const struct exchange *x) {
  return x->cache ? cache_background(x) : BACKGROUND_NONE;
}
/* Its response is the cache's. */
bool cache_has_response(const struct exchange *x);
struct source cache_source(struct exchange *x);
/* The end of an exchange that shares memory with another: the last of the two frees it. False: it shares none. */
bool handover_end(struct exchange *x);

/* filter.c: sets the relay's filter where the policy has a hook for it; `out` is the client's framing. */
static inline bool filter_has_request(const struct exchange *x) {
  return x->hooks->request_body_filter && x->request.body.framing != FRAMING_NONE;
}
static inline bool filter_has_response(const struct exchange *x) {
  if (x->cache && cache_has_response(x)) return x->hooks->response_body_filter;
  return x->hooks->upstream_response_body_filter || x->hooks->response_body_filter;
}
void filter_request(struct exchange *x);
void filter_response(struct exchange *x, enum framing out);
/* The same for an answer of our own that is encoded: no hook sees it. */
void filter_answer(struct exchange *x);
/* The request's body is read as text, at most so many bytes (0: any), though it is coded. */
void filter_request_to_text(struct exchange *x, uint64_t most_bytes);
/* The relay's filter failed: so does the exchange. */
void filter_fail(struct exchange *x, struct relay *relay);
/* Frees it, once nothing that it gave is on its way. */
void filter_none(struct relay *relay);

/* hedge.c: the wait for a response head begins, and with it that for a hedge where the policy wants one. */
void hedge_wait(struct exchange *x);
/* The call's timer has fired: for that? */
bool hedge_is_due(const struct exchange *x);
/* Another attempt begins beside this one, if that is allowed. */
void hedge_begin(struct exchange *x);
/* The attempt under way has an answer, or none is wanted any more. Harmless without a rival. */
void hedge_end(struct exchange *x);
/* The attempt under way failed, but there is another one, and the exchange goes on with that. */
bool hedge_survives(struct exchange *x, enum error error);

/* elsewhere.c: a response head was read. The step to go on with. Is it one for which another backend is asked? Then
 * the hook error_while_proxy may forbid that, and if it does not, the response is put by. Any other final one ends what
 * was put by before. */
enum exchange_step elsewhere_begin(struct exchange *x);
/* Is that hook asked, and has not answered itself? */
static inline bool elsewhere_asks(const struct exchange *x) {
  return x->error == ERROR_ANSWERED_ERROR && !x->answer;
}
/* The same behind that hook. */
enum exchange_step elsewhere_settle(struct exchange *x);
/* Its questions alone: before that hook, and behind it. The second takes a retry out of the set's budget, and clears
 * the error that the hook was asked about. */
bool elsewhere_is_possible(const struct exchange *x);
bool elsewhere_is_wanted(struct exchange *x);
static inline enum exchange_step elsewhere_next(struct exchange *x) {
  if (x->response.status < 400 && !x->kept) return STEP_upstream_response_filter;
  return elsewhere_begin(x);
}
/* The same because the policy wants it (session:retry), behind upstream_response_filter. Why it cannot be, as things
 * stand, a static text; NULL: it can. */
const char *elsewhere_obstacle(const struct exchange *x);
/* False: it cannot be any more, and the client gets the response. */
bool elsewhere_ask(struct exchange *x);
/* The exchange goes on with the answer that was put by. False: there is none. */
bool elsewhere_return(struct exchange *x);
/* It is not wanted any more. Harmless without one. */
void elsewhere_end(struct exchange *x);

/* forwarded.c: Via, X-Forwarded-*, Forwarded. */
void forwarded_add(struct exchange *x);
/* Adds our entry of Via to the fields that go out for this response. */
void forwarded_add_via(struct headers *headers, const struct response *response);

/* exchange_object.c: one that belongs to nobody yet and is in no list, in an arena of its own, which is `arena`: what
 * every kind of exchange (a client's, a shadow's, a rehearsal's) begins with. It counts as one of its policy's. */
struct exchange *exchange_new(struct proxy *proxy, const struct service_policy *policy, struct arena arena);
/* Frees what it owns, and itself; its policy may be gone then. */
void exchange_free(struct exchange *x);

#endif
