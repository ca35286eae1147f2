// SPDX-License-Identifier: Apache-2.0
// renewal: a stored response made fresh again by a 304 (RFC 9111 section 4.3.4): which stored response that is about,
// and which of its fields are replaced (section 3.2). A HEAD never renews one: it is fetched by GET.
#ifndef PERILUNE_HTTP_RENEWAL_H
#define PERILUNE_HTTP_RENEWAL_H

#include "http/conditions.h"
#include "http/storable.h"

/* Is this 304 about the stored response? By its strong ETag, else its weak one, else Last-Modified; without any of them
 * it is about the one that was asked about, which must be the only one. */
bool renewal_is_about(const struct headers *stored, const struct headers *answer, bool is_only_one,
                      int64_t now);

/* The fields of the stored response as they are from now on, `answer`'s in place of those of the same name. Text is
 * borrowed from both. What describes the stored body stays: its length, type, coding and range. */
void renewal_merge(struct headers *to, const struct headers *stored, const struct headers *answer,
                   const struct storable_rules *rules, struct arena *arena);
/* Does the answer vary on something else? Then the key of the stored response no longer fits: it is to be fetched
 * again. */
bool renewal_changes_vary(const struct headers *stored, const struct headers *answer);

#endif
