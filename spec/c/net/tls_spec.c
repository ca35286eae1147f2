// SPDX-License-Identifier: Apache-2.0
// Units for net/tls: two conns over a socketpair shake hands in one thread.
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "certificates.h"
#include "tls_pair.h"
#include "unit.h"

enum { RECORD_COST = 22 }; /* header, content type and tag of a TLS 1.3 record */

struct trust {
  const char *ca, *sni, *verify_name;
  bool verify;
};

static struct trust good_trust(void) {
  return (struct trust){certificates()->ca, "good.example", "good.example", true};
}

/* The client's result; the server's goes to *server. */
static enum io shake(struct pair *pair, enum io *server) {
  enum io client = IO_AGAIN;
  *server = IO_AGAIN;
  for (int i = 0; i < 10; i++) {
    if (client == IO_AGAIN) client = tls_handshake(&pair->client);
    if (*server == IO_AGAIN) *server = tls_handshake(&pair->server);
  }
  return client;
}

static enum io pair_shake(struct pair *pair, struct trust trust) {
  char *why = NULL;
  enum io server;
  pair_open(pair);
  pair_serve(&pair->server);
  struct tls_context *context = tls_context_client(
      &(struct tls_client_options){.ca = str_of(trust.ca), .no_verify = !trust.verify}, &why);
  if (!CHECK(context)) abort();
  tls_client(&pair->client, context, str_of(trust.sni), str_of(trust.verify_name), NULL);
  tls_context_release(context);
  return shake(pair, &server);
}

static void pair_ready(struct pair *pair) { CHECK(pair_shake(pair, good_trust()) == IO_OK); }

static void check_arrives(struct conn *from, struct conn *to, struct str text) {
  char bytes[64];
  size_t moved = 0;
  CHECK(pair_put(from, text, &moved) == IO_OK && moved == text.len);
  CHECK(conn_read(to, bytes, sizeof bytes, &moved) == IO_OK);
  CHECK(str_equal((struct str){bytes, moved}, text));
}

static void check_refused(struct trust trust, const char *sentence, bool is_verification) {
  struct pair pair;
  CHECK(pair_shake(&pair, trust) == IO_ERROR);
  CHECK(tls_failed_verification(&pair.client) == is_verification);
  CHECK_STR(str_of(tls_failure(&pair.client)), sentence);
  CHECK_STR(str_of(conn_error(&pair.client)), sentence);
  CHECK(!pair.client.wants_read && !pair.client.wants_write);
  pair_close(&pair);
}

IT("shakes hands and carries bytes both ways") {
  struct pair pair;
  pair_ready(&pair);
  check_arrives(&pair.client, &pair.server, STR("ping"));
  check_arrives(&pair.server, &pair.client, STR("pong"));
  CHECK_STR(tls_version(&pair.client), "TLSv1.3");
  CHECK(str_starts_with(tls_cipher(&pair.server), STR("TLS_")));
  CHECK_STR(tls_server_name(&pair.server), "good.example");
  CHECK(!tls_failed_verification(&pair.client));
  pair_close(&pair);
}

IT("turns the needed watcher on while it shakes hands, and both off at the end") {
  struct pair pair;
  char *why = NULL;
  enum io server;
  pair_open(&pair);
  pair_serve(&pair.server);
  struct tls_context *context =
      tls_context_client(&(struct tls_client_options){.ca = STR(""), .no_verify = true}, &why);
  tls_client(&pair.client, context, STR(""), STR(""), NULL);
  CHECK(tls_handshake(&pair.client) == IO_AGAIN);
  CHECK(pair.client.wants_read && !pair.client.wants_write);
  CHECK(shake(&pair, &server) == IO_OK && server == IO_OK);
  CHECK(!pair.client.wants_read && !pair.client.wants_write && !pair.server.wants_read);
  tls_context_release(context);
  pair_close(&pair);
}

IT("accepts the names and addresses of the certificate") {
  const char *names[] = {"good.example", "GOOD.example", "good.example.", "a.wild.example", "127.0.0.1"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct pair pair;
    struct trust trust = good_trust();
    trust.verify_name = names[i];
    CHECK(pair_shake(&pair, trust) == IO_OK);
    pair_close(&pair);
  }
}

IT("refuses a certificate for another name and says which was wanted") {
  struct trust trust = good_trust();
  trust.verify_name = "one.one.one.one";
  check_refused(trust, "certificate verify failed: hostname mismatch (wanted one.one.one.one)", true);
  trust.verify_name = "a.b.wild.example";
  check_refused(trust, "certificate verify failed: hostname mismatch (wanted a.b.wild.example)", true);
  trust.verify_name = "127.0.0.2";
  check_refused(trust,
                "certificate verify failed: IP address mismatch (wanted 127.0.0.2); name the peer by its "
                "host name, or set sni or verify_name",
                true);
}

