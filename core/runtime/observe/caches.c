// SPDX-License-Identifier: Apache-2.0
// caches: visits the caches of the registry, and writes what they count in three forms.
#include "runtime/observe/caches.h"

#include <stdlib.h>

#include "runtime/observe/exposition.h"
#include "runtime/observe/json.h"
#include "shared/cache.h"
#include "shared/cache_kept.h"
#include "shared/registry.h"
#include "shared/store.h"

typedef unsigned long long number;

struct cache_report {
  struct str name; /* borrowed for the call */
  size_t bytes;
  unsigned fills; /* responses that are on their way */
  struct {
#define X(name) uint64_t name;
    CACHE_FIGURES(X)
#undef X
  } figures;
  struct store_counts store;
};

static void read_one(struct registry_entry *entry, struct cache_report *report) {
  const struct kept_cache *kept = registry_object(entry);
  struct cache_figures *figures = cache_figures(kept->cache);
  *report = (struct cache_report){.name = registry_name(entry), .bytes = kept->bytes};
  report->fills = cache_fills(kept->cache);
#define X(figure) report->figures.figure = atomic_load_explicit(&figures->figure, memory_order_relaxed);
  CACHE_FIGURES(X)
#undef X
  store_count(cache_store(kept->cache), &report->store);
}

/* Calls `each` for every cache. Thread-safe. */
static void read_all(struct registry *registry,
                     void (*each)(const struct cache_report *report, void *context), void *context) {
  unsigned count;
  struct registry_entry **entries = registry_hold_all(registry, cache_kind.name, &count);
  for (unsigned i = 0; i < count; i++) {
    const struct kept_cache *kept = registry_object(entries[i]);
    struct cache_report report;
    if (kept->cache) {
      read_one(entries[i], &report);
      each(&report, context);
    }
    registry_release(registry, entries[i]);
  }
  free(entries);
}

/* Of the requests that the cache has taken, how many it answered without waiting for a peer; 0 to 1. */
static double hit_ratio(const struct cache_report *report) {
  uint64_t served = report->figures.hits + report->figures.stale, all = served + report->figures.misses;
  return all ? (double)served / (double)all : 0;
}

/* --- text ------------------------------------------------------------------------------------------------- */

static void put_text(const struct cache_report *r, void *out) {
  fprintf(out, "cache       %-20.*s %5.1f%% hits of %llu requests, %llu MiB of %llu used, %u on their way",
          STR_ARG(r->name), hit_ratio(r) * 100,
          (number)(r->figures.hits + r->figures.stale + r->figures.misses),
          (number)(r->store.used_bytes >> 20), (number)(r->bytes >> 20), r->fills);
  if (r->store.emptied) fprintf(out, ", oldest dropped at %.0f s", (double)r->store.eviction_age_ms / 1000);
  fputc('\n', out);
}

void caches_put_text(FILE *out, struct registry *registry) { read_all(registry, put_text, out); }

/* --- JSON ------------------------------------------------------------------------------------------------- */

static void put_json(const struct cache_report *r, void *context) {
  struct json *j = context;
  json_open(j, NULL, '{');
  json_text(j, "name", r->name);
  json_number(j, "size_bytes", r->bytes);
  json_number(j, "used_bytes", r->store.used_bytes);
  json_decimal(j, "hit_ratio", hit_ratio(r));
  json_number(j, "eviction_age_us", r->store.eviction_age_ms * 1000);
  json_number(j, "fills", r->fills);
  json_number(j, "stored", r->store.stored);
  json_number(j, "no_room", r->store.refused);
#define X(figure) json_number(j, #figure, r->figures.figure);
  CACHE_FIGURES(X)
#undef X
  json_close(j, '}');
}

void caches_put_json(struct json *j, struct registry *registry) {
  json_open(j, "caches", '[');
  read_all(registry, put_json, j);
  json_close(j, ']');
}

/* --- Prometheus ------------------------------------------------------------------------------------------- */

