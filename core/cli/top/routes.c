// SPDX-License-Identifier: Apache-2.0
// top/routes: what comes faster than it is read here is left out by the proxy: so the table says what was seen.
#include "cli/top/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "shared/live_record.h"

enum { ROUTES_MOST = 500, NAME_BYTES = 64, READ_BYTES = 65536, TURNS_MOST = 64 };

struct route {
  char name[NAME_BYTES];
  uint64_t seen, failed, sum_us, slowest_us;
};

struct routes {
  int fd; /* -1: it does not look on */
  struct buf in;
  struct route items[ROUTES_MOST + 1]; /* the last one is of all others */
  unsigned count;
};

struct routes *routes_new(void) {
  struct routes *r = memory_zalloc(sizeof *r);
  r->fd = -1;
  return r;
}

static void end(struct routes *r) {
  if (r->fd >= 0) close(r->fd);
  r->fd = -1;
  buf_release(&r->in);
}

void routes_free(struct routes *r) {
  end(r);
  free(r);
}

void routes_watch(struct routes *r, const struct running *running, bool is_wanted) {
  static const char line[] = "trace\tfields=no\n";
  if (is_wanted == (r->fd >= 0)) return;
  end(r);
  if (!is_wanted) return;
  r->fd = running_reach(running);
  bool is_good = r->fd >= 0 && running_is_trusted(r->fd, running->owner) &&
                 write(r->fd, line, sizeof line - 1) == (ssize_t)sizeof line - 1 &&
                 fcntl(r->fd, F_SETFL, O_NONBLOCK) == 0;
  if (!is_good) end(r);
}

/* --- counting --------------------------------------------------------------------------------------------- */

/* "GET a.example/orders", without what is behind the first part of the path. */
static void write_name(char *to, struct str items) {
  struct live_item method, host, target;
  live_record_find(items, LIVE_TEXT, LIVE_METHOD, &method);
  live_record_find(items, LIVE_TEXT, LIVE_HOST, &host);
  live_record_find(items, LIVE_TEXT, LIVE_TARGET, &target);
  size_t end = target.text.len ? 1 : 0;
  while (end < target.text.len && !strchr("/?#", target.text.ptr[end])) end++;
  if (snprintf(to, NAME_BYTES, "%.*s %.*s%.*s", STR_ARG(method.text), STR_ARG(host.text), (int)end,
               target.text.ptr) == 1)
    strcpy(to, "(not readable)");
  for (char *at = to; *at; at++)
    if (*at == '\t' || *at == '\n') *at = '?';
}

static struct route *find(struct routes *r, const char *name) {
  for (unsigned i = 0; i < r->count; i++)
    if (strcmp(r->items[i].name, name) == 0) return &r->items[i];
  if (r->count == ROUTES_MOST) strcpy(r->items[r->count++].name, "(others)");
  if (r->count > ROUTES_MOST) return &r->items[ROUTES_MOST];
  strcpy(r->items[r->count].name, name);
  return &r->items[r->count++];
}

static void count(struct routes *r, struct str items) {
  char name[NAME_BYTES];
  struct live_item status, duration;
  write_name(name, items);
  live_record_find(items, LIVE_NUMBER, LIVE_STATUS, &status);
  live_record_find(items, LIVE_NUMBER, LIVE_DURATION_US, &duration);
  struct route *route = find(r, name);
  route->seen++;
  route->failed += status.number >= 500 || status.number == 0;
  route->sum_us += duration.number;
  if (duration.number > route->slowest_us) route->slowest_us = duration.number;
}

/* --- reading ---------------------------------------------------------------------------------------------- */

/* Takes one piece off the front: "#<length>\n" and a record, or a line. False: it is not whole, or nothing of ours. */
static bool take(struct routes *r) {
  struct str in = buf_str(&r->in), items;
  struct live_head head;
  size_t line = str_find(in, '\n');
  uint64_t bytes = 0;
  if (line >= in.len || !strchr("#+", *in.ptr)) return false;
  if (*in.ptr == '#' && !str_to_u64((struct str){in.ptr + 1, line - 1}, &bytes)) return false;
  if (bytes > in.len - line - 1) return false;
  if (bytes && live_record_open((struct str){in.ptr + line + 1, bytes}, &head, &items)) count(r, items);
  buf_consume(&r->in, line + 1 + bytes);
  return true;
}

void routes_read(struct routes *r) {
  ssize_t got = 1;
  for (int turns = 0; r->fd >= 0 && got > 0 && turns < TURNS_MOST; turns++) {
    buf_reserve(&r->in, READ_BYTES);
    got = read(r->fd, buf_tail(&r->in), READ_BYTES);
    if (got > 0) buf_commit(&r->in, (size_t)got);
    while (buf_len(&r->in) && take(r)) continue;
  }
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) end(r);
}

void routes_write(const struct routes *r, FILE *out) {
  fputs("table\troutes\troute:t\tseen/s:c\t5xx/s:c\tmean:u\tslowest:u\n", out);
  for (unsigned i = 0; i < r->count; i++) {
    const struct route *route = &r->items[i];
    fprintf(out, "row\t%s\t%llu\t%llu\t%llu\t%llu\n", route->name, (unsigned long long)route->seen,
            (unsigned long long)route->failed,
            (unsigned long long)(route->seen ? route->sum_us / route->seen : 0),
            (unsigned long long)route->slowest_us);
  }
}
