// SPDX-License-Identifier: Apache-2.0
// tls_names: a name that was given has priority over the host of the address.
#include "net/tls_names.h"

#include "base/arena.h"
#include "net/addr.h"

static struct str host_of(const struct addr *addr, struct arena *arena) {
  char text[ADDR_TEXT];
  if (addr->kind == ADDR_NAME) return str_of(addr->host);
  if (addr->kind == ADDR_UNIX) return (struct str){0};
  return arena_dup(arena, (struct str){text, addr_format_host(addr, text)});
}

struct tls_names tls_names(struct tls_names said, const struct addr *addr, struct arena *arena) {
  struct tls_names names = said;
  if (!names.verify.len) names.verify = said.sni;
  if (!names.verify.len) names.verify = host_of(addr, arena);
  if (!names.sni.len && addr->kind == ADDR_NAME) names.sni = str_of(addr->host);
  return names;
}
