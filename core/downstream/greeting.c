// SPDX-License-Identifier: Apache-2.0
// greeting: what comes on a client's connection before its first request: a PROXY header that says who the
// client is, then TLS. The hard problem is that TLS reads from the socket itself: so of a PROXY header not
// one byte more may be taken than it has, although its length is only known behind its beginning.
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "downstream/http1.h"
#include "downstream/http2.h"
#include "exchange/deadline.h"
#include "exchange/hooks.h"
#include "exchange/proxy.h"
#include "exchange/real_client.h"
#include "http/proxy_protocol.h"
#include "net/tls.h"
#include "net/tls_identity.h"
#include "shared/metrics.h"

static void begin_session(struct downstream *d);
static void ask_for_certificate(struct downstream *d);

static void refuse(struct downstream *d, const char *what, const char *why) {
  log_about(LOG_INFO, str_of(what), "client %.*s: %s: %s", STR_ARG(downstream_client(d)), what, why);
  downstream_close(d);
}

static bool is_trusted(struct downstream *d) {
  const struct cidr_set *senders = d->service->policy.settings->proxy_senders;
  return !senders || real_client_is_proxy(senders, downstream_client(d));
}

/* From a sender that is not trusted no byte is looked at: where the header is optional, it is as good as one that has
 * sent none, so a header of its own is a malformed request. */
void greeting_begin(struct downstream *d) {
  const struct settings *settings = d->service->policy.settings;
  bool is_expected = settings->proxy_protocol != PROXY_PROTOCOL_OFF, trusts = !is_expected || is_trusted(d);
  if (is_expected && trusts) {
    d->state = DOWNSTREAM_PREFACE;
    timer_set(&d->stream.timer, wait_ms(WAIT_PREFACE, settings));
  } else if (!trusts && settings->proxy_protocol == PROXY_PROTOCOL_REQUIRED) {
    refuse(d, "PROXY header",
           settings->proxy_senders == settings->trusted_proxies ? "the sender is not in trusted_proxies"
                                                                : "the sender is not in proxy_protocol_from");
  } else {
    begin_session(d);
  }
}

/* --- the PROXY header ----------------------------------------------------------------------------------- */

/* A path is not taken as an address, because a sender can put anything into it. If the header tells no address, that
 * of the connection counts, as the protocol says; but a unix socket has none, and would stand for clients of this
 * machine. */
static void take_client(struct downstream *d, const struct proxy_protocol *header) {
  static const struct sockaddr nobody;
  bool is_path = header->source_length && header->source.ss_family == AF_UNIX;
  bool is_behind_path = header->is_of_client && d->client.ss_family == AF_UNIX;
  if (header->source_length && !is_path)
    downstream_set_client(d, (const struct sockaddr *)&header->source, header->source_length);
  else if (is_path || is_behind_path)
    downstream_set_client(d, &nobody, 0);
}

static void take_preface(struct downstream *d, const struct proxy_protocol *header, size_t rest) {
  char scratch[PROXY_PROTOCOL_LONGEST];
  size_t moved = 0;
  if (rest && conn_read(&d->conn, scratch, rest, &moved) != IO_OK) { /* else it would be the first request */
    downstream_close(d);
    return;
  }
  buf_release(&d->in);
  take_client(d, header);
  begin_session(d);
  conn_feed(&d->conn);
}

/* What looked like a header so far is the beginning of a request. A TLS handshake never looks like one. */
static void do_without_preface(struct downstream *d) {
  bool required = d->service->policy.settings->proxy_protocol == PROXY_PROTOCOL_REQUIRED;
  if (required || (buf_len(&d->in) && d->service->tls))
    refuse(d, "PROXY header", "missing");
  else
    begin_session(d);
}

/* Looks first and takes only what is the header's. */
static void read_preface(struct downstream *d) {
  char bytes[PROXY_PROTOCOL_LONGEST];
  struct proxy_protocol header;
  size_t before = buf_len(&d->in), moved = 0, length = 0;
  if (before) memcpy(bytes, buf_ptr(&d->in), before);
  enum io result = conn_peek(&d->conn, bytes + before, sizeof bytes - before, &moved);
  if (result == IO_AGAIN) return;
  if (result != IO_OK) {
    downstream_close(d);
    return;
  }
  switch (proxy_protocol_parse(bytes, before + moved, &header, &length)) {
  case PROXY_PROTOCOL_WHOLE: take_preface(d, &header, length - before); return;
  case PROXY_PROTOCOL_BAD: refuse(d, "PROXY header", "malformed"); return;
  case PROXY_PROTOCOL_ABSENT: do_without_preface(d); return;
  case PROXY_PROTOCOL_MORE: break;
  }
  buf_reserve(&d->in, moved);
  if (conn_read(&d->conn, buf_tail(&d->in), moved, &moved) == IO_OK) buf_commit(&d->in, moved);
}

/* --- TLS ------------------------------------------------------------------------------------------------ */

