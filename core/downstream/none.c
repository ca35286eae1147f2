// SPDX-License-Identifier: Apache-2.0
// none: the stream of an exchange without a client. A shadow has one beside that of the real exchange, and looks up the
// facts of the same connection; a rehearsal has one with a connection that exists for its facts only.
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"

static enum framing framing(const struct stream *s) {
  (void)s;
  return FRAMING_CHUNKED;
}

static bool head(struct stream *s, const struct stream_head *given, struct str *text, struct sink *sink) {
  (void)s, (void)given;
  *text = (struct str){0};
  *sink = (struct sink){0};
  return true;
}

static void pause_none(struct stream *s, bool watches) { (void)s, (void)watches; }

static uint64_t unsent(const struct stream *s) {
  (void)s;
  return 0;
}

static bool is_ready(const struct stream *s) {
  (void)s;
  return false;
}

static void end(struct stream *s) { s->exchange = NULL; }

/* Nobody gives up whom nobody waits for. */
static void reset(struct stream *s, enum error error) {
  (void)error;
  CHECK(!s->exchange);
}

static const struct stream_codec codec = {framing, head, pause_none, unsent, is_ready, end, reset};

void stream_init_none(struct stream *s, struct service *service, struct downstream *downstream) {
  *s = (struct stream){.codec = &codec, .service = service, .downstream = downstream};
}

struct stream *stream_new_alone(struct proxy *proxy, struct service *service, const struct sockaddr *client,
                                socklen_t length) {
  struct downstream *d = memory_zalloc(sizeof *d);
  d->proxy = proxy;
  d->service = service;
  d->conn.fd = -1;
  d->state = DOWNSTREAM_BUSY;
  d->requests = 1;
  OBJ_INIT(d, DOWNSTREAM_MAGIC);
  stream_init_none(&d->stream, service, d);
  if (length) downstream_set_client(d, client, length);
  return &d->stream;
}

void stream_free_alone(struct stream *s) {
  struct downstream *d = s->downstream;
  CHECK(&d->stream == s && !conn_is_open(&d->conn));
  if (d->attachment) d->attachment->on_close(d->attachment);
  downstream_forget_client(d);
  OBJ_END(d, DOWNSTREAM_MAGIC);
  free(d);
}
