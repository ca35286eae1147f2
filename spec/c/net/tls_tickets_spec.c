// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_tickets: how long a ticket is good for, and that a successor can read it.
#include "net/tls_tickets.h"

#include <openssl/ssl.h>

#include "tls_pair.h"
#include "unit.h"

static SSL_SESSION *ticket;
static int tickets; /* that TLS 1.3 has given */

static int count_ticket(SSL *ssl, SSL_SESSION *session) {
  (void)ssl, (void)session;
  tickets++;
  return 0;
}

/* A connection by a bare client with the last ticket: was its session resumed? */
static bool resumes(int version) {
  struct pair pair;
  char byte;
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, version);
  if (version == TLS1_3_VERSION) /* as clients have it that use a ticket once */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, count_ticket);
  pair_open(&pair);
  pair_serve(&pair.server);
  SSL *ssl = SSL_new(context);
  SSL_set_fd(ssl, pair.client.fd);
  SSL_set_connect_state(ssl);
  if (ticket) SSL_set_session(ssl, ticket);
  enum io server = IO_AGAIN;
  for (int i = 0; i < 10; i++) {
    SSL_do_handshake(ssl);
    if (server == IO_AGAIN) server = tls_handshake(&pair.server);
  }
  SSL_read(ssl, &byte, 1); /* TLS 1.3 gives its tickets here */
  CHECK(server == IO_OK);
  bool resumed = SSL_session_reused(ssl);
  CHECK(tls_is_resumed(&pair.server) == resumed);
  SSL_SESSION_free(ticket);
  ticket = SSL_get1_session(ssl);
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
  SSL_CTX_free(context);
  pair_close(&pair);
  return resumed;
}

static void forget(void) {
  SSL_SESSION_free(ticket);
  ticket = NULL;
}

/* The keys become seven hours older, and the next ticket is made with a new one. */
static void rotate(void) {
  enum { HOURS = 7, KEYS = 3 };
  unsigned char keys[TLS_TICKETS_BYTES];
  SSL_SESSION *kept = ticket;
  tls_tickets_copy(keys);
  for (size_t at = 0; at < sizeof keys; at += sizeof keys / KEYS) {
    int64_t made_s; /* the first of each key */
    memcpy(&made_s, keys + at, sizeof made_s);
    if (made_s) made_s -= HOURS * 3600;
    memcpy(keys + at, &made_s, sizeof made_s);
  }
  tls_tickets_adopt(keys);
  ticket = NULL;
  CHECK(!resumes(TLS1_2_VERSION));
  forget();
  ticket = kept;
}

IT("resumes a session in another context, by its ticket") {
  const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  for (size_t i = 0; i < 2; i++) {
    CHECK(!resumes(versions[i]));
    CHECK(resumes(versions[i]));
    forget();
  }
}

/* Clients use a ticket of TLS 1.3 once (RFC 8446 appendix C.4), OpenSSL's among them. */
IT("gives one ticket on each connection of TLS 1.3, also where it resumes") {
  tickets = 0;
  CHECK(!resumes(TLS1_3_VERSION) && tickets == 1);
  for (int i = 0; i < 3; i++) CHECK(resumes(TLS1_3_VERSION) && tickets == 2 + i);
  forget();
}

IT("reads tickets of the last two keys, and gives new ones") {
  CHECK(!resumes(TLS1_2_VERSION));
  SSL_SESSION *old = ticket;
  SSL_SESSION_up_ref(old);
  rotate();
  CHECK(resumes(TLS1_2_VERSION) && ticket != old);
  forget();
  ticket = old;
  rotate();
  SSL_SESSION_up_ref(old);
  CHECK(resumes(TLS1_2_VERSION));
  forget();
  ticket = old;
  rotate();
  CHECK(!resumes(TLS1_2_VERSION));
  forget();
}

IT("lets a successor read the tickets of its predecessor") {
  unsigned char keys[TLS_TICKETS_BYTES];
  CHECK(!resumes(TLS1_3_VERSION));
  tls_tickets_copy(keys);
  for (int i = 0; i < 3; i++) rotate();
  SSL_SESSION *old = ticket;
  SSL_SESSION_up_ref(old);
  CHECK(!resumes(TLS1_3_VERSION));
  forget();
  ticket = old;
  tls_tickets_adopt(keys);
  CHECK(resumes(TLS1_3_VERSION));
  forget();
}
