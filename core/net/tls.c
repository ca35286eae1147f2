// SPDX-License-Identifier: Apache-2.0
// tls: the session of one connection and the TLS transport. The hard problem is that reading may need the socket to
// be writable, and writing may need it readable: each call stores this in the conn's two flags, and conn.c keeps the
// watchers. OpenSSL's error queue belongs to the thread and outlives calls, so each call empties it first.
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/memory.h"
#include "net/tls_identity.h"
#include "net/tls_parts.h"

enum { RECORD = 16384 }; /* the largest plaintext of a record (RFC 8446 section 5.1) */

static const char *set_names(struct tls *tls, bool verifies, struct str sni, struct str verify_name);
static enum io classify(struct conn *conn, int result);
static enum io fail(struct conn *conn, int error_number);

/* Of calls before; as a rule there are none, and emptying an empty queue is dear. */
static void forget_errors(void) {
  if (ERR_peek_error()) ERR_clear_error();
}

static struct tls *put_on(struct conn *conn, struct tls_context *context) {
  struct tls *tls = memory_zalloc(sizeof *tls);
  forget_errors();
  tls->ssl = SSL_new(tls_context_ssl(context));
  if (!tls->ssl || SSL_set_fd(tls->ssl, conn->fd) != 1) abort(); /* only memory can be missing */
  tls->context = tls_context_hold(context);
  SSL_set_app_data(tls->ssl, tls);
  conn->tls = tls;
  conn->transport = &transport_tls;
  return tls;
}

void tls_server(struct conn *conn, struct tls_context *context) {
  SSL_set_accept_state(put_on(conn, context)->ssl);
}

void tls_client(struct conn *conn, struct tls_context *context, struct str sni, struct str verify_name,
                struct tls_resumption *resumption) {
  struct tls *tls = put_on(conn, context);
  tls->resumption = resumption;
  tls->offers_http1 = tls_context_offers_http1(context);
  tls->offers_http2 = tls_context_offers_http2(context);
  if (resumption && resumption->newest) SSL_set_session(tls->ssl, resumption->newest);
  SSL_set_connect_state(tls->ssl);
  tls->misuse = set_names(tls, tls_context_verifies(context), sni, verify_name);
}

/* The newest is the one to use: TLS 1.3 gives several, and a used one is better not used again (RFC 8446 appendix
 * C.4). Returns whether the reference is ours now. */
int tls_keep_session(SSL *ssl, SSL_SESSION *session) {
  struct tls *tls = SSL_get_app_data(ssl);
  if (!tls->resumption) return 0;
  tls_resumption_clear(tls->resumption);
  tls->resumption->newest = session;
  return 1;
}

void tls_keep_sessions(struct conn *conn, struct tls_resumption *resumption) {
  conn->tls->resumption = resumption;
}

void tls_resumption_clear(struct tls_resumption *resumption) {
  SSL_SESSION_free(resumption->newest);
  resumption->newest = NULL;
}

/* A terminated copy without the final dot, which neither SNI nor certificates have. False: no name at all. */
static bool copy_name(char copy[TLS_NAME], struct str name) {
  if (name.len && name.ptr[name.len - 1] == '.') name.len--;
  if (name.len >= TLS_NAME || str_find(name, '\0') < name.len) return false;
  memcpy(copy, name.ptr ? name.ptr : "", name.len);
  copy[name.len] = '\0';
  return true;
}