IT("refuses a certificate by an unknown authority") {
  struct trust trust = good_trust();
  trust.ca = certificates()->other_ca;
  check_refused(trust,
                "certificate verify failed: unable to get local issuer certificate; give its authority as ca "
                "(of 'perilune proxy': --ca)",
                true);
}

IT("trusts what the CA file names, be it no root") {
  struct pair pair;
  struct trust trust = good_trust();
  trust.ca = certificates()->certificate;
  CHECK(pair_shake(&pair, trust) == IO_OK);
  pair_close(&pair);
}

IT("looks at nothing when verification is off") {
  struct pair pair;
  CHECK(pair_shake(&pair, (struct trust){"", "", "", false}) == IO_OK);
  CHECK(str_is_empty(tls_server_name(&pair.server)));
  pair_close(&pair);
}

IT("never verifies nothing because the name is missing or no name") {
  struct trust trust = good_trust();
  char long_name[300] = {0};
  memset(long_name, 'a', sizeof long_name - 1);
  trust.verify_name = "";
  check_refused(trust, "there is no name to verify the certificate against", false);
  trust.verify_name = long_name;
  check_refused(trust, "the name to verify is no host name", false);
  trust = good_trust();
  trust.sni = long_name;
  check_refused(trust, "the server name is no host name", false);
}

IT("refuses a name with a NUL, which would be verified in part only") {
  struct pair pair;
  char *why = NULL;
  pair_open(&pair);
  struct tls_context *context =
      tls_context_client(&(struct tls_client_options){.ca = str_of(certificates()->ca)}, &why);
  tls_client(&pair.client, context, STR(""), STR("good.example\0.evil.example"), NULL);
  CHECK(tls_handshake(&pair.client) == IO_ERROR);
  CHECK_STR(str_of(tls_failure(&pair.client)), "the name to verify is no host name");
  tls_context_release(context);
  pair_close(&pair);
}

IT("sends no SNI for an IP address") {
  struct pair pair;
  struct trust trust = good_trust();
  trust.sni = trust.verify_name = "127.0.0.1";
  CHECK(pair_shake(&pair, trust) == IO_OK);
  CHECK(str_is_empty(tls_server_name(&pair.server)));
  pair_close(&pair);
}

IT("fails when the other side does not speak TLS") {
  struct pair pair;
  char *why = NULL;
  size_t moved;
  pair_open(&pair);
  struct tls_context *context =
      tls_context_client(&(struct tls_client_options){.ca = STR(""), .no_verify = true}, &why);
  tls_client(&pair.client, context, STR(""), STR(""), NULL);
  CHECK(tls_handshake(&pair.client) == IO_AGAIN);
  CHECK(pair_put(&pair.server, STR("HTTP/1.1 400 Bad Request\r\n\r\n"), &moved) == IO_OK);
  CHECK(tls_handshake(&pair.client) == IO_ERROR);
  CHECK(!tls_failed_verification(&pair.client));
  CHECK_STR(str_of(tls_failure(&pair.client)), "the peer does not speak TLS; is tls = true meant?");
  tls_context_release(context);
  pair_close(&pair);
}

IT("tells close_notify from a connection that was cut") {
  struct pair pair;
  char bytes[8];
  size_t moved;
  pair_ready(&pair);
  conn_shutdown(&pair.client);
  CHECK(conn_read(&pair.server, bytes, sizeof bytes, &moved) == IO_EOF);
  check_arrives(&pair.server, &pair.client, STR("late")); /* the other direction stays open */
  CHECK(pair_put(&pair.client, STR("x"), &moved) == IO_ERROR);
  pair_close(&pair);

  pair_ready(&pair);
  CHECK(conn_read(&pair.client, bytes, sizeof bytes, &moved) ==
        IO_AGAIN); /* unread tickets would make a reset */
  conn_close(&pair.client);
  CHECK(conn_read(&pair.server, bytes, sizeof bytes, &moved) == IO_ERROR);
  CHECK_STR(str_of(conn_error(&pair.server)), "the connection ended without close_notify");
  pair_close(&pair);
}

static int waiting_bytes(const struct conn *conn) {
  int bytes = -1;
  ioctl(conn->fd, FIONREAD, &bytes);
  return bytes;
}

IT("puts small parts into one record") {
  struct pair pair;
  size_t moved;
  char big[RECORD_COST * 1000];
  memset(big, 'b', sizeof big);
  pair_ready(&pair);
  struct iovec parts[] = {{"", 0}, {"head", 4}, {"", 0}, {"5\r\n", 3}, {"chunk", 5}, {"\r\n", 2}};
  CHECK(conn_write(&pair.client, parts, 6, &moved) == IO_OK && moved == 14);
  CHECK(waiting_bytes(&pair.server) == 14 + RECORD_COST);
  struct iovec more[] = {{"head", 4}, {big, sizeof big}, {"tail", 4}};
  CHECK(conn_write(&pair.client, more, 3, &moved) == IO_OK && moved == sizeof big + 8);
  CHECK(waiting_bytes(&pair.server) == (int)(14 + sizeof big + 8 + 3 * RECORD_COST));
  pair_close(&pair);
}

