// SPDX-License-Identifier: Apache-2.0
// dns_message: walks the records of a DNS message (RFC 1035 section 4.1). The message comes from the network, so each
// step checks how many bytes are left before it reads. The names of records are not compared with the question: a
// server that follows aliases sends no other records in its answer.
#include "net/dns_message.h"

#include <ares.h>
#include <stdlib.h>

#include "base/big_endian.h"
#include "base/check.h"
#include "base/memory.h"

enum { HEADER = 12, QUESTION_END = 4, RECORD_HEAD = 10, SERVICE_HEAD = 6, SOA_NUMBERS = 20, CLASS_IN = 1 };

struct message {
  const unsigned char *start, *at, *end;
};

struct record {
  unsigned type, class, ttl_s;
  struct message data; /* its end is that of the message: names may point back */
  size_t length;
};

static size_t left(const struct message *m) {
  CHECK(m->start <= m->at && m->at <= m->end);
  return (size_t)(m->end - m->at);
}

/* A name, which may point back into the message. `text` NULL: it is skipped. */
static bool take_name(struct message *m, char *text, size_t room) {
  char *name = NULL;
  long used = 0;
  if (m->at >= m->end) return false;
  if (ares_expand_name(m->at, m->start, (int)(m->end - m->start), &name, &used) != ARES_SUCCESS) return false;
  size_t length = strlen(name);
  bool fits = !text || length < room;
  if (fits && text) memcpy(text, name, length + 1);
  ares_free_string(name);
  if (used < 0 || (size_t)used > left(m)) return false;
  m->at += used;
  return fits;
}

static bool take_record(struct message *m, struct record *record) {
  if (!take_name(m, NULL, 0) || left(m) < RECORD_HEAD) return false;
  const unsigned char *head = m->at;
  unsigned ttl_s = big_endian_32(head + 4);
  m->at += RECORD_HEAD;
  *record = (struct record){.type = big_endian_16(head),
                            .class = big_endian_16(head + 2),
                            .ttl_s = ttl_s >> 31 ? 0 : ttl_s, /* RFC 2181 section 8 */
                            .data = *m,
                            .length = big_endian_16(head + 8)};
  if (left(m) < record->length) return false;
  m->at += record->length;
  return true;
}

/* A target of "." says that there is no such service: no record. */
static bool take_service(struct message m, struct resolver_service *service) {
  char host[sizeof service->address.host];
  if (left(&m) < SERVICE_HEAD) return false;
  *service = (struct resolver_service){.priority = big_endian_16(m.at), .weight = big_endian_16(m.at + 2)};
  service->address = (struct addr){.kind = ADDR_NAME, .port = big_endian_16(m.at + 4)};
  m.at += SERVICE_HEAD;
  if (!take_name(&m, host, sizeof host) || !host[0] || service->address.port == 0) return false;
  memcpy(service->address.host, host, sizeof host);
  return true;
}

/* Room for one more. */
static bool has_room(struct dns_records *records, enum dns_type type) {
  if (records->count == RESOLVER_ADDRESSES) return false;
  if (records->count < records->most) return true;
  records->most = records->most ? records->most * 2 : 4;
  if (type == DNS_SRV)
    records->services = memory_realloc(records->services, records->most * sizeof *records->services);
  else
    records->addresses = memory_realloc(records->addresses, records->most * sizeof *records->addresses);
  return true;
}

static void hold_no_longer_than(struct dns_records *records, unsigned ttl_s) {
  if (!records->has_ttl || ttl_s < records->ttl_s) records->ttl_s = ttl_s;
  records->has_ttl = true;
}

/* An alias holds no longer than its own time to live. */
static void take_answer(const struct record *record, enum dns_type type, struct dns_records *records) {
  size_t bytes = type == DNS_A ? 4 : 16;
  if (record->class != CLASS_IN) return;
  if (record->type == DNS_CNAME) hold_no_longer_than(records, record->ttl_s);
  if (record->type != (unsigned)type || !has_room(records, type)) return;
  if (type == DNS_SRV) {
    if (!take_service(record->data, &records->services[records->count])) return;
  } else {
    if (record->length != bytes) return;
    memcpy(records->addresses[records->count].bytes, record->data.at, bytes);
  }
  records->count++;
  hold_no_longer_than(records, record->ttl_s);
}

/* RFC 2308 section 5: the lesser of the SOA record's own time and its last number. */
static void take_authority(const struct record *record, struct dns_records *records) {
  struct message m = record->data;
  if (record->type != DNS_SOA || record->class != CLASS_IN) return;
  m.end = m.at + record->length;
  if (!take_name(&m, NULL, 0) || !take_name(&m, NULL, 0) || left(&m) < SOA_NUMBERS) return;
  unsigned minimum = big_endian_32(m.at + SOA_NUMBERS - 4);
  hold_no_longer_than(records, minimum < record->ttl_s ? minimum : record->ttl_s);
}

bool dns_message_read(const unsigned char *message, size_t length, enum dns_type type,
                      struct dns_records *records) {
  struct message m = {message, message + HEADER, message + length};
  struct record record;
  *records = (struct dns_records){0};
  if (length < HEADER) return false;
  for (unsigned questions = big_endian_16(message + 4); questions > 0; questions--) {
    if (!take_name(&m, NULL, 0) || left(&m) < QUESTION_END) return false;
    m.at += QUESTION_END;
  }
  for (unsigned count = big_endian_16(message + 6); count > 0; count--) {
    if (!take_record(&m, &record)) return false;
    take_answer(&record, type, records);
  }
  if (records->count > 0) return true;
  for (unsigned count = big_endian_16(message + 8); count > 0 && take_record(&m, &record); count--)
    take_authority(&record, records);
  return true;
}

void dns_records_clear(struct dns_records *records) {
  free(records->addresses);
  free(records->services);
  *records = (struct dns_records){0};
}
