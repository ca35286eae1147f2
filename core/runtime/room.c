// SPDX-License-Identifier: Apache-2.0
// room: counts, and searches for connections that can be closed. No list is kept in order of idleness, because every
// request would pay for it: when room is needed, some connections are examined, starting where the last search ended,
// and the one that has been idle for longest is closed.
#include "exchange/room.h"

#include "base/check.h"
#include "base/log.h"
#include "downstream/downstream.h"
#include "downstream/http1.h"
#include "downstream/http2.h"
#include "exchange/deadline.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "net/descriptors.h"
#include "shared/census.h"
#include "shared/metrics.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

/* Bytes of memory for parts of heads, of one worker. A head that comes at once needs none of it. */
enum { HEADS_MOST = 32 << 20 };
/* Looked at in one search; how long a client that was served has for its next request, in any case; and one that has
 * said nothing so far, or only a part of a head. Connections whose last answer was sent go first. */
enum { LOOKED_AT = 64, TRIES = 4, SERVED_MS = 20, SILENT_MS = 1000, LINGER_MS = 1 << 30, LOW_MS = 1000 };

/* A client without a request so far will have one, and so a connection to a peer. One that is idle behind a request
 * counts once: it can be given up. */
static unsigned held(const struct proxy *proxy) {
  unsigned wanted = proxy->exchange_count + proxy->fresh_count;
  return proxy->downstream_count + (proxy->upstream_count > wanted ? proxy->upstream_count : wanted);
}

/* With one more client; and clients leave a quarter to peers, since all that are idle may ask at the same time. */
static bool has_room_for_client(const struct proxy *proxy) {
  unsigned share = descriptors_share();
  return held(proxy) + 2 <= share && proxy->downstream_count < share - share / 4;
}

static void note_shortage(struct proxy *proxy) {
  proxy->room.low_until_ms = loop_now_ms(proxy->loop) + LOW_MS;
}

/* --- what can be given up --------------------------------------------------------------------------------- */

static bool give_up_spare(struct proxy *proxy) {
  for (unsigned i = 0; i < PEER_BUCKETS; i++)
    for (struct peer *peer = proxy->peers[i]; peer; peer = peer->next_in_bucket)
      if (pool_close_oldest(peer)) return true;
  return false;
}

static enum wait wait_of(const struct downstream *d) {
  switch (d->state) {
  case DOWNSTREAM_PREFACE: return WAIT_PREFACE;
  case DOWNSTREAM_HANDSHAKE: return WAIT_HANDSHAKE;
  case DOWNSTREAM_IDLE: return d->requests ? WAIT_NEXT : WAIT_FIRST;
  case DOWNSTREAM_HEAD: return WAIT_REQUEST_HEAD;
  case DOWNSTREAM_LINGER: return WAIT_REST;
  case DOWNSTREAM_HTTP2: return !http2_is_idle(d) ? WAIT_NOTHING : d->requests ? WAIT_NEXT : WAIT_FIRST;
  case DOWNSTREAM_BUSY:
  case DOWNSTREAM_DRAIN:
  case DOWNSTREAM_CLOSED: break;
  }
  return WAIT_NOTHING;
}

/* For how long it has waited for a request, for the rest of its head, or for the client to close. */
static uint64_t idle_ms_of(const struct downstream *d) {
  if (d->state == DOWNSTREAM_HTTP2) return http2_idle_ms(d);
  uint64_t allowed = wait_ms(wait_of(d), d->service->policy.settings), left = timer_left_ms(&d->stream.timer);
  return allowed > left ? allowed - left : 0;
}

static void give_up(struct downstream *d) {
  CHECK(d->state <= DOWNSTREAM_HEAD || d->state == DOWNSTREAM_HTTP2 || d->state == DOWNSTREAM_LINGER);
  if (d->state == DOWNSTREAM_LINGER) { /* it has all that it will get */
    downstream_close(d);
    return;
  }
  cell_add(&d->proxy->tally->given_up, 1);
  log_info("client %.*s: given up after %llu ms in which it asked nothing: there is no room",
           STR_ARG(downstream_client(d)), (unsigned long long)idle_ms_of(d));
  if (d->state == DOWNSTREAM_HTTP2)
    http2_give_up(d);
  else
    downstream_close(d);
}

