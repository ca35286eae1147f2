// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: answers of name servers. The first byte says which records were asked for. Whatever comes, nothing is
// read beyond the message, and what is taken is of use: bounded in number, services with a name and a port.
#include "net/dns_message.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_SRV};
  struct dns_records records;
  if (size < 1) return 0;
  enum dns_type type = types[data[0] % 3];
  struct str message = fuzz_copy((const char *)data + 1, size - 1);
  bool is_readable = dns_message_read((const unsigned char *)message.ptr, message.len, type, &records);
  REQUIRE(records.count <= RESOLVER_ADDRESSES && records.count <= records.most);
  REQUIRE(records.count == 0 || (type == DNS_SRV ? records.services != NULL : records.addresses != NULL));
  for (unsigned i = 0; i < records.count && type == DNS_SRV; i++) {
    const struct addr *address = &records.services[i].address;
    REQUIRE(address->kind == ADDR_NAME && address->port > 0);
    REQUIRE(strnlen(address->host, sizeof address->host) < sizeof address->host && address->host[0]);
  }
  REQUIRE(!is_readable || records.count == 0 || records.has_ttl);
  REQUIRE(!records.has_ttl || records.ttl_s <= INT32_MAX || records.count == 0);
  dns_records_clear(&records);
  free((char *)message.ptr);
  return 0;
}
