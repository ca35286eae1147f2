// SPDX-License-Identifier: Apache-2.0
// structured_parts: the parts of items, only for structured.c. Each function removes its part from the front of
// `rest`; false: there is no such part, and `rest` must not be used then.
#ifndef PERILUNE_HTTP_STRUCTURED_PARTS_H
#define PERILUNE_HTTP_STRUCTURED_PARTS_H

#include "http/structured.h"

/* Of a dictionary or a parameter (section 4.2.3.3). */
bool structured_take_key(struct str *rest, struct str *key);
/* A bare item (section 4.2.3.1); sets all of `value` but the parameters, which it empties. */
bool structured_take_bare(struct str *rest, struct structured_value *value);
/* From the ';' on. */
bool structured_take_parameter(struct str *rest, struct str *key, struct structured_value *value);
/* As many as there are, none included. */
bool structured_take_parameters(struct str *rest, struct str *parameters);

#endif
