// SPDX-License-Identifier: Apache-2.0
// proxy: begin and end of a worker's proxy. The order of the end matters: first clients (their exchanges return
// upstreams), then idle upstreams; then, after the policy was closed, the objects of the reaper, and peers.
#include "exchange/proxy.h"

#include <stdlib.h>

#include "base/check.h"
#include "downstream/downstream.h"
#include "exchange/cache.h"
#include "exchange/codings.h"
#include "exchange/exchange.h"
#include "exchange/live_trace.h"
#include "exchange/open_file.h"
#include "exchange/peer.h"
#include "net/pipe.h"
#include "net/resolver.h"
#include "shared/metrics.h"
#include "upstream/http2.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

void proxy_init(struct proxy *proxy, struct ev_loop *loop, unsigned worker) {
  *proxy = (struct proxy){
      .loop = loop, .worker = worker, .tally = tally_nowhere(), .dice = worker, .window_spare = HTTP2_SPARE};
  list_init(&proxy->downstreams);
  list_init(&proxy->exchanges);
  list_init(&proxy->spare_peers);
  reaper_init(&proxy->reaper, loop);
  outbox_init(&proxy->outbox, loop);
  coalesce_init(&proxy->coalesce, loop);
  turns_init(&proxy->turns, loop);
  coding_pool_init(&proxy->encoders, CODERS_MOST, CODERS_IDLE);
  coding_pool_init(&proxy->decoders, CODERS_MOST, CODERS_IDLE);
  proxy->encoders.reserved_most = proxy->decoders.reserved_most = CODERS_BYTES;
  proxy->resolver = resolver_new(loop);
}

void proxy_stop(struct proxy *proxy, unsigned patience_ms) {
  proxy->stopping = true;
  proxy->patience_ms = patience_ms;
  LIST_EACH(node, &proxy->downstreams)
  downstream_stop(LIST_ENTRY(node, struct downstream, link), patience_ms);
  cache_stop(proxy);
  proxy_ease(proxy);
}

void proxy_ease(struct proxy *proxy) {
  bool is_idle = !proxy->downstream_count && !proxy->exchange_count && !proxy->background_count;
  if (proxy->stopping && is_idle && proxy->on_idle) proxy->on_idle(proxy);
}

void proxy_begin_background(struct proxy *proxy) { proxy->background_count++; }

void proxy_end_background(struct proxy *proxy) {
  CHECK(proxy->background_count > 0);
  if (--proxy->background_count > 0) return;
  if (proxy->on_background_end) proxy->on_background_end(proxy);
  proxy_ease(proxy);
}

void service_close(struct proxy *proxy, struct service *service) {
  service->closing = true;
  service->connections++; /* it stays until we have looked at all */
  LIST_EACH(node, &proxy->downstreams) {
    struct downstream *d = LIST_ENTRY(node, struct downstream, link);
    if (d->service == service) downstream_stop(d, LAST_REQUEST_MS);
  }
  if (--service->connections == 0 && service->on_unused) service->on_unused(service);
}

static void close_idle_upstreams(struct proxy *proxy) {
  for (unsigned i = 0; i < PEER_BUCKETS; i++)
    for (struct peer *peer = proxy->peers[i]; peer; peer = peer->next_in_bucket) {
      peer_hold(peer); /* it stays in its bucket while we look at it */
      pool_close_all(peer);
      peer->refs--;
    }
}

void proxy_close(struct proxy *proxy) {
  proxy->on_idle = NULL;
  proxy->stopping = true;
  while (!list_is_empty(&proxy->downstreams))
    downstream_close(LIST_ENTRY(proxy->downstreams.next, struct downstream, link));
  while (!list_is_empty(&proxy->exchanges))
    exchange_abandon(LIST_ENTRY(proxy->exchanges.next, struct exchange, link));
  close_idle_upstreams(proxy);
}

void proxy_free(struct proxy *proxy) {
  reaper_stop(&proxy->reaper);
  outbox_stop(&proxy->outbox);
  coalesce_stop(&proxy->coalesce);
  turns_stop(&proxy->turns);
  coding_pool_free(&proxy->encoders);
  coding_pool_free(&proxy->decoders);
  pipe_thread_end();
  open_file_cache_free(proxy->files);
  resolver_free(proxy->resolver);
  peers_free(proxy);
  free(proxy->late);
  live_rules_free(proxy->live);
}
