// SPDX-License-Identifier: Apache-2.0
// quota: this process's part of a limit that several proxies share, for all its workers. Requests are decided here, at
// once; what was let pass is reported to a common store, at intervals, by whoever calls quota_collect. This file knows
// neither the store nor how a report is sent.
//
// The limit is one token bucket in the store. A report takes its tokens from there, even where that makes the bucket
// negative, and gives back how full the bucket is (the balance) and how many requests of the key all proxies had
// lately (the demand). Of the balance this process may use its share: its part of the demand, and at least one of as
// many parts as there are proxies. Between reports the share refills as the bucket does. So proxies that each let too
// many pass in one interval let as many fewer pass in the next: what is too much is paid back, and nothing is lost that
// nobody used.
//
// Data flow. quota_take counts a hit in the key's entry, and lists the entry. quota_collect takes the hits out of the
// listed entries; from then on they belong to the caller, who either tells the answer (quota_settle), gives them back
// (quota_restore: the report was not sent), or forgets them, because nobody knows whether they were counted: a hit is
// never reported twice. The store is away once nothing was answered for a while (quota_reported); then each proxy keeps
// to an equal part of the limit, and reports later no more than its own bucket still remembers. It keeps to that part
// for a moment after the store is back: others, of whom the store knows no demand so far, use theirs.
//
// Thread-safe: an operation holds one of several locks for a few instructions.
#ifndef PERILUNE_SHARED_QUOTA_H
#define PERILUNE_SHARED_QUOTA_H

#include "base/clock.h"
#include "base/str.h"

enum {
  QUOTA_KEYS_MOST = 1 << 24,
  QUOTA_KEY_BYTES = 64,     /* of the longest key */
  QUOTA_ENTRY_BYTES = 144,  /* what a key takes, about */
  QUOTA_REPORT_MS = 100,    /* between reports */
  QUOTA_LATE_MS = 250,      /* an answer should have come until then */
  QUOTA_OVERDUE_MS = 1500,  /* whoever sees that nobody has collected for so long does it */
  QUOTA_PATIENCE_MS = 1000, /* failing reports: the store is away when the last answer is older */
  QUOTA_SILENCE_MS = 4000,  /* the same where nothing is heard of reports at all */
  QUOTA_RETURN_MS = 2000    /* after it is back, other proxies may still think that it is away */
};

struct quota;

struct quota_rules {
  unsigned max, burst; /* at least 1 */
  unsigned interval_ms;
  unsigned keys; /* how many there is room for, about */
};

struct quota_verdict {
  bool passes;
  unsigned remaining; /* requests that would pass here now, after this one */
  uint64_t reset_ms;  /* until the bucket is full again */
  uint64_t retry_ms;  /* until the next request passes; 0 where one would now */
};

/* What is to be reported of a key. */
struct quota_report {
  char key[QUOTA_KEY_BYTES];
  unsigned length;
  unsigned hits;   /* that passed */
  unsigned wanted; /* that passed or did not */
};

struct quota_counts {
  uint64_t passed, refused;
  uint64_t lost; /* hits of keys that were forgotten for want of room before they were reported */
};

struct quota *quota_new(const struct quota_rules *rules, const struct clock *clock);
void quota_free(struct quota *q);
const struct quota_rules *quota_rules(const struct quota *q);
size_t quota_bytes(const struct quota *q);
/* Who this process is among the proxies: random, as text; lives as long as the quota. */
const char *quota_node(const struct quota *q);

/* May a request of the key pass? One that does not is no hit. Keys of more than QUOTA_KEY_BYTES must be made shorter
 * before. */
struct quota_verdict quota_take(struct quota *q, struct str key);
/* The store has said that none passes for so long: quota_barred tells how many ms are left of that. */
void quota_bar(struct quota *q, struct str key, uint64_t ms);
uint64_t quota_barred(struct quota *q, struct str key);

/* Has nobody collected for long? True once in QUOTA_OVERDUE_MS: who is told does it. */
bool quota_is_overdue(struct quota *q);
/* Begins a report. False: the last one began less than QUOTA_REPORT_MS ago. */
bool quota_begin(struct quota *q);
/* The hits of up to `most` keys, the longest listed first. How many keys. */
unsigned quota_collect(struct quota *q, struct quota_report *reports, unsigned most);
/* The answer for a key: tokens in the bucket, and the demand of all proxies. */
void quota_settle(struct quota *q, struct str key, double balance, double demand);
/* These hits have not been sent. */
void quota_restore(struct quota *q, struct str key, unsigned hits);
/* A report, of any number of keys, was answered by the store or was not. True: by that the store is away, or back. */
bool quota_reported(struct quota *q, bool was_answered);
bool quota_is_away(const struct quota *q);
/* How many proxies share the limit. */
void quota_set_nodes(struct quota *q, unsigned nodes);
unsigned quota_nodes(const struct quota *q);

/* What has been counted since the last call. */
struct quota_counts quota_take_counts(struct quota *q);
/* Lost hits since it was made. */
uint64_t quota_lost(struct quota *q);

#endif
