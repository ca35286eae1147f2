// SPDX-License-Identifier: Apache-2.0
// replay_report: a difference is a sentence without what is of one request alone, so that equal ones make a group; a
// group names its first request.
#include "cli/replay_report.h"

#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/why.h"

enum { GROUPS_MOST = 200, PEERS_MOST = 64, NAMES_BYTES = 160, WHAT_BYTES = 120 };

struct replay_detail {
  struct replay_detail *next;
  uint64_t number;
  struct replay_decision d; /* its texts are owned */
  struct replay_lines lines;
  char message[160], what[WHAT_BYTES];
};

struct replay_group {
  char *text; /* owned */
  char what[WHAT_BYTES];
  uint64_t count, number;
};

struct replay_peers {
  char peer[REPLAY_PEER_BYTES];
  uint64_t asked[2]; /* by the new policy, by the other */
};

/* --- peers ---------------------------------------------------------------------------------------------- */

static void count_peer(struct replay_report *r, const char *peer, unsigned which) {
  unsigned i = 0;
  if (!r->peers) r->peers = memory_zalloc(PEERS_MOST * sizeof *r->peers);
  while (i < r->peer_count && strcmp(r->peers[i].peer, peer) != 0) i++;
  if (i == PEERS_MOST) return;
  if (i == r->peer_count) snprintf(r->peers[r->peer_count++].peer, REPLAY_PEER_BYTES, "%s", peer);
  r->peers[i].asked[which]++;
}

void replay_report_peer(struct replay_report *r, const struct replay_decision *d, bool is_against) {
  if (d->peer[0]) count_peer(r, d->peer, is_against);
}

void replay_report_recorded(const struct recorded *recorded, struct replay_decision *was) {
  *was = (struct replay_decision){.kind = REPLAY_ANSWERS, .status = (unsigned)recorded->status};
  if (recorded->answer.len) was->kind = REPLAY_ASKS;
  if (!recorded->error.len) return;
  while (was->error < ERROR_COUNT && !str_equal(recorded->error, str_of(error_info(was->error)->name)))
    was->error++;
  was->kind = REPLAY_FAILS;
}

/* --- differences ---------------------------------------------------------------------------------------- */

static void describe(const struct replay_decision *d, char *text, size_t bytes) {
  switch (d->kind) {
  case REPLAY_ASKS: snprintf(text, bytes, "asks a peer, and the client gets %u", d->status); break;
  case REPLAY_ANSWERS: snprintf(text, bytes, "answers %u", d->status); break;
  case REPLAY_FAILS:
    snprintf(text, bytes, "fails (%s) with %u", error_info(d->error)->name, d->status);
    break;
  case REPLAY_UNKNOWN: snprintf(text, bytes, "does not decide without a network"); break;
  }
}

static bool has_line(struct str text, struct str line) {
  struct str other;
  while (str_split(&text, '\n', &other))
    if (str_equal(other, line)) return true;
  return false;
}

/* Adds the names of fields of `one` whose line is not in `other`. A line without a colon is the
 * first, or of the body. */
static void add_names(char names[NAMES_BYTES], struct str one, struct str other) {
  struct str line;
  while (str_split(&one, '\n', &line)) {
    size_t colon = str_find(line, ':'), length = strlen(names);
    if (!line.len || has_line(other, line)) continue;
    char name[48];
    if (colon < line.len)
      snprintf(name, sizeof name, "%.*s", (int)(colon < 40 ? colon : 40), line.ptr);
    else
      snprintf(name, sizeof name, "the request line or the body");
    if (strstr(names, name) || length + strlen(name) + 3 > NAMES_BYTES) continue;
    snprintf(names + length, NAMES_BYTES - length, "%s%s", length ? ", " : "", name);
  }
}

static struct str text_of(const struct buf *buf) { return buf_len(buf) ? buf_str(buf) : STR(""); }

static void add_group(struct replay_report *r, const struct replay_detail *detail, char *text) {
  unsigned i = 0;
  if (!r->groups) r->groups = memory_zalloc((GROUPS_MOST + 1) * sizeof *r->groups);
  while (i < r->group_count && strcmp(r->groups[i].text, text) != 0) i++;
  if (i == GROUPS_MOST) {
    free(text);
    return;
  }
  struct replay_group *group = &r->groups[i];
  if (i == r->group_count) {
    r->group_count++;
    *group = (struct replay_group){.text = text, .number = detail->number};
    snprintf(group->what, sizeof group->what, "%s", detail->what);
  } else {
    free(text);
  }
  group->count++;
}

/* "at policy.lua:12", of whatever is known. */
static char *at(const char *place) { return *place ? why_text(" at %s", place) : str_to_cstring(STR("")); }

/* Of the changes "name=place;...", the places where one of the names was changed. */
static char *at_changes(const char *changes, const char *names) {
  char places[REPLAY_CHANGES_BYTES] = "";
  struct str rest = str_of(changes), change, name;
  while (str_split(&rest, ';', &change)) {
    size_t length = strlen(places);
    if (!str_split(&change, '=', &name) || !name.len) continue;
    char *terminated = str_to_cstring(name), *place = str_to_cstring(change);
    if (strcasestr(names, terminated) && !strstr(places, place))
      snprintf(places + length, sizeof places - length, "%s%s", length ? ", " : "", place);
    free(terminated);
    free(place);
  }
  return at(places);
}

