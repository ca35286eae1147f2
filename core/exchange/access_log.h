// SPDX-License-Identifier: Apache-2.0
// access_log: a line for each exchange that has ended, in one of two forms: combined, as many programs read
// it, and JSON, which has more, also what the policy adds.
#ifndef PERILUNE_EXCHANGE_ACCESS_LOG_H
#define PERILUNE_EXCHANGE_ACCESS_LOG_H

#include "base/str.h"

struct exchange;
struct sink;

enum access_format { ACCESS_COMBINED, ACCESS_JSON };

struct access_log {
  struct sink *sink; /* borrowed */
  enum access_format format;
};

/* Of an exchange that is over, behind the hook logging. Never waits: the line is dropped, and counted, where the sink
 * has no room. */
void access_log_write(const struct access_log *log, struct exchange *x);

/* What a policy may add to a line: so many fields, with names so long; a longer value is cut. */
enum { LOG_FIELDS = 16, LOG_NAME_BYTES = 64, LOG_VALUE_BYTES = 1000 };

struct log_field { /* arena of the exchange, as all that it points to */
  struct log_field *next;
  struct str name;
  char *text; /* JSON */
  size_t length, room;
};

/* The policy is about to change the method or the target of x's request: the line has those of the client, too. */
void access_log_keep_asked(struct exchange *x);

/* What is wrong with a field, or NULL; and how many bytes of x's arena it takes. `value` is JSON, of LOG_VALUE_BYTES at
 * most; .ptr NULL takes the field away. */
const char *access_log_check_field(struct exchange *x, struct str name, struct str value, size_t *bytes);
/* Adds one that was found good to x's line, or gives it another value; copies. */
void access_log_set_field(struct exchange *x, struct str name, struct str value);

#endif
