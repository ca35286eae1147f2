// SPDX-License-Identifier: Apache-2.0
// usual_lines: the field lines of a head, read without llhttp where all of them are as they should be: nearly all heads
// are. What is unusual is left to llhttp, which also says what is wrong (http/parser).
#ifndef PERILUNE_HTTP_USUAL_LINES_H
#define PERILUNE_HTTP_USUAL_LINES_H

#include "http/headers.h"

/* `section`: the field lines and the empty line of a head that was scanned for control characters; it ends in CRLF.
 * Adds the fields to `headers`. False: a line is unusual, or there are more fields than `limit`; then `headers` has
 * some of them, and is to be begun anew. */
bool usual_lines_read(struct str section, struct headers *headers, unsigned limit);

#endif
