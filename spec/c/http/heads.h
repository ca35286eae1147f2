// SPDX-License-Identifier: Apache-2.0
// heads: what the units of http share: a head given as text goes through scan and parser as it would on a
// connection. Each head is scanned in one piece and byte by byte, and both must agree.
#ifndef PERILUNE_SPEC_HEADS_H
#define PERILUNE_SPEC_HEADS_H

#include "base/arena.h"
#include "base/error.h"
#include "http/parser.h"

extern const struct parser_limits default_limits;

/* ERROR_REQUEST_TRUNCATED: the head is not whole. The results live until heads_free. */
enum error request_read(struct str head, const struct parser_limits *limits, struct request *request);
enum error response_read(struct str head, enum method method, struct response *response);
void heads_free(void);

/* For one line per case. */
enum error request_error(struct str head);
enum error response_error(struct str head, enum method method);
#define REQUEST(text)  request_error(STR(text))
#define RESPONSE(text) response_error(STR(text), METHOD_GET)

/* An arena that heads_free empties. */
struct arena *heads_arena(void);
/* Fields of lines "Name: value", each ended by LF but the last; they live until heads_free. */
struct headers heads_fields(const char *lines);
/* Are these the fields, "name=value " each? The number of each must be that of its name. */
void heads_check_fields(const struct headers *h, const char *wanted);

#endif
