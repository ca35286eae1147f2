// SPDX-License-Identifier: Apache-2.0
// metrics: what the workers count. Each worker writes its own structs with plain stores, and they share no cache
// line with those of others; a reader adds them up. So counting costs a few instructions and no lock.
//
// Words. tally: the counts of one worker. traffic: the counts of one worker for one listener.
// To count something new: a cell in struct tally, its line where it happens, and its line in
// runtime/observe/exposition.c.
#ifndef PERILUNE_SHARED_METRICS_H
#define PERILUNE_SHARED_METRICS_H

#include "base/error.h"
#include "base/str.h"
#include "shared/histogram.h"

struct census;
struct metrics;

enum {
  TRAFFIC_STATUSES = 600,
  TRAFFIC_HTTP2_CODES = 14,
  TALLY_HOOKS = 32,
  TALLY_CODINGS = 4,
  TALLY_SKIPS = 16
};

struct traffic {
  _Alignas(64) cell accepted;      /* connections */
  cell refused;                    /* of these, closed at once: their client had as many as it may have */
  cell statuses[TRAFFIC_STATUSES]; /* answers, by their status; [0]: none, or none that exists */
  /* Connections of HTTP/2 that were ended for a fault of the client, by the code (RFC 9113 section 7); [0]: another. */
  cell http2_faults[TRAFFIC_HTTP2_CODES];
  cell received, sent;       /* bytes of requests, of responses: heads and bodies */
  struct histogram duration; /* us, from a request's head to the end of its response; without tunnels */
};

struct hook_tally {
  cell calls, errors;
  cell ticks;   /* in all, with what they waited */
  cell slowest; /* ticks */
};

struct tally {
  _Alignas(64) cell upstream_opened; /* new connections to peers that were asked for */
  cell upstream_reused;              /* taken from the pool instead, or from a sibling's: */
  cell upstream_borrowed;            /* of these, so many */
  cell upstream_late;                /* siblings that were asked and did not answer in time */
  cell retries;
  cell accept_pauses;       /* how often there was no room for a client, so that it waited in the kernel */
  cell given_up;            /* connections of clients that were closed while they waited, to make room */
  cell hedges, hedges_lost; /* second attempts while one was slow; of these, those that came too late */
  cell failures[ERROR_COUNT];
  cell compressed[TALLY_CODINGS];     /* bodies that were begun to be encoded for clients */
  cell decompressed[TALLY_CODINGS];   /* the same of those that were decoded for the policy */
  cell compress_in, compress_out;     /* bytes */
  cell compress_ticks;                /* encoding and decoding */
  cell compress_skipped[TALLY_SKIPS]; /* responses that went as they were, where encoding is on */
  struct hook_tally hooks[TALLY_HOOKS];
  struct histogram connect;    /* us, of connections that came about, with TLS */
  struct histogram first_byte; /* us, from the request's beginning to the response's head */
  /* How things are, stated once a second. */
  cell downstreams, exchanges, upstreams, upstreams_idle, vm_bytes;
  cell upstreams_http2, upstream_streams; /* of upstreams: those of HTTP/2; requests under way on these */
  cell vms_given_up;                      /* policies whose VM was given up, or had no memory left */
  cell lacks_vm;                          /* 1: so was that of the policy in force, which is loaded again */
  cell background;                        /* runs of the policies' own work under way */
  cell old_generations, old_exchanges;    /* older ones that are still in use, and by how many exchanges */
  cell names, names_kept, names_stale;    /* looked up; answered from memory; with what is over its time */
  cell name_questions, name_failures;     /* sent to name servers; that none answered */
  cell name_servers_silent;
  cell lag; /* us that a message waited for this worker's loop */
};

/* For workers 0 to `workers`, the last being the control worker. */
struct metrics *metrics_new(unsigned workers);
void metrics_free(struct metrics *m);
/* The worker's own; lives as long as the metrics. */
struct tally *metrics_tally(struct metrics *m, unsigned worker);
/* Of the listener with that address: found or made; lives as long as the metrics. In one thread only, as all
 * of the functions below. */
struct traffic *metrics_traffic(struct metrics *m, struct str listener, unsigned worker);
/* Likewise of all workers: its connections that are open. */
struct census *metrics_census(struct metrics *m, struct str listener);
/* For one thread that counts, but is not read: `check`, tests, the admin listener. */
struct tally *tally_nowhere(void);
struct traffic *traffic_nowhere(void);

/* --- reading --- */

/* The sum over the workers that serve, without the control worker. `slowest` is the largest. */
void metrics_sum(struct metrics *m, struct tally *sum);
/* The traffic of the listener of that number, from 0, of all workers; false: there is none of that number. */
bool metrics_listener(struct metrics *m, unsigned number, struct str *name, struct traffic *sum);
/* The census of that listener; NULL: there is none of that number. */
struct census *metrics_listener_census(struct metrics *m, unsigned number);
void traffic_merge(struct traffic *to, const struct traffic *from);

#endif
