// SPDX-License-Identifier: Apache-2.0
// sink: where the lines of a log go: a file, standard output or error, or syslog. Writers put lines into
// memory and never wait; a thread of the sink writes them out. If it cannot keep up (a full disk, a pipe that
// nobody reads), lines are dropped and counted.
//
// Words. lane: one writer's place in the sink; a lane has one thread that writes at a time.
#ifndef PERILUNE_SHARED_SINK_H
#define PERILUNE_SHARED_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink;

/* As syslog counts them. */
enum sink_priority { SINK_ERROR = 3, SINK_WARNING = 4, SINK_INFO = 6, SINK_DEBUG = 7 };

/* `target` is a path, "stdout", "stderr", "syslog" or "syslog:/path" of its socket; copied. A file is appended
 * to, and made where it is missing. `is_patient`: lines may be some ms late, so that many are written at once.
 * NULL: *why is a malloc'd message. */
struct sink *sink_open(const char *target, unsigned lanes, bool is_patient, char **why);
/* Lines want no time of their own and no line feeds within. */
/* The open file that it writes to, before it is opened again; -1: it writes to no file of its own. */
int sink_file(const struct sink *sink);
bool sink_is_syslog(const struct sink *sink);

/* A line, which ends with its only line feed, or more that belong together. */
void sink_write(struct sink *sink, unsigned lane, enum sink_priority priority, const char *line,
                size_t length);
/* Lines so far that were not written. Thread-safe. */
uint64_t sink_dropped(const struct sink *sink);
/* Opens its file again, behind the lines that it has: what was renamed is left. Thread-safe. */
void sink_reopen(struct sink *sink);

/* Nobody writes any more: what it has is written within `ms`, in its own thread. Does not wait. */
void sink_finish(struct sink *sink, unsigned ms);
/* What it was opened for is not to be: the file that it made is removed, if nothing stands in it. */
void sink_undo(const struct sink *sink);
/* Finished and done? */
bool sink_is_done(const struct sink *sink);
/* Waits for the end of its thread, at most until the time given with sink_finish is over. */
void sink_free(struct sink *sink);

#endif
