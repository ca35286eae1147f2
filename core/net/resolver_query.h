// SPDX-License-Identifier: Apache-2.0
// resolver_query: the inside of the resolver: net/resolver.c has its life, servers and deliveries, net/resolver_query.c
// takes a query to its answer. No other file may use this.
#ifndef PERILUNE_NET_RESOLVER_QUERY_H
#define PERILUNE_NET_RESOLVER_QUERY_H

#include <ev.h>

#include "net/name_cache.h"
#include "net/name_files.h"
#include "net/resolver.h"

enum { QUERY_NAMES_MOST = NAME_SEARCH_MOST + 1 };
#define RESOLVER_MAGIC 0x4e501e47u
#define QUERY_MAGIC    0x90e41e5u

struct resolver {
  OBJ_MAGIC;
  struct ev_loop *loop;        /* borrowed */
  char *said;                  /* owned: resolver_set_servers; NULL: the system's */
  struct dns_servers *servers; /* owned; NULL before the first question */
  struct list retired;         /* owned: struct dns_servers that still have questions */
  struct name_files files;
  struct name_cache cache;
  ev_timer delivery;          /* never started, only fed: there are queries in `answered` */
  struct list open, answered; /* owned: struct resolver_query */
  struct dns_counts asked;
  struct resolver_counts counts; /* without what `asked` has */
};

/* A query's place in the queue of a set. */
struct part {
  struct list link; /* in set->waiters while it waits */
  struct resolver_query *query;
  struct cached_set *set; /* of query->name */
  bool waits;
};

struct resolver_query {
  OBJ_MAGIC;
  struct list link;          /* in resolver.open or resolver.answered */
  struct resolver *resolver; /* borrowed */
  resolver_done *done;
  void *owner;
  unsigned short port;
  enum resolver_family family;
  bool is_fresh, is_for_services;
  struct cached_name *name; /* held: the one that is looked up */
  struct part parts[2];
  unsigned part_count;
  ev_timer delay;
  char *names[QUERY_NAMES_MOST]; /* owned: to look up, one after the other */
  unsigned name_count, names_tried;
  enum dns_result failure;       /* the gravest so far, */
  double failed;                 /* and when that was said */
  struct resolver_answer answer; /* its arrays are owned */
  char host[NAME_TEXT];          /* as it was asked for, in lower case, without a dot behind */
};

/* --- resolver.c */

/* Those to ask from now on. */
struct dns_servers *resolver_servers(struct resolver *r);
/* It has its answer, or failed: its owner is told in this or the next turn of the loop. */
void query_answered(struct resolver_query *q);

/* --- resolver_query.c */

/* Looks up the names in q->names. */
void query_begin(struct resolver_query *q);
/* Waits for nothing any more. */
void query_leave_name(struct resolver_query *q);

#endif
