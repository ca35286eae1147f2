// SPDX-License-Identifier: Apache-2.0
// exposition_peers: the metrics of each peer that speaks HTTP/2.
#include "runtime/observe/exposition.h"
#include "shared/peer_figures.h"

typedef unsigned long long number;

static void put(FILE *out, const char *name, const struct peer_figures *figures, number count) {
  exposition_put_labelled(out, name, "peer", figures->address, count);
}

static void put_connections(const struct peer_figures *figures, void *out) {
  put(out, "peer_http2_connections", figures, (number)atomic_load(&figures->connections));
}
static void put_streams(const struct peer_figures *figures, void *out) {
  put(out, "peer_http2_streams", figures, (number)atomic_load(&figures->streams));
}
static void put_resets(const struct peer_figures *figures, void *out) {
  put(out, "peer_http2_resets_total", figures, (number)atomic_load(&figures->resets));
}

void exposition_put_peer_figures(FILE *out) {
  exposition_put_family(out, "peer_http2_connections", "gauge", "Connections to a peer that speak HTTP/2.");
  peer_figures_each(put_connections, out);
  exposition_put_family(out, "peer_http2_streams", "gauge", "Requests under way at a peer over HTTP/2.");
  peer_figures_each(put_streams, out);
  exposition_put_family(out, "peer_http2_resets_total", "counter",
                        "Requests over HTTP/2 that a peer has reset or refused.");
  peer_figures_each(put_resets, out);
}
