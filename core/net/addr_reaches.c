// SPDX-License-Identifier: Apache-2.0
// addr_reaches: whether two addresses reach the same listener. The hard part is that there are several ways to write
// "every address" and "this machine".
#include <arpa/inet.h>

#include "base/big_endian.h"
#include "net/addr.h"

/* An IPv4 address, plain or inside of an IPv6 one (::ffff:1.2.3.4); host order. */
static bool is_ipv4(const struct addr *addr, uint32_t *ip) {
  const struct in6_addr *six = &addr->socket.in6.sin6_addr;
  if (addr->kind != ADDR_IP) return false;
  if (addr_family(addr) == AF_INET)
    *ip = ntohl(addr->socket.in4.sin_addr.s_addr);
  else if (IN6_IS_ADDR_V4MAPPED(six))
    *ip = big_endian_32(six->s6_addr + 12);
  else
    return false;
  return true;
}

/* [::] takes IPv4, too; 0.0.0.0 does not take IPv6. */
static bool takes_every(const struct addr *at, bool of_ipv4) {
  uint32_t ip;
  if (is_ipv4(at, &ip)) return of_ipv4 && ip == INADDR_ANY;
  return IN6_IS_ADDR_UNSPECIFIED(&at->socket.in6.sin6_addr);
}

static bool same_ip(const struct addr *to, const struct addr *at) {
  uint32_t mine, theirs;
  bool is_four = is_ipv4(to, &mine), at_four = is_ipv4(at, &theirs);
  const struct in6_addr *six = &to->socket.in6.sin6_addr;
  if (is_four && at_four && mine == theirs) return true;
  if (!is_four && !at_four && memcmp(six, &at->socket.in6.sin6_addr, sizeof *six) == 0) return true;
  bool is_here = is_four ? mine >> 24 == 127 || mine == INADDR_ANY
                         : IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_UNSPECIFIED(six);
  return is_here && takes_every(at, is_four);
}

bool addr_reaches(const struct addr *to, const struct addr *at) {
  struct addr here = {.kind = ADDR_IP, .port = to->port};
  if (to->kind == ADDR_NAME && str_equal_nocase(str_of(to->host), STR("localhost"))) {
    here.socket.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to = &here;
  }
  if (to->kind != at->kind || to->kind == ADDR_NAME) return false;
  if (to->kind == ADDR_UNIX)
    return to->length == at->length && memcmp(&to->socket, &at->socket, to->length) == 0;
  return to->port && to->port == at->port && same_ip(to, at);
}
