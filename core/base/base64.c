// SPDX-License-Identifier: Apache-2.0
// base64: three bytes are four digits, and the rest of one or two is two or three.
#include "base/base64.h"

#define DIGITS_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

const char base64_plain[] = DIGITS_COMMON "+/", base64_url[] = DIGITS_COMMON "-_";

size_t base64_encode(char *to, struct str bytes, const char *alphabet, bool pads) {
  const unsigned char *in = (const unsigned char *)bytes.ptr;
  size_t n = 0;
  for (size_t i = 0; i < bytes.len; i += 3) {
    size_t left = bytes.len - i;
    unsigned bits =
        (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
    to[n++] = alphabet[bits >> 18];
    to[n++] = alphabet[bits >> 12 & 63];
    if (left > 1) to[n++] = alphabet[bits >> 6 & 63];
    if (left > 2) to[n++] = alphabet[bits & 63];
    for (; left < 3 && pads; left++) to[n++] = '=';
  }
  return n;
}

static int value_of(char c, const char *alphabet) {
  const char *at = c ? memchr(alphabet, c, 64) : NULL;
  return at ? (int)(at - alphabet) : -1;
}

bool base64_decode(char *to, size_t *length, struct str text, const char *alphabet) {
  unsigned bits = 0, count = 0;
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    int value = value_of(text.ptr[i], alphabet);
    if (value < 0) return false;
    bits = bits << 6 | (unsigned)value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    to[n++] = (char)(bits >> count);
    bits &= (1u << count) - 1;
  }
  *length = n;
  return text.len % 4 != 1 && bits == 0;
}

bool base64_trim(struct str *text) {
  if (text->len % BASE64_BYTES != 0) return false;
  if (text->len && text->ptr[text->len - 1] == '=') text->len--;
  if (text->len % BASE64_BYTES == 3 && text->ptr[text->len - 1] == '=') text->len--;
  return true;
}
