// SPDX-License-Identifier: Apache-2.0
// Units for net/services: messages that are cut short or lie.
#include "net/services.h"

#include "unit.h"

/* One question, one SRV record for it. */
static const unsigned char message[] = {0,    1,   0x81, 0x80, 0,  1,  0, 1,   0, 0,  0, 0, /* the header */
                                        1,    'x', 0,    0,    33, 0,  1,                   /* the question */
                                        0xc0, 12,  0,    33,   0,  1,  0, 0,   0, 60, 0, 9,
                                        0,    1,   0,    5,    0,  80, 1, 'y', 0};

static bool read_cut(size_t length, unsigned *count) {
  struct resolver_service services[4];
  unsigned char copy[sizeof message];
  unsigned ttl_s = 0;
  memcpy(copy, message, length);
  return services_read(copy, length, services, 4, count, &ttl_s);
}

IT("reads a whole message") {
  unsigned count;
  CHECK(read_cut(sizeof message, &count) && count == 1);
}

IT("refuses a message that is cut anywhere") {
  unsigned count;
  for (size_t length = 0; length < sizeof message; length++) CHECK(!read_cut(length, &count));
}

IT("takes no more records than there is room for") {
  struct resolver_service service;
  unsigned count, ttl_s;
  CHECK(services_read(message, sizeof message, &service, 0, &count, &ttl_s) && count == 0);
}

IT("refuses a name that points at itself") {
  struct resolver_service service;
  unsigned char copy[sizeof message];
  unsigned count, ttl_s;
  memcpy(copy, message, sizeof copy);
  copy[12] = 0xc0;
  copy[13] = 12;
  CHECK(!services_read(copy, sizeof copy, &service, 1, &count, &ttl_s));
}
