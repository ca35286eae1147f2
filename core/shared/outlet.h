// SPDX-License-Identifier: Apache-2.0
// outlet: the descriptor behind a sink, and how lines are written to its kind. Used by the sink's thread only.
#ifndef PERILUNE_SHARED_OUTLET_H
#define PERILUNE_SHARED_OUTLET_H

#include "base/safe_file.h"
#include "base/str.h"

enum outlet_kind { OUTLET_FILE, OUTLET_STREAM, OUTLET_SYSLOG };

struct outlet {
  enum outlet_kind kind;
  int fd;
  char *path;                /* owned; of FILE and SYSLOG */
  bool may_stall;            /* a write may block: small ones only, once it is writable */
  bool mid_line;             /* what was written last does not end a line */
  bool is_torn;              /* and its rest was given up */
  bool skips;                /* its rest does not belong to this file */
  struct file_identity made; /* the file, if we made it */
};

/* Targets as sink_open says. False: *why is a malloc'd message. */
bool outlet_open(struct outlet *outlet, const char *target, char **why);
void outlet_close(struct outlet *outlet);
/* Removes the file that outlet_open made, if nothing stands in it. */
void outlet_undo(const struct outlet *outlet);
/* Of a file: opens the path again, and keeps the old one if that fails. */
void outlet_reopen(struct outlet *outlet);
/* Writes a part of what two slices hold, which are whole lines at the start of a line or behind what was
 * taken. *taken: bytes written or given up; *dropped: lines among them that were given up. False: nothing can
 * be written now, wait until the descriptor is writable. */
bool outlet_write(struct outlet *outlet, const struct str parts[2], size_t *taken, size_t *dropped);

#endif