static bool waits(const struct downstream *d) {
  return wait_of(d) != WAIT_NOTHING && !conn_has_unsent(&d->conn);
}

/* The idlest of the next LOOKED_AT clients. Each that was looked at goes to the end of the list, so that the next
 * search begins behind it. `service` NULL: of any. */
static struct downstream *idlest(struct proxy *proxy, const struct service *service) {
  struct downstream *found = NULL;
  uint64_t most_ms = 0;
  for (unsigned i = 0; i < proxy->downstream_count && (i < LOOKED_AT || !found); i++) {
    struct downstream *d = LIST_ENTRY(proxy->downstreams.next, struct downstream, link);
    list_remove(&d->link);
    list_push_back(&proxy->downstreams, &d->link);
    if (service && d->service != service) continue;
    if (!waits(d)) continue;
    uint64_t idle_ms = idle_ms_of(d);
    bool was_served = d->requests && d->state != DOWNSTREAM_HEAD;
    if (idle_ms < (was_served ? SERVED_MS : SILENT_MS)) continue;
    if (d->state == DOWNSTREAM_LINGER) idle_ms += LINGER_MS;
    if (idle_ms < most_ms) continue;
    found = d;
    most_ms = idle_ms;
  }
  return found;
}

static bool give_up_client(struct proxy *proxy, const struct service *service) {
  for (int i = 0; i < TRIES; i++) {
    struct downstream *d = idlest(proxy, service);
    if (!d) return false;
    if (conn_is_ready(&d->conn)) continue; /* just now */
    give_up(d);
    return true;
  }
  return false;
}

/* Of the next LOOKED_AT clients, the one whose head has been on its way for longest. */
static struct downstream *slowest_head(struct proxy *proxy) {
  struct downstream *found = NULL;
  for (unsigned i = 0; i < proxy->downstream_count && (i < LOOKED_AT || !found); i++) {
    struct downstream *d = LIST_ENTRY(proxy->downstreams.next, struct downstream, link);
    list_remove(&d->link);
    list_push_back(&proxy->downstreams, &d->link);
    if (d->head_held && (!found || d->head_due_ms < found->head_due_ms)) found = d;
  }
  return found;
}

void room_for_heads(struct proxy *proxy) {
  while (proxy->heads_held > HEADS_MOST) {
    struct downstream *d = slowest_head(proxy);
    CHECK(d && (d->state == DOWNSTREAM_HEAD || d->state == DOWNSTREAM_HTTP2));
    cell_add(&proxy->tally->given_up, 1);
    if (d->state == DOWNSTREAM_HTTP2)
      http2_give_up_head(d);
    else
      http1_give_up_head(d);
  }
}

bool room_make(struct proxy *proxy) {
  note_shortage(proxy);
  return give_up_spare(proxy) || give_up_client(proxy, NULL);
}

/* --- asking ----------------------------------------------------------------------------------------------- */

static bool await(struct proxy *proxy) {
  proxy->room.is_awaited = true;
  cell_add(&proxy->tally->accept_pauses, 1);
  return false;
}

static bool take_place(struct proxy *proxy, struct service *service, bool must) {
  unsigned most = service->policy.settings->max_connections;
  if (!service->census || census_enter(service->census, must ? 0 : most)) return true;
  note_shortage(proxy);
  return give_up_client(proxy, service) && census_enter(service->census, most);
}

bool room_for_client(struct proxy *proxy, struct service *service, bool must) {
  while (!must && !has_room_for_client(proxy))
    if (!room_make(proxy)) return await(proxy);
  return take_place(proxy, service, must) || await(proxy);
}

void room_for_nobody(struct service *service) {
  if (service->census) census_leave(service->census);
}

/* The caller is counted already: its exchange, and its connection as one of `upstream_count`. */
bool room_for_upstream(struct proxy *proxy) {
  while (proxy->downstream_count + proxy->upstream_count > descriptors_share())
    if (!room_make(proxy)) return false;
  return true;
}

void room_freed(struct proxy *proxy) {
  if (!proxy->room.is_awaited) return;
  proxy->room.is_awaited = false;
  if (proxy->room.on_room) proxy->room.on_room(proxy);
}

bool room_is_low(const struct proxy *proxy) {
  return proxy->room.low_until_ms && loop_now_ms(proxy->loop) < proxy->room.low_until_ms;
}
