// SPDX-License-Identifier: Apache-2.0
// media_type: what a file is, by the end of its name.
#ifndef PERILUNE_HTTP_MEDIA_TYPE_H
#define PERILUNE_HTTP_MEDIA_TYPE_H

#include "base/str.h"

/* "text/html; charset=utf-8" of "a/index.html", in any case; application/octet-stream where nothing is known. */
struct str media_type_of(struct str path);
/* "html"; empty: it has none. */
struct str media_type_ending(struct str path);

#endif
