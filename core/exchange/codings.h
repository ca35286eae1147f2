// SPDX-License-Identifier: Apache-2.0
// codings: which content codings an exchange undoes and which it puts on, and what becomes of its fields. The rules
// are http/codable's, the bytes relay/decoding's and relay/encoding's, and filter.c has them in the bodies.
//
// A response is settled once its head is as the policy wants it, just before that is written: x->codings says then what
// the filter of the body has to do, and holds the encoder until the filter takes it.
//
//   what a peer sent is decoded   where the policy's body hooks want text: hooks->decodes, or response:set_decoded().
//   what goes on is encoded       where the listener says so (settings->compression), or the policy for this response;
//                                 and what was decoded, as far as the client accepts it.
#ifndef PERILUNE_EXCHANGE_CODINGS_H
#define PERILUNE_EXCHANGE_CODINGS_H

#include "http/codable.h"
#include "relay/decoding.h"

struct exchange;
struct relay;

/* Of a listener, or the usual. */
struct compression {
  struct codable_rules rules;
  unsigned levels[CODING_COUNT]; /* 0: the usual one of the coding */
};

extern const struct compression compression_default;

enum codings_word {
  WORD_NONE, /* the policy has said nothing: the listener decides */
  WORD_NO,   /* the response is not encoded */
  WORD_YES,  /* it is, by the rules of the listener or the usual ones */
  WORD_ONE   /* by this coding alone, whatever its type and size */
};

/* Arena of an exchange. */
struct codings {
  enum codings_word word;
  enum coding one; /* of WORD_ONE */
  bool wants_text; /* the policy has said so of this response */
  bool flushes_at_once;
  bool is_stored;                    /* the body comes from the cache in the coding that is sent */
  uint64_t plain_bytes;              /* of it before */
  struct coding_claim encoder;       /* until the filter takes it over; not held: the body is not encoded */
  enum coding sent;                  /* what the client is told; identity: none */
  enum coding undone[DECODING_MOST]; /* of the peer's body, as they were applied */
  unsigned undone_count;
  struct buf content; /* owned: of an answer of our own, on its way to the encoder */
  uint64_t bytes;     /* of the encoded body, once it is through */
};

/* Memory of the coders of a worker, busy and idle ones. Beyond, responses go as they are. */
enum { CODERS_BYTES = 64 << 20, CODERS_MOST = 4096, CODERS_IDLE = 8 };

/* x->codings, made where there is none. */
struct codings *codings_of_exchange(struct exchange *x);

/* The final head that is about to be written, of a peer's response or of an answer of our own: changes its fields. */
void codings_settle(struct exchange *x, struct response *response);
/* The same, and what the policy has said: another response has come. */
void codings_forget(struct codings *c, struct exchange *x);
/* Do the body hooks get x->response as text, if the policy wants so? */
bool codings_give_text(const struct exchange *x);
/* What was settled is over. Harmless without. */
void codings_end(struct codings *c, struct exchange *x);

/* The length of the response's body, or what a response to HEAD says of it, is not what the peer has said. */
static inline bool codings_change_length(const struct codings *c) {
  return c && !c->is_stored && (c->sent != CODING_IDENTITY || c->undone_count);
}

/* The codings of the request's body, which the policy's hooks want to see as text; 0: none are undone. */
unsigned codings_of_request(const struct exchange *x, enum coding codings[DECODING_MOST]);
/* Of the same fields: the body they describe is text now. */
void codings_strip(struct headers *headers);
/* What the peer is asked for: text, or what can be made text. */
void codings_ask_peer(struct exchange *x);

/* Why a response went as it was, for the metrics; from 0 on; NULL: there is no such number. */
const char *codings_skip_name(unsigned reason);

#endif
