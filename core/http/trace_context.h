// SPDX-License-Identifier: Apache-2.0
// trace_context: the fields traceparent and tracestate (W3C Trace Context, levels 1 and 2), by which services tell each
// other which trace a request belongs to. Pure functions of text.
#ifndef PERILUNE_HTTP_TRACE_CONTEXT_H
#define PERILUNE_HTTP_TRACE_CONTEXT_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <endian.h>
#include <stdint.h>

#include "http/headers.h"

enum { TRACE_SAMPLED = 1, TRACE_ID_TEXT = 32, SPAN_ID_TEXT = 16, TRACEPARENT_TEXT = 55 };

struct trace_context {
  uint64_t high, low; /* the two halves of the trace's id, not both 0 */
  uint64_t span;      /* who asks; not 0 */
  bool is_sampled;
  bool is_current; /* it was written by version 00, so it can be passed on as it is */
};

/* The one traceparent of a message. False: there is none, more than one, or it is not valid. */
bool trace_context_read(const struct headers *headers, struct trace_context *to);
bool trace_context_parse(struct str value, struct trace_context *to);
/* All tracestate fields together: 32 members at most, each valid. */
bool trace_state_is_valid(const struct headers *headers);

/* 16 digits. */
#ifdef __SSE2__
static inline void trace_write_hex(uint64_t number, char *to) {
  const __m128i low = _mm_set1_epi8(0x0f);
  __m128i bytes = _mm_cvtsi64_si128((long long)htobe64(number));
  __m128i digits = _mm_and_si128(_mm_unpacklo_epi8(_mm_srli_epi64(bytes, 4), bytes), low);
  __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(digits, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '9' - 1));
  digits = _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), letters);
  _mm_storeu_si128((__m128i *)to, digits);
}
#else
static inline void trace_write_hex(uint64_t number, char *to) {
  for (int half = 0; half < 2; half++) {
    uint64_t x = half ? number & 0xffffffffu : number >> 32;
    /* Its digits are moved apart, one into each byte. */
    x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
    x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x << 4 | x) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t letters = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    x = htobe64(x + UINT64_C(0x3030303030303030) + letters * ('a' - '9' - 1));
    memcpy(to + half * 8, &x, sizeof x);
  }
}
#endif

/* Where its parts begin. */
enum { TRACE_VERSION_AT = 0, TRACE_ID_AT = 3, TRACE_SPAN_AT = 36, TRACE_FLAGS_AT = 53 };

/* As version 00 writes it. */
static inline void trace_context_write(const struct trace_context *context, char to[TRACEPARENT_TEXT]) {
  memcpy(to, "00-", TRACE_ID_AT);
  trace_write_hex(context->high, to + TRACE_ID_AT);
  trace_write_hex(context->low, to + TRACE_ID_AT + SPAN_ID_TEXT);
  to[TRACE_SPAN_AT - 1] = '-';
  trace_write_hex(context->span, to + TRACE_SPAN_AT);
  memcpy(to + TRACE_FLAGS_AT - 1, context->is_sampled ? "-01" : "-00", 3);
}

#endif