struct family {
  const char *name, *type, *help;
  size_t figure; /* of a report; or: */
  double (*gauge)(const struct cache_report *r);
};

struct putting {
  FILE *out;
  const struct family *family;
};

static double size(const struct cache_report *r) { return (double)r->bytes; }
static double used(const struct cache_report *r) { return (double)r->store.used_bytes; }
static double fills(const struct cache_report *r) { return r->fills; }
static double eviction_age(const struct cache_report *r) { return (double)r->store.eviction_age_ms / 1000; }
static double stored(const struct cache_report *r) { return (double)r->store.stored; }
static double no_room(const struct cache_report *r) { return (double)r->store.refused; }

#define FIGURE(name) offsetof(struct cache_report, figures.name), NULL
static const struct family families[] = {
    {"cache_size_bytes", "gauge", "Memory of the cache.", 0, size},
    {"cache_used_bytes", "gauge", "What of it has been written to.", 0, used},
    {"cache_fills", "gauge", "Responses that are on their way into the cache.", 0, fills},
    {"cache_eviction_age_seconds", "gauge", "How old the part was that was emptied last.", 0, eviction_age},
    {"cache_stored_total", "counter", "Responses that were stored.", 0, stored},
    {"cache_no_room_total", "counter", "Responses that were not stored for want of room.", 0, no_room},
    {"cache_revalidated_total", "counter", "Stored responses that a peer has said are still good.",
     FIGURE(revalidated)},
    {"cache_collapsed_total", "counter", "Requests that waited for another's fetch.", FIGURE(collapsed)},
    {"cache_lock_timeouts_total", "counter", "Such waits that took too long.", FIGURE(lock_timeouts)},
    {"cache_refused_total", "counter", "Responses that were not for the cache.", FIGURE(refused)},
    {"cache_broken_total", "counter", "Responses that broke off on their way into the cache.",
     FIGURE(broken)},
    {"cache_purges_total", "counter", "Purges.", FIGURE(purges)},
    {"cache_served_bytes_total", "counter", "Bytes of bodies that were served from the cache.",
     FIGURE(served_bytes)},
    {"cache_sent_bytes_total", "counter", "What of these the kernel has sent without a copy (sendfile).",
     FIGURE(sent_bytes)},
    {"cache_coded_total", "counter", "Bodies that were encoded once, to be stored beside their response.",
     FIGURE(coded)},
    {"cache_served_coded_total", "counter", "Requests that were answered by such a body.",
     FIGURE(served_coded)},
};
#undef FIGURE

static void put_sample(const struct cache_report *r, void *context) {
  const struct putting *p = context;
  fprintf(p->out, "perilune_%s{", p->family->name);
  exposition_put_label(p->out, "cache", r->name);
  if (p->family->gauge)
    fprintf(p->out, "} %.15g\n", p->family->gauge(r));
  else
    fprintf(p->out, "} %llu\n",
            (number) * (const uint64_t *)(const void *)((const char *)r + p->family->figure));
}

static void put_status(FILE *out, struct str cache, const char *status, uint64_t count) {
  fputs("perilune_cache_requests_total{", out);
  exposition_put_label(out, "cache", cache);
  fprintf(out, ",status=\"%s\"} %llu\n", status, (number)count);
}

static void put_requests(const struct cache_report *r, void *out) {
  put_status(out, r->name, "hit", r->figures.hits);
  put_status(out, r->name, "miss", r->figures.misses);
  put_status(out, r->name, "stale", r->figures.stale);
  put_status(out, r->name, "bypass", r->figures.bypasses);
}

void caches_put_metrics(FILE *out, struct registry *registry) {
  exposition_put_family(out, "cache_requests_total", "counter",
                        "Requests by what the cache did for them; a miss is one that a peer was asked for.");
  read_all(registry, put_requests, out);
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    struct putting putting = {out, &families[i]};
    exposition_put_family(out, families[i].name, families[i].type, families[i].help);
    read_all(registry, put_sample, &putting);
  }
}
