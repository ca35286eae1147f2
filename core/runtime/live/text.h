// SPDX-License-Identifier: Apache-2.0
// live/text: a record of an exchange (shared/live_record.h), for people and for programs.
#ifndef PERILUNE_RUNTIME_LIVE_TEXT_H
#define PERILUNE_RUNTIME_LIVE_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"

/* Its items, as lines; and as one line of JSON. Nothing is escaped for a terminal in the former. */
void live_text(FILE *out, struct str items, bool has_fields);
void live_json(FILE *out, struct str items);

#endif
