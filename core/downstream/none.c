// SPDX-License-Identifier: Apache-2.0
// none: the stream of an exchange without a client. A shadow has one beside that of the real exchange, and looks up the
// facts of the same connection; a rehearsal has one with a connection that exists for its facts only.
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "exchange/proxy.h"
#include "exchange/stream.h"

static void end(struct stream *s) { s->exchange = NULL; }

/* Nobody gives up whom nobody waits for. */
static void reset(struct stream *s, enum error error) {
  (void)error;
  CHECK(!s->exchange);
}

static const struct stream_codec codec = {STREAM_SILENT, .end = end, .reset = reset};

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