static void compare_outcome(struct replay_report *r, const struct replay_detail *detail,
                            const struct replay_decision *was, const struct replay_lines *lines) {
  char now[120], before[120];
  const struct replay_decision *d = &detail->d;
  if (d->kind == was->kind && d->status == was->status && d->error == was->error) return;
  describe(d, now, sizeof now);
  describe(was, before, sizeof before);
  char *here = at(detail->lines.hooks[d->hook]), *there = at(lines ? lines->hooks[was->hook] : "");
  const char *message = d->kind == REPLAY_FAILS ? detail->message : "";
  add_group(r, detail,
            why_text("%s%s%s%s; %s %s%s", now, here, *message ? ": " : "", message,
                     lines ? "before it" : "the recording:", before, there));
  free(here);
  free(there);
}

static void compare_heads(struct replay_report *r, const struct replay_detail *detail, bool is_request,
                          const struct replay_decision *was, const struct replay_lines *lines) {
  const struct replay_decision *d = &detail->d;
  struct str now = text_of(is_request ? &d->request : &d->response);
  struct str before = text_of(is_request ? &was->request : &was->response);
  char names[NAMES_BYTES] = "";
  add_names(names, now, before);
  add_names(names, before, now);
  if (!*names) return;
  char *here = at_changes(is_request ? detail->lines.request : detail->lines.response, names);
  char *there = at_changes(is_request ? lines->request : lines->response, names);
  add_group(r, detail,
            why_text("other fields in the %s: %s%s; before it%s",
                     is_request ? "request to the peer" : "answer", names, *here ? here : " unchanged",
                     *there ? there : " unchanged"));
  free(here);
  free(there);
}

static void compare(struct replay_report *r, const struct replay_detail *detail,
                    const struct replay_decision *was, const struct replay_lines *lines) {
  const struct replay_decision *d = &detail->d;
  compare_outcome(r, detail, was, lines);
  if (!lines || d->kind != was->kind) return;
  if (strcmp(d->peer, was->peer) != 0 || d->attempts != was->attempts) {
    char *here = at(detail->lines.hooks[HOOK_upstream_peer]);
    add_group(r, detail, why_text("asks %s%s; before it %s", d->peer, here, was->peer));
    free(here);
  }
  compare_heads(r, detail, true, was, lines);
  compare_heads(r, detail, false, was, lines);
  if (d->waited_ms != was->waited_ms) {
    char *here = at(detail->lines.wait);
    add_group(r, detail,
              why_text("hooks wait for %u ms%s; before it for %u ms", d->waited_ms, here, was->waited_ms));
    free(here);
  }
}

/* --- details -------------------------------------------------------------------------------------------- */

static void keep(struct replay_report *r, uint64_t number, const struct recorded *recorded,
                 const struct replay_decision *d, const struct replay_lines *lines) {
  struct replay_detail *detail = memory_zalloc(sizeof *detail);
  size_t line = str_find(recorded->head, '\r');
  detail->number = number;
  detail->d = *d;
  detail->d.request = detail->d.response = (struct buf){0};
  buf_append_str(&detail->d.request, text_of(&d->request));
  buf_append_str(&detail->d.response, text_of(&d->response));
  detail->lines = *lines;
  snprintf(detail->message, sizeof detail->message, "%.*s", (int)strcspn(r->run->message, "\n("),
           r->run->message);
  snprintf(detail->what, sizeof detail->what, "%.*s", (int)(line < 90 ? line : 90), recorded->head.ptr);
  if (!r->last) r->last = &r->first;
  *r->last = detail;
  r->last = &detail->next;
}

void replay_report_detail(struct replay_report *r, uint64_t number, const struct recorded *recorded,
                          const struct replay_decision *d, const struct replay_lines *lines,
                          bool is_against) {
  struct replay_decision was;
  if (!is_against) {
    keep(r, number, recorded, d, lines);
    if (!r->is_recorded) return;
    replay_report_recorded(recorded, &was);
    compare(r, CONTAINER_OF(r->last, struct replay_detail, next), &was, NULL);
    return;
  }
  r->at = r->at ? r->at->next : r->first;
  if (r->at && r->at->number == number) compare(r, r->at, d, lines);
}

static int compare_groups(const void *a, const void *b) {
  const struct replay_group *first = a, *second = b;
  if (first->count != second->count) return first->count < second->count ? 1 : -1;
  return first->number != second->number ? (first->number > second->number ? 1 : -1)
                                         : strcmp(first->text, second->text);
}

void replay_report_print(const struct replay_report *r, FILE *out) {
  if (r->groups) qsort(r->groups, r->group_count, sizeof *r->groups, compare_groups);
  for (unsigned i = 0; i < r->group_count; i++) {
    const struct replay_group *group = &r->groups[i];
    fprintf(out, "%8llu  %s\n          first: request %llu, %s\n", (unsigned long long)group->count,
            group->text, (unsigned long long)group->number + 1, group->what);
  }
  if (r->refused)
    fprintf(out, "hooks asked for %llu connections, which a replay has not: they failed\n",
            (unsigned long long)r->refused);
  if (!r->group_count || !r->peer_count) return;
  fprintf(out, "peers asked%s:\n", r->is_recorded ? "" : ", by the policy and by the other");
  for (unsigned i = 0; i < r->peer_count; i++) {
    fprintf(out, "  %-48s %10llu", r->peers[i].peer, (unsigned long long)r->peers[i].asked[0]);
    if (!r->is_recorded) fprintf(out, " %10llu", (unsigned long long)r->peers[i].asked[1]);
    fputc('\n', out);
  }
}

void replay_report_free(struct replay_report *r) {
  while (r->first) {
    struct replay_detail *detail = r->first;
    r->first = detail->next;
    buf_release(&detail->d.request);
    buf_release(&detail->d.response);
    free(detail);
  }
  for (unsigned i = 0; i < r->group_count; i++) free(r->groups[i].text);
  free(r->groups);
  free(r->peers);
}