static size_t read_all(struct conn *conn, char *into, size_t have) {
  size_t moved;
  while (conn_read(conn, into + have, 10000, &moved) == IO_OK) have += moved;
  return have;
}

IT("reads all the records that are there at once, and then how it ended") {
  struct pair pair;
  size_t moved;
  char bytes[64];
  pair_ready(&pair);
  for (int i = 0; i < 3; i++) CHECK(pair_put(&pair.server, STR("record"), &moved) == IO_OK);
  CHECK(conn_read(&pair.client, bytes, sizeof bytes, &moved) == IO_OK);
  CHECK_STR(((struct str){bytes, moved}), "recordrecordrecord");
  CHECK(conn_read(&pair.client, bytes, sizeof bytes, &moved) == IO_AGAIN);

  for (int i = 0; i < 3; i++) CHECK(pair_put(&pair.server, STR("record"), &moved) == IO_OK);
  conn_close(&pair.server);
  CHECK(conn_read(&pair.client, bytes, 8, &moved) == IO_OK && moved == 8); /* as much as there is room for */
  CHECK(conn_read(&pair.client, bytes, sizeof bytes, &moved) == IO_OK && moved == 10);
  CHECK(conn_read(&pair.client, bytes, sizeof bytes, &moved) == IO_ERROR);
  CHECK_STR(str_of(conn_error(&pair.client)), "the connection ended without close_notify");
  pair_close(&pair);
}

IT("goes on after a full socket from bytes that have moved in memory") {
  enum { TOTAL = 3000000 };
  struct pair pair;
  char *sent = malloc(TOTAL), *got = malloc(TOTAL + 10000);
  size_t at = 0, have = 0, moved;
  unsigned waits = 0;
  enum io io = IO_OK;
  for (size_t i = 0; i < TOTAL; i++) sent[i] = (char)(i * 7 + i / 251);
  pair_ready(&pair);
  while (at < TOTAL && io != IO_ERROR) {
    size_t left = TOTAL - at, first = left < 1000 ? left : 1000;
    char *head = malloc(first); /* at another address each time */
    memcpy(head, sent + at, first);
    io = conn_write(&pair.client, (struct iovec[]){{head, first}, {sent + at + first, left - first}}, 2,
                    &moved);
    memset(head, 0, first);
    free(head);
    if (io == IO_OK) at += moved;
    if (io == IO_AGAIN) waits++, have = read_all(&pair.server, got, have);
  }
  have = read_all(&pair.server, got, have);
  CHECK(io == IO_OK && waits > 1);
  CHECK(have == TOTAL && memcmp(sent, got, TOTAL) == 0);
  free(sent);
  free(got);
  pair_close(&pair);
}

IT("announces bytes that are decrypted already while the socket is silent") {
  struct pair pair;
  char bytes[2];
  size_t moved;
  pair_ready(&pair);
  CHECK(pair_put(&pair.client, STR("abcd"), &moved) == IO_OK);
  CHECK(pair_put(&pair.client, STR("ef"), &moved) == IO_OK);
  conn_want_read(&pair.server, true);
  for (const char *expected = "abcdef"; *expected; expected += 2) {
    pair.readable = 0;
    ev_run(pair.loop, EVRUN_NOWAIT);
    CHECK(pair.readable == 1);
    CHECK(conn_read(&pair.server, bytes, 2, &moved) == IO_OK && moved == 2);
    CHECK(memcmp(bytes, expected, 2) == 0);
  }
  CHECK(conn_read(&pair.server, bytes, 2, &moved) == IO_AGAIN);
  pair.readable = 0;
  ev_run(pair.loop, EVRUN_NOWAIT);
  CHECK(pair.readable == 0);
  pair_close(&pair);
}

IT("does not announce the first part of a record") {
  struct pair pair;
  char record[128], bytes[64];
  size_t moved, length;
  pair_ready(&pair);
  CHECK(pair_put(&pair.client, STR("0123456789"), &moved) == IO_OK);
  length = (size_t)recv(pair.server.fd, record, sizeof record, 0);
  CHECK(length == 10 + RECORD_COST);
  CHECK(send(pair.client.fd, record, 12, 0) == 12);
  CHECK(conn_read(&pair.server, bytes, sizeof bytes, &moved) == IO_AGAIN);
  CHECK(!transport_tls.pending(&pair.server));
  CHECK(send(pair.client.fd, record + 12, length - 12, 0) == (ssize_t)length - 12);
  CHECK(conn_read(&pair.server, bytes, sizeof bytes, &moved) == IO_OK && moved == 10);
  pair_close(&pair);
}
