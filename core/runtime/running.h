// SPDX-License-Identifier: Apache-2.0
// running: finds the proxies that run on this machine, for the commands that talk to one.
#ifndef PERILUNE_RUNTIME_RUNNING_H
#define PERILUNE_RUNTIME_RUNNING_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Who is meant; at most one of them is set. With none it is the one proxy that this user runs. */
struct client_target {
  const char *socket;   /* path, "@name", or NULL */
  const char *pid_file; /* path, or NULL */
  int pid;              /* or 0 */
};

enum { RUNNING_NAME_BYTES = 120, RUNNING_MOST = 64 };

struct running {
  char name[RUNNING_NAME_BYTES]; /* of its command socket: a path, or "@perilune-123" */
  uid_t owner;                   /* the user who may answer there, besides root and us */
  bool is_only_one;              /* nobody has named it */
  char absent[384];              /* what to say where nobody listens there; "": the reason of the system */
};

/* False: there is none, or there are several; that was said, with how to name each. One that was named need not be
 * there: running_connect says so. */
bool running_find(const struct client_target *target, struct running *running);
/* A connection to it. -1: why not was said. */
int running_connect(const struct running *running);
/* A line: its policy, where it listens, its user, since when. Waits for it, but not long. */
void running_print_summary(FILE *out, const struct running *running);

/* All that can be seen from here, of whatever user; returns how many. */
unsigned running_find_all(struct running found[RUNNING_MOST]);
/* May we talk to who is at the other end, at that owner's address? */
bool running_is_trusted(int fd, uid_t owner);
/* A connection without a word if there is none: -1. */
int running_reach(const struct running *running);
/* Its answer to a line that it answers at once, without the exit code before it; 0: it gives none, or not soon. */
size_t running_ask(int fd, const char *line, char *text, size_t bytes);

/* The process that listens at "@name", if it is of this user or of root; else 0. */
pid_t running_pid_at(const char *name);
/* Who is at the other end. */
struct ucred running_peer(int fd);
/* Until there is something to read. */
bool running_wait(int fd, int timeout_ms);
/* What another process says, with nothing in it that could steer a terminal. */
void running_print(FILE *out, const char *text, size_t length);

#endif
