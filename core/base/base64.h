// SPDX-License-Identifier: Apache-2.0
// base64 (RFC 4648), in both of its alphabets. Decoding is strict: no two texts mean the same.
#ifndef PERILUNE_BASE_BASE64_H
#define PERILUNE_BASE_BASE64_H

#include "base/str.h"

/* 64 digits. */
extern const char base64_plain[], base64_url[];

enum { BASE64_BYTES = 4 }; /* of text, for three or fewer */
/* Room that so many bytes take at most. */
static inline size_t base64_room(size_t bytes) { return (bytes + 2) / 3 * BASE64_BYTES; }

/* Writes the text, with or without "=" behind it; returns how long it is. */
size_t base64_encode(char *to, struct str bytes, const char *alphabet, bool pads);
/* Digits without padding; what they make is shorter than they are. False: another character, an impossible length, or
 * bits that are lost. */
bool base64_decode(char *to, size_t *length, struct str text, const char *alphabet);
/* Takes "=" off the end of a text that is as long as padded base64 is. False: it is not. */
bool base64_trim(struct str *text);

#endif
