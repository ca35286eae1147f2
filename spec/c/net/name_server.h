// SPDX-License-Identifier: Apache-2.0
// name_server: a DNS server for units, on a loopback port and the unit's own loop. "good.test", "half.test" and
// "db.corp.test" are 192.0.2.1 and 192.0.2.2, with two services, and have no IPv6 addresses, which nobody says of
// half.test; "slow.test" is never answered, all else does not exist.
#ifndef PERILUNE_SPEC_NAME_SERVER_H
#define PERILUNE_SPEC_NAME_SERVER_H

#include <ev.h>
#include <stdbool.h>

struct name_server {
  struct ev_loop *loop;
  ev_io watcher;
  int fd;
  unsigned questions;
  unsigned char ttl_s;   /* of addresses: 60 */
  bool is_silent, fails; /* it answers nothing; SERVFAIL */
  char address[32];      /* "127.0.0.1:port" */
};

void name_server_start(struct name_server *server, struct ev_loop *loop);
void name_server_stop(struct name_server *server);

#endif
