// SPDX-License-Identifier: Apache-2.0
// tls_tickets: the keys of the session tickets that listeners send. There is one set for the process, so that each
// worker can resume sessions of the others, and a reload, which makes new contexts, changes nothing. An upgrade
// passes them to the new process.
#ifndef PERILUNE_NET_TLS_TICKETS_H
#define PERILUNE_NET_TLS_TICKETS_H

#include <stdbool.h>
#include <stddef.h>

struct ssl_ctx_st;

enum { TLS_TICKETS_BYTES = 3 * 88 }; /* of all keys, as they are handed on */

/* Tickets of this context are made and read with the process's keys. */
void tls_tickets_use(struct ssl_ctx_st *ssl);
/* For a successor; secret. */
void tls_tickets_copy(unsigned char bytes[TLS_TICKETS_BYTES]);
/* From a predecessor. */
void tls_tickets_adopt(const unsigned char bytes[TLS_TICKETS_BYTES]);

#endif
