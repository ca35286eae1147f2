// SPDX-License-Identifier: Apache-2.0
// accept_encoding: names and weights. Pure functions of text.
#include "http/accept_encoding.h"

#include "http/grammar.h"
#include "http/members.h"

enum { WEIGHT_MOST = 1000, WEIGHT_UNSET = 0xffff };

/* 0 or 1 and at most three digits behind the point (RFC 9110 section 12.4.2). */
static bool parse_weight(struct str text, uint16_t *weight) {
  unsigned digits = 0, sum = 0;
  if (!text.len || (text.ptr[0] != '0' && text.ptr[0] != '1')) return false;
  if (text.len > 1 && text.ptr[1] != '.') return false;
  for (size_t i = 2; i < text.len; i++, digits++) {
    if (digits == 3 || !grammar_is_digit(text.ptr[i])) return false;
    sum = sum * 10 + (unsigned)(text.ptr[i] - '0');
  }
  for (; digits < 3; digits++) sum *= 10;
  sum += (unsigned)(text.ptr[0] - '0') * WEIGHT_MOST;
  *weight = (uint16_t)sum;
  return sum <= WEIGHT_MOST;
}

/* coding [ OWS ";" OWS "q=" weight ] */
static bool parse_member(struct str member, struct str *name, uint16_t *weight) {
  *name = member_token(member);
  struct str rest = str_trim(str_from(member, name->len));
  *weight = WEIGHT_MOST;
  if (!rest.len) return name->len > 0;
  if (rest.ptr[0] != ';') return false;
  rest = str_trim(str_from(rest, 1));
  bool has_weight = rest.len > 2 && ascii_lower(rest.ptr[0]) == 'q' && rest.ptr[1] == '=';
  return has_weight && name->len && parse_weight(str_from(rest, 2), weight);
}

/* "*" stands for what is not named; identity is acceptable unless something speaks against it. */
static void fill_in(struct accept_encoding *accept, uint16_t others) {
  for (enum coding id = 0; id < CODING_COUNT; id++)
    if (accept->weights[id] == WEIGHT_UNSET) accept->weights[id] = others == WEIGHT_UNSET ? 0 : others;
}

void accept_encoding_parse(const struct headers *h, struct accept_encoding *accept) {
  struct members members = members_of(h, STR("Accept-Encoding"));
  struct str member, name;
  uint16_t weight, others = WEIGHT_UNSET;
  for (enum coding id = 0; id < CODING_COUNT; id++) accept->weights[id] = WEIGHT_UNSET;
  while (members_next(&members, &member)) {
    if (!parse_member(member, &name, &weight)) continue;
    enum coding id = coding_of(name);
    if (id < CODING_COUNT)
      accept->weights[id] = weight;
    else if (str_equal(name, STR("*")))
      others = weight;
  }
  bool is_identity_open = accept->weights[CODING_IDENTITY] == WEIGHT_UNSET && others != 0;
  if (is_identity_open) accept->weights[CODING_IDENTITY] = 1;
  fill_in(accept, others);
}

/* Identity that is not named has the least weight there is: a coding is what the field was sent for. */
enum coding accept_encoding_choose(const struct accept_encoding *accept, unsigned offered) {
  enum coding best = CODING_IDENTITY;
  uint16_t weight = offered & CODINGS_IDENTITY ? accept->weights[CODING_IDENTITY] : 0;
  for (enum coding id = CODING_IDENTITY; id-- > 0;) {
    if (!(offered >> id & 1) || !accept->weights[id] || accept->weights[id] < weight) continue;
    best = id;
    weight = accept->weights[id];
  }
  return best;
}

unsigned accept_encoding_set(const struct accept_encoding *accept, unsigned offered) {
  unsigned set = 0;
  for (enum coding id = 0; id < CODING_COUNT; id++)
    if ((offered >> id & 1) && accept->weights[id]) set |= 1u << id;
  return set;
}
