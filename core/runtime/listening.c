// SPDX-License-Identifier: Apache-2.0
// listening: opens all of a generation's listeners, or none. Addresses are compared as the policy wrote them;
// an address that is named several times (port 0) is matched in order.
#include "runtime/listening.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/listener.h"
#include "net/tls_context.h"
#include "runtime/deploy/inherited.h"

/* False, with the reason behind the place. */
static bool refuse(char **why, struct str place, const char *reason) {
  return why_say(why, "%.*s: %s", STR_ARG(place), reason);
}

static int find(const struct listening *before, struct str said, const struct listening *now) {
  for (unsigned i = 0; before && i < before->count; i++) {
    bool taken = false;
    for (unsigned k = 0; k < now->count; k++) taken = taken || now->entries[k].kept == (int)i;
    if (!taken && str_equal(before->entries[i].said, said)) return (int)i;
  }
  return -1;
}

static void name_entry(struct listening_entry *entry, const struct addr *said) {
  struct addr bound = *said;
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  if (said->kind == ADDR_IP && getsockname(entry->fds[0], (struct sockaddr *)&name, &length) == 0)
    addr_from_socket(&bound, (struct sockaddr *)&name, length);
  addr_format(&bound, entry->address);
}

static bool open_sockets(struct listening_entry *entry, struct str said, unsigned workers, const char **why) {
  struct addr addr;
  enum socket_owner owner = OWNER_US;
  if (!addr_parse_listener(said, &addr, why)) return false;
  if (!inherited_take(said, &addr, entry->fds, workers, &owner) &&
      !listener_open(&addr, entry->fds, workers, why))
    return false;
  name_entry(entry, &addr);
  socket_file_note(&entry->file, &addr, owner);
  return true;
}

bool listening_load(struct policy_listener *said, char **why) {
  char *reason = NULL;
  if (!said->tls.count && !said->tls.asks && !said->tls.live.len) return true;
  if (said->unreadable.len)
    return why_say(why, "%.*s: %.*s", STR_ARG(said->place), STR_ARG(said->unreadable));
  said->context = tls_context_server(&said->tls, &reason);
  if (said->context) return true;
  refuse(why, said->place, reason);
  free(reason);
  return false;
}

static bool others_serve(const struct policy_listener *said, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (!said[i].fault) return true;
  return false;
}

/* Does a listener without certificates take nobody's place? */
static bool is_excused(const struct listening_entry *entry, const struct listening *before) {
  if (entry->kept >= 0) return before->entries[entry->kept].fault != NULL;
  return !before && entry->file.owner != OWNER_PREDECESSOR;
}

static void close_entry(struct listening_entry *entry, unsigned workers) {
  for (unsigned w = 0; w < workers; w++) close(entry->fds[w]);
  socket_file_remove(&entry->file);
}

static bool is_unspecified(const struct addr *addr) {
  if (addr_family(addr) == AF_INET) return addr->socket.in4.sin_addr.s_addr == INADDR_ANY;
  return IN6_IS_ADDR_UNSPECIFIED(&addr->socket.in6.sin6_addr);
}

/* ":80" and "10.0.0.1:80" want the same port; two addresses of one machine may have it beside each other. */
static bool is_every(const struct addr *a, const struct addr *b) {
  if (a->kind != ADDR_IP || b->kind != ADDR_IP || !a->port || a->port != b->port) return false;
  return is_unspecified(a) || is_unspecified(b);
}

/* The address of ours that is in the way, as the policy wrote it; empty: it is somebody else's. */
static struct str in_the_way(const struct listening *l, struct str said) {
  struct addr wanted, other;
  const char *unused;
  for (unsigned i = 0; addr_parse_listener(said, &wanted, &unused) && i < l->count; i++)
    if (addr_parse_listener(l->entries[i].said, &other, &unused) &&
        (addr_reaches(&wanted, &other) || addr_reaches(&other, &wanted) || is_every(&wanted, &other)))
      return l->entries[i].said;
  return (struct str){NULL, 0};
}

static bool refuse_socket(const struct listening *l, const struct policy_listener *said, const char *reason,
                          char **why) {
  struct str ours = errno == EADDRINUSE ? in_the_way(l, said->address) : (struct str){NULL, 0};
  if (!ours.len) return refuse(why, said->place, reason);
  return why_say(why, "%.*s: cannot listen on %.*s: this process listens on that port already, by %.*s",
                 STR_ARG(said->place), STR_ARG(said->address), STR_ARG(ours));
}

static bool fill(struct listening *l, const struct policy_listener *said, const struct listening *before,
                 char **why) {
  struct listening_entry *entry = &l->entries[l->count];
  const char *reason = "";
  entry->kept = find(before, said->address, l);
  entry->fds = memory_alloc(l->workers * sizeof *entry->fds);
  if (entry->kept >= 0) {
    const struct listening_entry *old = &before->entries[entry->kept];
    memcpy(entry->fds, old->fds, l->workers * sizeof *entry->fds);
    memcpy(entry->address, old->address, sizeof entry->address);
    entry->file = old->file;
  } else if (!open_sockets(entry, said->address, l->workers, &reason)) {
    refuse_socket(l, said, reason, why);
    free(entry->fds);
    return false;
  }
  if (said->fault && !is_excused(entry, before)) {
    if (entry->kept < 0) close_entry(entry, l->workers);
    free(entry->fds);
    return why_say(why, "%s", said->fault);
  }
  entry->fault = said->fault ? str_to_cstring(str_of(said->fault)) : NULL;
  entry->tls = said->context ? tls_context_hold(said->context) : NULL;
  CHECK(entry->kept < 0 || strcmp(entry->address, before->entries[entry->kept].address) == 0);
  entry->said = str_own(said->address);
  l->count++;
  return true;
}

struct listening *listening_open(const struct policy_listener *said, unsigned count, unsigned workers,
                                 const struct listening *before, char **why) {
  struct listening *l = memory_zalloc(sizeof *l);
  l->entries = memory_zalloc(count * sizeof *l->entries);
  l->workers = workers;
  if (count && !others_serve(said, count)) {
    why_say(why, "%s", said[0].fault);
    listening_free(l, true);
    return NULL;
  }
  while (l->count < count && fill(l, &said[l->count], before, why)) {
  }
  if (l->count == count) return l;
  listening_free(l, true);
  return NULL;
}

void listening_free(struct listening *l, bool closes) {
  for (unsigned i = 0; l && i < l->count; i++) {
    struct listening_entry *entry = &l->entries[i];
    if (closes && entry->kept < 0) close_entry(entry, l->workers);
    free(entry->fault);
    if (entry->tls) tls_context_release(entry->tls);
    free((void *)entry->said.ptr);
    free(entry->fds);
  }
  if (l) free(l->entries);
  free(l);
}

static bool is_kept(const struct listening *l, unsigned index) {
  for (unsigned i = 0; i < l->count; i++)
    if (l->entries[i].kept == (int)index) return true;
  return false;
}

void listening_unlink_dropped(const struct listening *l, struct listening *before) {
  for (unsigned i = 0; before && i < before->count; i++)
    if (!is_kept(l, i)) socket_file_remove(&before->entries[i].file);
}

unsigned listening_dropped(const struct listening *l, const struct listening *before) {
  unsigned kept = 0;
  for (unsigned i = 0; i < l->count; i++) kept += l->entries[i].kept >= 0;
  CHECK(!before || kept <= before->count); /* each is kept once */
  return before ? before->count - kept : 0;
}
