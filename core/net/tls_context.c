// SPDX-License-Identifier: Apache-2.0
// tls_context: SSL_CTXs with the settings that every connection has. What listeners add is in tls_server.c,
// what peers add in tls_client.c.
#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/why.h"
#include "net/tls_parts.h"

struct tls_context *tls_context_new(const SSL_METHOD *method) {
  struct tls_context *context = memory_zalloc(sizeof *context);
  ERR_clear_error();
  context->ssl = SSL_CTX_new(method);
  if (!context->ssl) abort(); /* only memory can be missing */
  atomic_init(&context->references, 1);
  tls_context_set_oldest(context, TLS_FROM_1_2);
  SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  /* The owner of a connection may come again with its bytes elsewhere in memory; idle ones hold no record
   * buffers. */
  SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context->ssl,
                         1); /* one recv for a record, not one for its header and one for the rest */
  SSL_CTX_set_session_cache_mode(context->ssl,
                                 SSL_SESS_CACHE_OFF); /* tickets resume without a table of sessions */
  return context;
}

static void context_free(struct tls_context *context) {
  SSL_CTX_free(context->ssl);
  tls_client_free(context->client);
  tls_server_free(context->server);
  free(context);
}

struct tls_context *tls_context_hold(struct tls_context *context) {
  atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
  return context;
}

void tls_context_release(struct tls_context *context) {
  if (context && atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) == 1)
    context_free(context);
}

SSL_CTX *tls_context_ssl(const struct tls_context *context) { return context->ssl; }

void tls_context_set_oldest(struct tls_context *context, enum tls_oldest oldest) {
  SSL_CTX_set_min_proto_version(context->ssl, oldest == TLS_FROM_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
}

/* The first error is the cause, the ones after it tell only through whom it came. */
bool tls_blame(char **why, const char *what, const char *file) {
  unsigned long code = ERR_peek_error();
  const char *reason =
      ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
  if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
    reason =
        "no start line like -----BEGIN CERTIFICATE-----: it is not PEM, or holds something else, such as the "
        "other one of certificate and key";
  why_say(why, "%s %s: %s", what, file, reason ? reason : "unusable");
  ERR_clear_error();
  return false;
}
