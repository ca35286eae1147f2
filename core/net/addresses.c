// SPDX-License-Identifier: Apache-2.0
// addresses: RFC 8305 section 4: the families alternate; the first one is IPv6, but for addresses that RFC 6724 puts
// behind IPv4. Within a family, connections take turns, as if each had asked a name server that rotates its answers.
// An address that failed a short while ago comes last, whatever its family.
#include "net/addresses.h"

#include <stdlib.h>

#include "base/memory.h"
#include "net/name_cache.h"

#define BAD_S 60.0

static size_t bytes_of(int family) { return family == AF_INET ? 4 : 16; }

static bool is_equal(int family, const struct dns_address *a, const struct dns_address *b) {
  return memcmp(a->bytes, b->bytes, bytes_of(family)) == 0;
}

void addresses_add(struct addresses *a, int family, const struct dns_address *address) {
  if (a->count == RESOLVER_ADDRESSES) return;
  for (unsigned i = 0; i < a->count; i++)
    if (a->families[i] == family && is_equal(family, &a->list[i], address)) return;
  a->families[a->count] = family;
  a->list[a->count++] = *address;
}

/* --- what failed --------------------------------------------------------------------------------------- */

static struct bad_address *find_bad(struct cached_name *memory, int family,
                                    const struct dns_address *address) {
  for (int i = 0; i < NAME_BAD_MOST; i++)
    if (memory->bad[i].family == family && is_equal(family, &memory->bad[i].address, address))
      return &memory->bad[i];
  return NULL;
}

static struct bad_address *oldest_bad(struct cached_name *memory) {
  struct bad_address *oldest = memory->bad;
  for (int i = 1; i < NAME_BAD_MOST; i++)
    if (memory->bad[i].until < oldest->until) oldest = &memory->bad[i];
  return oldest;
}

void addresses_note(struct cached_name *memory, const struct addr *addr, bool works, double now) {
  struct dns_address address = {{0}};
  int family = addr_family(addr);
  if (addr->kind != ADDR_IP) return;
  const void *bytes =
      family == AF_INET ? (const void *)&addr->socket.in4.sin_addr : &addr->socket.in6.sin6_addr;
  memcpy(address.bytes, bytes, bytes_of(family));
  struct bad_address *bad = find_bad(memory, family, &address);
  if (works) {
    if (bad) *bad = (struct bad_address){0};
    return;
  }
  if (!bad) bad = oldest_bad(memory);
  *bad = (struct bad_address){now + BAD_S, family, address};
}

/* --- the order ----------------------------------------------------------------------------------------- */

/* RFC 6724 section 2.1: unique local, 6to4 and Teredo addresses are worth less than IPv4. */
static bool is_behind_ipv4(const struct dns_address *a) {
  bool is_local = (a->bytes[0] & 0xfe) == 0xfc, is_6to4 = a->bytes[0] == 0x20 && a->bytes[1] == 2;
  bool is_teredo = a->bytes[0] == 0x20 && a->bytes[1] == 1 && !a->bytes[2] && !a->bytes[3];
  return is_local || is_6to4 || is_teredo;
}

/* Indices of one family, turned; returns how many. */
static unsigned pick(const struct addresses *a, int family, unsigned turn,
                     unsigned indices[RESOLVER_ADDRESSES]) {
  unsigned count = 0, turned[RESOLVER_ADDRESSES];
  for (unsigned i = 0; i < a->count; i++)
    if (a->families[i] == family) turned[count++] = i;
  for (unsigned i = 0; i < count; i++) indices[i] = turned[(i + turn) % count];
  return count;
}

static double bad_until(struct cached_name *memory, const struct addresses *a, unsigned index, double now) {
  const struct bad_address *bad = find_bad(memory, a->families[index], &a->list[index]);
  return bad && bad->until > now ? bad->until : 0;
}

static struct addr make(const struct addresses *a, unsigned index, unsigned short port) {
  struct sockaddr_in in4 = {.sin_family = AF_INET};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
  struct addr addr;
  memcpy(&in4.sin_addr, a->list[index].bytes, 4);
  memcpy(&in6.sin6_addr, a->list[index].bytes, 16);
  if (a->families[index] == AF_INET)
    addr_from_socket(&addr, (struct sockaddr *)&in4, sizeof in4);
  else
    addr_from_socket(&addr, (struct sockaddr *)&in6, sizeof in6);
  addr_set_port(&addr, port);
  return addr;
}

struct addr *addresses_in_order(struct addresses *a, struct cached_name *memory, enum resolver_family wanted,
                                unsigned short port, double now) {
  unsigned ipv4[RESOLVER_ADDRESSES], ipv6[RESOLVER_ADDRESSES], order[RESOLVER_ADDRESSES],
      turn = memory->turn++;
  unsigned count4 = pick(a, AF_INET, turn, ipv4), count6 = pick(a, AF_INET6, turn, ipv6), count = 0;
  bool takes_ipv4 = wanted == FAMILY_PREFER_IPV4 || (count6 && is_behind_ipv4(&a->list[ipv6[0]]));
  for (unsigned at4 = 0, at6 = 0; at4 < count4 || at6 < count6; takes_ipv4 = !takes_ipv4) {
    bool is_ipv4 = at6 == count6 || (takes_ipv4 && at4 < count4);
    unsigned index = is_ipv4 ? ipv4[at4++] : ipv6[at6++], at = count++;
    double until = bad_until(memory, a, index, now);
    for (; at > 0 && bad_until(memory, a, order[at - 1], now) > until; at--) order[at] = order[at - 1];
    order[at] = index;
  }
  struct addr *list = memory_alloc((count ? count : 1) * sizeof *list);
  for (unsigned i = 0; i < count; i++) list[i] = make(a, order[i], port);
  CHECK(count == a->count);
  return list;
}
