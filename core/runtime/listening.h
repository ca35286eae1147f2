// SPDX-License-Identifier: Apache-2.0
// listening: what the process listens on: one entry per address, with a socket for each worker. A generation
// names its listeners; those that are open already are kept, with their sockets and queued connections, and the
// others are opened.
#ifndef PERILUNE_RUNTIME_LISTENING_H
#define PERILUNE_RUNTIME_LISTENING_H

#include "net/addr.h"
#include "runtime/policy.h"
#include "runtime/socket_file.h"

struct tls_context;

struct listening_entry {
  struct str said;         /* owned: as the policy wrote it */
  char address[ADDR_TEXT]; /* as bound */
  int *fds; /* owned array, one per worker; the sockets belong to the workers once handed out */
  struct tls_context *tls; /* reference; NULL: plain, or without certificates */
  char *fault; /* owned: why it is without certificates, and closes all connections; NULL: it serves */
  struct socket_file file; /* of a unix socket */
  int kept;                /* its index in the listening before this one; -1: newly opened */
};

struct listening {
  struct listening_entry *entries; /* owned array */
  unsigned count, workers;
};

/* What `said` asks for, with the contexts of listening_load, on top of `before` (may be NULL). A listener whose
 * certificates could not be loaded (said->fault) holds up no others: where others serve, the first policy of a process
 * begins without it, and later ones go on without it. But it does not take the place of one that serves. NULL: *why is
 * malloc'd and names the place; nothing has changed and nothing stays open. */
struct listening *listening_open(const struct policy_listener *said, unsigned count, unsigned workers,
                                 const struct listening *before, char **why);
/* Loads certificate and key into said->context, which is the caller's to release. False: *why is malloc'd and names the
 * place. */
bool listening_load(struct policy_listener *said, char **why);
/* Frees the record; closes the sockets of new entries if `closes` (when they were never handed out). NULL is
 * fine. */
void listening_free(struct listening *listening, bool closes);
/* Removes the files of those sockets of `before` that are not kept. */
void listening_unlink_dropped(const struct listening *listening, struct listening *before);
/* How many of the entries of `before` are not kept. */
unsigned listening_dropped(const struct listening *listening, const struct listening *before);

#endif
