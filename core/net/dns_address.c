// SPDX-License-Identifier: Apache-2.0
// dns_address: net/addr reads an address with a port. One without has the port 53, and may name an interface, which
// c-ares takes as it is: so it is looked at here.
#include "net/dns_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "net/addr.h"

/* What is behind the '%' of an address: the name of an interface. */
static bool is_zone(const char *text) {
  size_t length = strlen(text);
  return length > 0 && length < IF_NAMESIZE && !text[strcspn(text, "%:/[]")];
}

bool dns_address_read(struct str text, char address[DNS_ADDRESS_TEXT]) {
  char whole[ADDR_TEXT], host[INET6_ADDRSTRLEN + 20], plain[INET6_ADDRSTRLEN];
  unsigned char bytes[16];
  struct addr parsed;
  const char *why;
  bool has_port = addr_parse(text, &parsed, &why) && parsed.kind == ADDR_IP;
  if (has_port) {
    size_t length = addr_format(&parsed, whole);
    bool fits = parsed.port && length < DNS_ADDRESS_TEXT;
    if (fits) memcpy(address, whole, length + 1);
    return fits;
  }
  if (text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
    text = (struct str){text.ptr + 1, text.len - 2};
  if (text.len == 0 || text.len >= sizeof host) return false;
  snprintf(host, sizeof host, "%.*s", STR_ARG(text));
  size_t address_bytes = strcspn(host, "%");
  snprintf(plain, sizeof plain, "%.*s", (int)address_bytes, host);
  if (host[address_bytes] && !is_zone(host + address_bytes + 1)) return false;
  bool is_ipv6 = inet_pton(AF_INET6, plain, bytes) == 1;
  if (!is_ipv6 && inet_pton(AF_INET, host, bytes) != 1) return false;
  snprintf(address, DNS_ADDRESS_TEXT, is_ipv6 ? "[%s]:53" : "%s:53", host);
  return true;
}
