// SPDX-License-Identifier: Apache-2.0
// codings: decided here, done in filter.c. The order matters: what the peer has coded is undone first, so that the
// rules of encoding see a response as it is without.
#include "exchange/codings.h"

#include "base/check.h"
#include "exchange/cache.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "exchange/walk.h"
#include "shared/metrics.h"

enum { SKIP_BUSY = CODABLE_COUNT, SKIP_POLICY, SKIPS };
_Static_assert((int)SKIPS <= (int)TALLY_SKIPS, "each reason has a place in the tally");
_Static_assert((int)CODING_IDENTITY == (int)TALLY_CODINGS, "each coding has a place in the tally");

/* Those that are made; deflate is only undone: what it means is in doubt. */
#define OFFERED (CODINGS_ZSTD | CODINGS_BR | CODINGS_GZIP)

const struct compression compression_default = {.rules = {.offered = OFFERED, .least_bytes = CODABLE_LEAST}};

const char *codings_skip_name(unsigned reason) {
  if (reason >= SKIPS) return NULL;
  if (reason == SKIP_BUSY) return "busy";
  return reason == SKIP_POLICY ? "policy" : codable_name((enum codable)reason);
}

struct codings *codings_of_exchange(struct exchange *x) {
  if (x->codings) return x->codings;
  x->codings = arena_zalloc(&x->arena, sizeof *x->codings);
  x->codings->sent = CODING_IDENTITY;
  return x->codings;
}

void codings_end(struct codings *c, struct exchange *x) {
  if (!c) return;
  coding_claim_drop(&x->proxy->encoders, &c->encoder);
  buf_release(&c->content);
  c->sent = CODING_IDENTITY;
  c->undone_count = 0;
  c->flushes_at_once = c->is_stored = false;
}

void codings_forget(struct codings *c, struct exchange *x) {
  codings_end(c, x);
  c->word = WORD_NONE;
  c->wants_text = false;
}

/* --- undoing ---------------------------------------------------------------------------------------------- */

/* False: none, more than are undone, or one that is unknown. */
static unsigned known_codings(const struct headers *headers, enum coding codings[DECODING_MOST]) {
  unsigned count = codings_of(headers, codings, DECODING_MOST);
  if (count > DECODING_MOST) return 0;
  for (unsigned i = 0; i < count; i++)
    if (codings[i] == CODING_COUNT) return 0;
  return count;
}

void codings_strip(struct headers *h) {
  static const struct str of_coded[] = {STR_INIT("Content-Encoding"), STR_INIT("Accept-Ranges"),
                                        STR_INIT("Content-MD5"),      STR_INIT("Digest"),
                                        STR_INIT("Content-Digest"),   STR_INIT("Repr-Digest")};
  for (size_t i = 0; i < sizeof of_coded / sizeof *of_coded; i++) headers_remove(h, of_coded[i]);
}

/* A part of a coded body (206) cannot be undone. */
static bool may_undo(const struct exchange *x, const struct response *response) {
  if (x->answer || !filter_has_response(x)) return false;
  return response->status != 206 && response->status != 304 && response->status >= 200 &&
         !headers_find(&response->headers, STR("Content-Range"));
}

static bool undo(struct exchange *x, struct response *response) {
  enum coding codings[DECODING_MOST];
  bool is_wanted = x->hooks->decodes || (x->codings && x->codings->wants_text);
  if (!is_wanted || !may_undo(x, response)) return false;
  unsigned count = known_codings(&response->headers, codings);
  if (!count) return false;
  struct codings *c = codings_of_exchange(x);
  c->undone_count = count;
  for (unsigned i = 0; i < count; i++) c->undone[i] = codings[i];
  codings_strip(&response->headers);
  codable_weaken(&response->headers);
  return true;
}

bool codings_give_text(const struct exchange *x) {
  enum coding codings[DECODING_MOST];
  const struct response *response = &x->response;
  if (!codings_of(&response->headers, codings, DECODING_MOST)) return true;
  return may_undo(x, response) && known_codings(&response->headers, codings);
}

unsigned codings_of_request(const struct exchange *x, enum coding codings[DECODING_MOST]) {
  bool is_wanted = x->hooks->decodes && x->request.body.framing != FRAMING_NONE;
  return is_wanted ? known_codings(&x->request.headers, codings) : 0;
}

