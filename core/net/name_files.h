// SPDX-License-Identifier: Apache-2.0
// name_files: the system's configuration of names: resolv.conf(5) and hosts(5), read again when they have changed.
#ifndef PERILUNE_NET_NAME_FILES_H
#define PERILUNE_NET_NAME_FILES_H

#include <sys/stat.h>

#include "net/dns_client.h"
#include "net/dns_message.h"

enum { NAME_SEARCH_MOST = 6 };

/* A line of the hosts file is several: one a name. */
struct host_entry {
  const char *name; /* in name_files.hosts_text, lower case */
  int family;
  unsigned line;
  struct dns_address address;
};

struct name_files {
  const char *resolv_path, *hosts_path; /* borrowed */
  struct stat resolv_stat, hosts_stat;  /* of what was read; zeroes: nothing */
  double look_again;                    /* on the loop's clock */
  char *servers; /* owned: the list for dns_servers_new; never NULL after the first refresh */
  char *search[NAME_SEARCH_MOST]; /* owned: domains without a dot in front */
  unsigned search_count, ndots;
  struct dns_options options;
  char *hosts_text;         /* owned */
  struct host_entry *hosts; /* owned; by name, then in the order of the file */
  unsigned host_count;
};

void name_files_init(struct name_files *files);
void name_files_clear(struct name_files *files);
/* Looks at most every few seconds whether they have changed, and reads what has; what cannot be read stays as it was.
 * True: `servers` are others now, or their options. */
bool name_files_refresh(struct name_files *files, double now);
/* The next refresh looks in any case. */
void name_files_doubt(struct name_files *files);
/* The first entry of a name in lower case, and how many follow it, itself included. */
const struct host_entry *name_files_find(const struct name_files *files, const char *name, unsigned *count);

#endif