static bool is_ip(const char *name) {
  struct in6_addr address;
  return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* Returns why not, as a static sentence: a name that cannot be checked must never mean that nothing is
 * checked. */
static const char *set_names(struct tls *tls, bool verifies, struct str sni, struct str verify_name) {
  char name[TLS_NAME];
  if (!copy_name(name, sni)) return "the server name is no host name";
  if (*name && !is_ip(name) && SSL_set_tlsext_host_name(tls->ssl, name) != 1)
    return "the server name is no host name";
  if (!verifies) return NULL;

  X509_VERIFY_PARAM *wanted = SSL_get0_param(tls->ssl);
  if (!copy_name(tls->verify_name, verify_name)) return "the name to verify is no host name";
  if (!*tls->verify_name) return "there is no name to verify the certificate against";
  X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  int set = is_ip(tls->verify_name) ? X509_VERIFY_PARAM_set1_ip_asc(wanted, tls->verify_name)
                                    : X509_VERIFY_PARAM_set1_host(wanted, tls->verify_name, 0);
  return set == 1 ? NULL : "the name to verify is no host name";
}

/* RFC 7301 section 3.2: a server chooses among what was offered, or nothing, which means HTTP/1.1. */
static bool speaks_what_was_offered(struct tls *tls) {
  const unsigned char *chosen;
  unsigned length;
  if (!tls->offers_http1 && !tls->offers_http2) return true;
  SSL_get0_alpn_selected(tls->ssl, &chosen, &length);
  if (length == 0 || (length == 8 && memcmp(chosen, "http/1.1", 8) == 0)) {
    if (!tls->offers_http1) tls->misuse = "the peer does not speak HTTP/2: it has not chosen h2 (ALPN)";
    return tls->offers_http1;
  }
  if (tls->offers_http2 && length == 2 && memcmp(chosen, "h2", 2) == 0) return true;
  tls->misuse = tls->offers_http2 ? "the peer has chosen another protocol than those offered"
                                  : "the peer has chosen another protocol than http/1.1";
  return false;
}

enum io tls_handshake(struct conn *conn) {
  struct tls *tls = conn->tls;
  if (tls->misuse) return IO_ERROR;
  forget_errors();
  int result = SSL_do_handshake(tls->ssl);
  enum io io = result == 1 ? IO_OK : classify(conn, result);
  if (io == IO_AGAIN && conn->fatal) io = fail(conn, conn->fatal);
  if (io == IO_OK && !speaks_what_was_offered(tls)) io = IO_ERROR;
  if (io == IO_ERROR && tls->resumption) tls_resumption_clear(tls->resumption);
  conn_want_read(conn, io == IO_AGAIN && SSL_want_read(tls->ssl));
  conn_want_write(conn, io == IO_AGAIN && SSL_want_write(tls->ssl));
  return io == IO_EOF ? IO_ERROR : io; /* close_notify instead of a handshake */
}

static enum io fail(struct conn *conn, int error_number) {
  conn->error = error_number;
  conn->tls->failure = ERR_peek_error();
  conn->tls->has_failed = true;
  return IO_ERROR;
}

/* What a call that moved nothing means. */
static enum io classify(struct conn *conn, int result) {
  int error_number = errno; /* before anything else touches it */
  switch (SSL_get_error(conn->tls->ssl, result)) {
  case SSL_ERROR_WANT_READ:
  case SSL_ERROR_WANT_WRITE:
  case SSL_ERROR_WANT_X509_LOOKUP: return IO_AGAIN;
  case SSL_ERROR_ZERO_RETURN: return IO_EOF;
  case SSL_ERROR_SYSCALL: return fail(conn, error_number);
  }
  return fail(conn, 0);
}

/* Records are small beside the reader's buffer: all that are there already, so that they also go on together. What
 * stops it behind the first one is found again by the next call. */
static int read_records(SSL *ssl, char *bytes, size_t count, size_t *moved) {
  size_t got = 0;
  int result;
  do {
    result = SSL_read_ex(ssl, bytes + *moved, count - *moved, &got);
    if (result == 1) *moved += got;
  } while (result == 1 && *moved < count && SSL_has_pending(ssl));
  return result;
}

static enum io tls_read(struct conn *conn, void *bytes, size_t count, size_t *moved) {
  struct tls *tls = conn->tls;
  conn->read_needs_write = false;
  *moved = 0;
  forget_errors();
  int result = read_records(tls->ssl, bytes, count, moved);
  tls->is_starved = result != 1;
  if (result == 1) return IO_OK;
  conn->read_needs_write = SSL_want_write(tls->ssl);
  return *moved ? IO_OK : classify(conn, result);
}

static bool tls_pending(const struct conn *conn) {
  return !conn->tls->is_starved && SSL_has_pending(conn->tls->ssl);
}

/* --- writing ----------------------------------------------------------------------------------------- */

/* Where the next byte to write is. */
struct gather {
  const struct iovec *part, *end;
  size_t offset; /* in *part */
};

static void skip(struct gather *from, size_t bytes) {
  from->offset += bytes;
  while (from->part < from->end && from->offset >= from->part->iov_len) from->offset -= from->part++->iov_len;
}

/* The next record's text: a part in place where it fills a record or is the last one, otherwise small parts
 * together in `record`. A record costs 22 bytes and its share of a system call; a head, a chunk size and a
 * chunk need one. */
static struct str next_record(struct gather from, char record[RECORD]) {
  size_t length = 0, left = from.part->iov_len - from.offset;
  const char *bytes = (const char *)from.part->iov_base + from.offset;
  if (left >= RECORD || from.part + 1 == from.end) return (struct str){bytes, left < RECORD ? left : RECORD};
  while (from.part < from.end && length < RECORD) {
    left = from.part->iov_len - from.offset;
    size_t take = left < RECORD - length ? left : RECORD - length;
    if (take) memory_copy(record + length, (const char *)from.part->iov_base + from.offset, take);
    length += take;
    skip(&from, take);
  }
  return (struct str){record, length};
}

/* A retry after IO_AGAIN gathers the same bytes or more, so OpenSSL finds the record that it has made to be a
 * prefix, which is all it asks for under ACCEPT_MOVING_WRITE_BUFFER. */
static enum io tls_write(struct conn *conn, const struct iovec *parts, int count, size_t *moved) {
  char record[RECORD];
  struct gather from = {parts, parts + count, 0};
  enum io io = IO_OK;
  conn->write_needs_read = false;
  *moved = 0;
  for (skip(&from, 0); from.part < from.end && io == IO_OK;) {
    struct str text = next_record(from, record);
    size_t written = 0;
    forget_errors();
    int result = SSL_write_ex(conn->tls->ssl, text.ptr, text.len, &written);
    if (result != 1) io = classify(conn, result);
    skip(&from, written);
    *moved += written;
  }
  conn->write_needs_read = io == IO_AGAIN && SSL_want_read(conn->tls->ssl);
  if (io == IO_EOF) io = fail(conn, EPIPE); /* the other side said close_notify, then went away */
  return io == IO_AGAIN && *moved ? IO_OK : io;
}

/* --- the end ----------------------------------------------------------------------------------------- */

/* The close_notify waits in the kernel for the FIN that is about to follow, and both take one packet. */
static enum io tls_shutdown(struct conn *conn) {
  struct tls *tls = conn->tls;
  if (tls->has_failed || tls->misuse || !SSL_is_init_finished(tls->ssl)) return IO_ERROR;
  setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &(int){1}, sizeof(int));
  forget_errors();
  int result = SSL_shutdown(tls->ssl); /* 0: ours is sent; the other side's is not waited for */
  return result >= 0 ? IO_OK : classify(conn, result);
}

