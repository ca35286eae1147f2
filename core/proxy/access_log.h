// SPDX-License-Identifier: Apache-2.0
// access_log: a line for each exchange that has ended, in one of two forms: combined, as many programs read
// it, and JSON, which has more.
#ifndef PERILUNE_PROXY_ACCESS_LOG_H
#define PERILUNE_PROXY_ACCESS_LOG_H

struct exchange;
struct sink;

enum access_format { ACCESS_COMBINED, ACCESS_JSON };

struct access_log {
  struct sink *sink; /* borrowed */
  enum access_format format;
};

/* Never waits: the line is dropped, and counted, where the sink has no room. */
void access_log_write(const struct access_log *log, struct exchange *x);

#endif
