// SPDX-License-Identifier: Apache-2.0
// Units for net/dns_message: what holds for how long, and messages that are cut short or lie.
#include "net/dns_message.h"

#include <stdlib.h>

#include "unit.h"

/* One question, one SRV record for it. */
static const unsigned char service[] = {0,    1,   0x81, 0x80, 0,  1,  0, 1,   0, 0,  0, 0, /* the header */
                                        1,    'x', 0,    0,    33, 0,  1,                   /* the question */
                                        0xc0, 12,  0,    33,   0,  1,  0, 0,   0, 60, 0, 9,
                                        0,    1,   0,    5,    0,  80, 1, 'y', 0};

/* An alias of 30 s, and an address of 90 s. */
static const unsigned char alias[] = {0, 1,   0x81, 0x80, 0, 1, 0, 2, 0, 0, 0,  0,  1, 'x', 0, 0,   1,
                                      0, 1,   0xc0, 12,   0, 5, 0, 1, 0, 0, 0,  30, 0, 3,   1, 'y', 0, /* y */
                                      1, 'y', 0,    0,    1, 0, 1, 0, 0, 0, 90, 0,  4, 192, 0, 2,   1};

/* No such name: SOA of 300 s, whose minimum is 20. */
static const unsigned char nothing[] = {0, 1, 0x81, 0x83, 0, 1, 0, 0, 0, 1,  0, 0,  1, 'x', 0, 0, 1, 0,
                                        1, 0, 0,    6,    0, 1, 0, 0, 1, 44, 0, 22, 0, 0,   0, 0, 0, 1,
                                        0, 0, 0,    2,    0, 0, 0, 3, 0, 0,  0, 4,  0, 0,   0, 20};

/* A copy of its own, so that a sanitizer sees who reads beyond. */
static bool read_cut(const unsigned char *message, size_t length, enum dns_type type,
                     struct dns_records *records) {
  unsigned char *copy = malloc(length ? length : 1);
  memcpy(copy, message, length);
  bool is_readable = dns_message_read(copy, length, type, records);
  free(copy);
  return is_readable;
}

IT("reads a whole message") {
  struct dns_records records;
  if (CHECK(read_cut(service, sizeof service, DNS_SRV, &records) && records.count == 1)) {
    CHECK_STR(str_of(records.services[0].address.host), "y");
    CHECK(records.ttl_s == 60 && records.services[0].address.port == 80);
  }
  dns_records_clear(&records);
  CHECK(read_cut(service, sizeof service, DNS_A, &records) && records.count == 0);
  dns_records_clear(&records);
}

IT("lets an address hold no longer than the alias that led to it") {
  struct dns_records records;
  if (CHECK(read_cut(alias, sizeof alias, DNS_A, &records) && records.count == 1)) {
    CHECK(records.has_ttl && records.ttl_s == 30);
    CHECK(memcmp(records.addresses[0].bytes, "\300\0\2\1", 4) == 0);
  }
  dns_records_clear(&records);
}

IT("takes the time that a missing name holds from the SOA record") {
  struct dns_records records;
  CHECK(read_cut(nothing, sizeof nothing, DNS_A, &records) && records.count == 0);
  CHECK(records.has_ttl && records.ttl_s == 20);
  dns_records_clear(&records);
}

IT("refuses a message whose answers are cut anywhere") {
  struct dns_records records;
  for (size_t length = 0; length < sizeof service; length++) {
    CHECK(!read_cut(service, length, DNS_SRV, &records));
    dns_records_clear(&records);
  }
  for (size_t length = 0; length < sizeof alias; length++) {
    CHECK(!read_cut(alias, length, DNS_A, &records));
    dns_records_clear(&records);
  }
  for (size_t length = 19; length < sizeof nothing; length++) {
    CHECK(read_cut(nothing, length, DNS_A, &records) && !records.has_ttl);
    dns_records_clear(&records);
  }
}

IT("takes no more records than there is room for") {
  enum { RECORDS = 100, RECORD = 16, HEAD = 19 };
  static unsigned char message[HEAD + RECORDS * RECORD];
  static const unsigned char record[RECORD] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1};
  struct dns_records records;
  memcpy(message, alias, HEAD);
  message[7] = RECORDS;
  for (int i = 0; i < RECORDS; i++) memcpy(message + HEAD + i * RECORD, record, RECORD);
  CHECK(read_cut(message, sizeof message, DNS_A, &records) && records.count == RESOLVER_ADDRESSES);
  dns_records_clear(&records);
}

IT("refuses a name that points at itself") {
  struct dns_records records;
  unsigned char copy[sizeof service];
  memcpy(copy, service, sizeof copy);
  copy[12] = 0xc0;
  copy[13] = 12;
  CHECK(!read_cut(copy, sizeof copy, DNS_SRV, &records));
  dns_records_clear(&records);
}