/* A session whose connection ended without close_notify would be forgotten by OpenSSL, which TLS 1.1 has given up
 * (RFC 4346 section 7.2.1). */
static void tls_close(struct conn *conn) {
  SSL_set_shutdown(conn->tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(conn->tls->ssl);
  tls_context_release(conn->tls->context);
  tls_identity_release(conn->tls->provided);
  free(conn->tls);
  conn->tls = NULL;
  conn->transport = &transport_plain;
}

void tls_take_off(struct conn *conn) {
  tls_close(conn);
  conn->read_needs_write = conn->write_needs_read = false;
}

static void tls_detach(struct conn *conn) { tls_keep_sessions(conn, NULL); }

const struct transport transport_tls = {tls_read,   tls_write,   tls_shutdown, tls_pending,
                                        tls_detach, tls_failure, tls_close};

/* --- facts ------------------------------------------------------------------------------------------- */

static bool failed_by(const struct conn *conn, int reason) {
  return conn->tls && ERR_GET_LIB(conn->tls->failure) == ERR_LIB_SSL &&
         ERR_GET_REASON(conn->tls->failure) == reason;
}

bool tls_failed_verification(const struct conn *conn) {
  return failed_by(conn, SSL_R_CERTIFICATE_VERIFY_FAILED);
}
bool tls_met_http(const struct conn *conn) {
  return failed_by(conn, SSL_R_HTTP_REQUEST) || failed_by(conn, SSL_R_HTTPS_PROXY_REQUEST);
}

/* Where its first bytes are no record of TLS, OpenSSL takes them for one of an odd version. */
static bool speaks_no_tls(const struct conn *conn) {
  return failed_by(conn, SSL_R_WRONG_VERSION_NUMBER) || failed_by(conn, SSL_R_PACKET_LENGTH_TOO_LONG) ||
         tls_met_http(conn);
}

/* Of a peer's certificate. */
static const char *way_out(long result) {
  switch (result) {
  case X509_V_ERR_IP_ADDRESS_MISMATCH: return "; name the peer by its host name, or set sni or verify_name";
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return "; give it as ca (of 'perilune proxy': --ca)";
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    return "; give its authority as ca (of 'perilune proxy': --ca)";
  default: return "";
  }
}

static const char *verification_failure(const struct tls *tls) {
  static _Thread_local char text[TLS_NAME + 128];
  long result = SSL_get_verify_result(tls->ssl);
  bool is_mismatch = result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH;
  snprintf(text, sizeof text, "certificate verify failed: %s%s%s%s%s", X509_verify_cert_error_string(result),
           is_mismatch ? " (wanted " : "", is_mismatch ? tls->verify_name : "", is_mismatch ? ")" : "",
           SSL_is_server(tls->ssl) ? "" : way_out(result));
  return text;
}

const char *tls_failure(const struct conn *conn) {
  const struct tls *tls = conn->tls;
  if (!tls) return "no TLS session";
  if (tls->misuse) return tls->misuse;
  if (tls_failed_verification(conn)) return verification_failure(tls);
  if (conn->error) return strerror(conn->error);
  if (failed_by(conn, SSL_R_UNEXPECTED_EOF_WHILE_READING)) return "the connection ended without close_notify";
  if (!SSL_is_server(tls->ssl) && speaks_no_tls(conn))
    return "the peer does not speak TLS; is tls = true meant?";
  const char *reason = ERR_reason_error_string(tls->failure);
  return reason ? reason : "TLS failed";
}