/* Who it is is known only now: a PROXY header may have said so. A trusted proxy connects for many clients. */
static bool is_admitted(struct downstream *d) {
  struct service *service = d->service;
  const struct cidr_set *proxies = service->policy.settings->trusted_proxies;
  unsigned most = service->policy.settings->max_connections_per_client;
  if (!most || !service->census || (proxies && real_client_is_proxy(proxies, downstream_client(d))))
    return true;
  if (!census_client_of((const struct sockaddr *)&d->client, service->policy.settings->client_ipv6_bits,
                        &d->admitted))
    return true;
  d->is_admitted = census_admit(service->census, &d->admitted, most);
  return d->is_admitted;
}

static void begin_session(struct downstream *d) {
  struct service *service = d->service;
  if (!is_admitted(d)) {
    cell_add(&service->traffic->refused, 1);
    refuse(d, "connection", "closed, for its address has max_connections_per_client already");
    return;
  }
  if (service->is_faulty) {
    cell_add(&service->traffic->refused, 1);
    refuse(d, "connection", "closed, for its listener has no certificates");
    return;
  }
  if (!service->tls) {
    http1_greeted(d);
    return;
  }
  d->state = DOWNSTREAM_HANDSHAKE;
  timer_set(&d->stream.timer, wait_ms(WAIT_HANDSHAKE, service->policy.settings));
  tls_server(&d->conn, service->tls);
}

/* Every handshake that fails is logged here, once. */
static void log_refusal(struct downstream *d, const char *why) {
  struct str name = tls_server_name(&d->conn);
  if (!name.len) name = STR("no server name");
  log_about(LOG_INFO, str_of(why), "client %.*s: TLS handshake, %.*s: %s", STR_ARG(downstream_client(d)),
            STR_ARG(name), why);
}

void greeting_due(struct downstream *d) {
  log_refusal(d, "it took too long");
  downstream_close(d);
}

/* TLS has sent its alert. Whoever asks without TLS has a mistaken URL, and is told so in its own language. */
static void refuse_handshake(struct downstream *d) {
  static const char answer[] =
      "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 43\r\n"
      "Connection: close\r\n\r\nThis port speaks TLS: ask with https://...\n";
  const struct iovec part = {(void *)answer, sizeof answer - 1};
  bool is_http = tls_met_http(&d->conn);
  size_t moved = 0;
  log_refusal(d, tls_failure(&d->conn));
  tls_take_off(&d->conn);
  if (is_http) conn_write(&d->conn, &part, 1, &moved);
  downstream_linger(d);
}

static void handshake(struct downstream *d) {
  enum io result = tls_handshake(&d->conn);
  if (result == IO_AGAIN) {
    if (tls_wants_certificate(&d->conn) && !d->asking) ask_for_certificate(d);
    return;
  }
  if (result != IO_OK) {
    refuse_handshake(d);
    return;
  }
  if (tls_is_challenge(&d->conn)) {
    downstream_linger(d);
    return;
  }
  conn_want_write(&d->conn, false);
  conn_want_read(&d->conn, true);
  if (tls_chose_http2(&d->conn))
    http2_begin(d);
  else
    http1_greeted(d);
  if (d->state == DOWNSTREAM_CLOSED) return;
  conn_feed(&d->conn); /* the first request may have come with the handshake's last message */
}

/* --- a certificate that the policy knows ---------------------------------------------------------------- */

static void ask_for_certificate(struct downstream *d) {
  struct service *service = d->service;
  if (!service->policy.hooks->certificate) { /* a reload has taken it away */
    tls_provide(&d->conn, NULL, 0);
    handshake(d);
    return;
  }
  struct certificate_request *request = memory_zalloc(sizeof *request);
  *request = (struct certificate_request){.server_name = tls_server_name(&d->conn),
                                          .client = downstream_client(d),
                                          .hooks = service->policy.hooks,
                                          .use = service->policy.use,
                                          .is_challenge = tls_is_challenge(&d->conn),
                                          .owner = d};
  d->asking = request;
  request->use->exchanges++; /* the policy stays */
  enum hook_status status = service->policy.hooks->certificate(request);
  if (status != HOOK_WAIT) certificate_request_wake(request, status == HOOK_FAILED);
}

static void end_request(struct downstream *d) {
  struct policy_use *use = d->asking->use;
  tls_identity_release(d->asking->identity);
  free(d->asking);
  d->asking = NULL;
  if (--use->exchanges == 0 && use->on_unused) use->on_unused(use);
}

void certificate_request_wake(struct certificate_request *request, bool failed) {
  struct downstream *d = request->owner;
  if (failed || request->refused)
    tls_refuse(&d->conn);
  else
    tls_provide(&d->conn, request->identity, request->ttl_s);
  end_request(d);
  handshake(d);
}

void greeting_end(struct downstream *d) {
  if (!d->asking) return;
  d->asking->hooks->cancel_certificate(d->asking);
  end_request(d);
}

void greeting_go_on(struct downstream *d) {
  if (d->state == DOWNSTREAM_PREFACE)
    read_preface(d);
  else
    handshake(d);
}
