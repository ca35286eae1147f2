// SPDX-License-Identifier: Apache-2.0
// dns_client: sends a question to several name servers until one answers. If a server does not answer, the next one
// is asked after a short time; a late answer is still used, but that server is asked last from then on: see
// dns_client.c.
#ifndef PERILUNE_NET_DNS_CLIENT_H
#define PERILUNE_NET_DNS_CLIENT_H

#include <stdint.h>

#include "base/list.h"
#include "net/dns_message.h"

struct dns_servers;
struct ev_loop;

enum { DNS_SERVERS_MOST = 8 };

enum dns_result {
  DNS_FOUND,   /* there are records */
  DNS_NO_DATA, /* the name exists, and has none of this type */
  DNS_NO_NAME, /* the name does not exist (NXDOMAIN) */
  DNS_FAILED   /* nobody could say */
};

struct dns_reply {
  enum dns_result result;
  struct dns_records records; /* the owner may take them; the rest is freed */
  const char *why;            /* static; of all but DNS_FOUND */
  bool is_local; /* of DNS_FAILED: for want of descriptors or memory, which is no server's fault */
};
/* Once for each question: from the loop, or from inside of dns_servers_free. It must not free the servers. */
typedef void dns_done(void *owner, struct dns_reply *reply);

/* What resolv.conf(5) says of patience. Where it says nothing, servers are asked in rounds that take longer and longer,
 * for five seconds. */
struct dns_options {
  unsigned attempts;  /* at each server; 0: nothing is said, and timeout_s is 0, too */
  unsigned timeout_s; /* all are over within so many seconds for each attempt */
  bool rotates;       /* questions begin with one server after the other, instead of with the first */
};
enum { DNS_TIMEOUT_MOST_S = 30, DNS_ATTEMPTS_MOST = 5 };

struct dns_counts {
  uint64_t questions, failures; /* sent to servers; questions that nobody has answered */
};

/* Is it a list of addresses like "127.0.0.1:5353,[::1]"? False: *why is static. */
bool dns_servers_check(const char *list, const char **why);
/* `list` must be one; `options` is copied, `counts` is borrowed. Servers behind the eighth are left out. */
struct dns_servers *dns_servers_new(struct ev_loop *loop, const char *list, const struct dns_options *options,
                                    struct dns_counts *counts);
void dns_ask(struct dns_servers *servers, const char *name, enum dns_type type, dns_done *done, void *owner);
/* No more questions come: it is freed behind the last one that is under way, and is in the list `retired` until then.
 * */
void dns_servers_retire(struct dns_servers *servers, struct list *retired);
/* At once: questions under way end as failed, inside. NULL is harmless. */
void dns_servers_free(struct dns_servers *servers);
void dns_servers_free_all(struct list *retired);
/* How many of them do not answer at the moment. */
unsigned dns_servers_silent(const struct dns_servers *servers);

#endif
