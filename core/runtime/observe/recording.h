// SPDX-License-Identifier: Apache-2.0
// recording: `perilune record`: takes down a share of the requests of all workers and sends them to the client, which
// writes the file. Nothing waits for it: what the workers have told and the client has not read yet is bounded, and
// what does not fit is lost and counted.
#ifndef PERILUNE_RUNTIME_RECORDING_H
#define PERILUNE_RUNTIME_RECORDING_H

#include "runtime/command.h"

struct worker;

/* "FOR_MS SHARE BODY_BYTES", the share of 10,000. What is sent for the client's file are the frames of
 * shared/recording.h, one at a time, but for the last; the answer says how many there were. One at a time; it ends with
 * its client. */
void recording_obey(struct command_client *client, const char *line);
/* Before the worker runs: what it answers comes here. */
void recording_heed(struct worker *worker);

#endif
