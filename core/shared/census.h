// SPDX-License-Identifier: Apache-2.0
// census: how many connections a listener has in all workers, and how many each client has. The numbers are exact,
// because they are limits. The first is one atomic number; those of clients are in a table with locks, which only
// listeners with such a limit use, once per connection.
#ifndef PERILUNE_SHARED_CENSUS_H
#define PERILUNE_SHARED_CENSUS_H

#include <stdbool.h>
#include <sys/socket.h>

struct census;

/* Whose connections are counted together: an IPv4 address, or the first bits of an IPv6 address. */
struct census_client {
  unsigned char bytes[16];
};
/* False: it has no address that says who it is (a unix socket). */
bool census_client_of(const struct sockaddr *address, unsigned ipv6_bits, struct census_client *client);

/* All that follows is thread-safe. */
struct census *census_new(void);
/* Once all that entered have left. */
void census_free(struct census *census);

/* One more connection, unless there are `most` already: then false. 0: no limit. */
bool census_enter(struct census *census, unsigned most);
void census_leave(struct census *census);
unsigned census_count(const struct census *census);

/* One more connection of this client, unless it has `most` already: then false. */
bool census_admit(struct census *census, const struct census_client *client, unsigned most);
/* One that was admitted has ended. */
void census_dismiss(struct census *census, const struct census_client *client);
/* Clients that have connections which were admitted. */
unsigned census_clients(const struct census *census);

#endif