void codings_ask_peer(struct exchange *x) {
  static const struct str name = STR_INIT("Accept-Encoding");
  if (!x->hooks->decodes || !filter_has_response(x)) return;
  struct headers *headers = &x->now.request.headers;
  bool wants_part = headers_find(headers, STR("Range")) != NULL;
  headers_remove(headers, name);
  headers_set_field(
      headers, (struct field){.name = name, .value = wants_part ? STR("identity") : STR("zstd, br, gzip")});
}

/* --- encoding --------------------------------------------------------------------------------------------- */

/* The rules to encode by. If the peer had encoded the body, it has decided that this is worthwhile and safe. */
static struct codable_rules rules_of(const struct exchange *x, const struct compression *compression,
                                     bool was_coded) {
  struct codable_rules rules = compression->rules;
  const struct codings *c = x->codings;
  if (was_coded) rules.least_bytes = 0, rules.takes_all_types = rules.codes_cross_site = true;
  if (c && c->word == WORD_ONE) {
    rules.offered = 1u << c->one;
    rules.least_bytes = 1;
    rules.takes_all_types = true;
  }
  return rules;
}

static bool claim_encoder(struct exchange *x, const struct compression *compression,
                          const struct response *response, enum coding coding) {
  bool has_length = response->announced.framing == FRAMING_LENGTH;
  struct coding_wish wish = {.coding = coding,
                             .level = compression->levels[coding],
                             .length = has_length ? response->announced.length : CODING_LENGTH_UNKNOWN};
  return coding_claim(&x->proxy->encoders, &wish, &x->codings->encoder);
}

static void skip(struct exchange *x, unsigned reason) {
  if (!x->is_shadow) cell_add(&x->proxy->tally->compress_skipped[reason], 1);
}

static void leave_plain(struct codable_choice *choice) {
  choice->coding = CODING_IDENTITY;
  choice->weakens = false;
}

/* The body that is sent is in the store. Not where hooks of the policy are to see it. */
static enum cache_coded take_stored(struct exchange *x, const struct response *response, enum coding coding) {
  if (!x->cache || response != &x->response || filter_has_response(x)) return CACHE_CODED_NONE;
  uint64_t plain = response->body.length;
  enum cache_coded found = cache_take_coded(x, coding);
  x->codings->is_stored = found == CACHE_CODED_TAKEN;
  x->codings->plain_bytes = plain;
  return found;
}

static void begin_encoding(struct exchange *x, const struct response *response,
                           const struct compression *compression, struct codable_choice *choice) {
  enum cache_coded stored = take_stored(x, response, choice->coding);
  if (stored == CACHE_CODED_VAIN) leave_plain(choice);
  if (stored != CACHE_CODED_NONE) return;
  if (!claim_encoder(x, compression, response, choice->coding)) {
    skip(x, SKIP_BUSY);
    leave_plain(choice);
  } else if (!x->is_shadow) {
    cell_add(&x->proxy->tally->compressed[choice->coding], 1);
  }
}

static void encode(struct exchange *x, struct response *response, const struct compression *compression,
                   bool was_coded) {
  struct codable_rules rules = rules_of(x, compression, was_coded);
  struct codable_choice choice = codable_choose(&x->request, response, &rules);
  if (choice.reason != CODABLE_YES) skip(x, choice.reason);
  if (choice.coding == CODING_IDENTITY && !choice.varies && !choice.weakens) return;
  struct codings *c = codings_of_exchange(x);
  bool is_coded = choice.coding != CODING_IDENTITY;
  /* The response to HEAD says what that to GET would. */
  bool has_body = !response_has_no_body(x->request.method, response->status);
  if (is_coded && has_body) begin_encoding(x, response, compression, &choice);
  c->sent = choice.coding;
  c->flushes_at_once = choice.flushes_at_once;
  codable_apply(&response->headers, &choice);
}

void codings_settle(struct exchange *x, struct response *response) {
  const struct compression *compression = x->settings->compression;
  codings_end(x->codings, x);
  bool was_coded = undo(x, response);
  enum codings_word word = x->codings ? x->codings->word : WORD_NONE;
  if (!compression && word == WORD_NONE && !was_coded) return;
  if (word == WORD_NO) {
    skip(x, SKIP_POLICY);
    return;
  }
  encode(x, response, compression ? compression : &compression_default, was_coded);
}
