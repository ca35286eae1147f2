// SPDX-License-Identifier: Apache-2.0
// escape: makes text of unknown origin safe for a line of a log: nothing in it can end the line, close its
// quotes, or control a terminal. Text that does not fit into `room` is cut, but never in the middle of an
// escape.
#ifndef PERILUNE_BASE_ESCAPE_H
#define PERILUNE_BASE_ESCAPE_H

#include <stdio.h>

#include "base/str.h"

/* The longest that a byte can become. */
enum { ESCAPE_JSON_MOST = 6, ESCAPE_LABEL_MOST = 3, ESCAPE_QUOTED_MOST = 4 };

/* For between quotes of a JSON string; what is no UTF-8 becomes U+FFFD. Returns the length. */
size_t escape_json(char *to, size_t room, struct str text);
/* For between quotes of a label in Prometheus' text format; what is no UTF-8 becomes U+FFFD. */
size_t escape_label(char *to, size_t room, struct str text);
/* The text itself, where what is no UTF-8 becomes U+FFFD. Returns the length. */
size_t escape_utf8(char *to, size_t room, struct str text);
/* For between quotes of an access log line: \" \\ and \xHH for what is not printable ASCII. */
size_t escape_quoted(char *to, size_t room, struct str text);
/* For between quotes of a Lua string: \" \\ and \ddd for control characters. */
void escape_lua(FILE *out, struct str text);

/* For a line of the error log, without quotes: \xHH for what could end it or steer a terminal: control characters but
 * tab, those of UTF-8, too (C1, and the separators U+2028 and U+2029), and what is no UTF-8. */
size_t escape_line(char *to, size_t room, struct str text);

#endif
