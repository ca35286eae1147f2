// SPDX-License-Identifier: Apache-2.0
// services: walks the records of a DNS message (RFC 1035 section 4.1). What it reads comes from the network:
// each step checks what is left before it reads.
#include "net/services.h"

#include <ares.h>

enum { HEADER = 12, QUESTION_END = 4, RECORD_HEAD = 10, SERVICE_HEAD = 6, TYPE_SRV = 33, CLASS_IN = 1 };

struct message {
  const unsigned char *start, *at, *end;
};

static unsigned number16(const unsigned char *at) { return (unsigned)at[0] << 8 | at[1]; }

static size_t left(const struct message *m) { return (size_t)(m->end - m->at); }

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
  m->at += used;
  return fits && m->at <= m->end;
}

/* A target of "." says that there is no such service: no record. */
static bool take_service(struct message m, struct resolver_service *service) {
  char host[sizeof service->address.host];
  if (left(&m) < SERVICE_HEAD) return false;
  service->priority = (unsigned short)number16(m.at);
  service->weight = (unsigned short)number16(m.at + 2);
  service->address = (struct addr){.kind = ADDR_NAME, .port = (unsigned short)number16(m.at + 4)};
  m.at += SERVICE_HEAD;
  if (!take_name(&m, host, sizeof host) || !host[0] || service->address.port == 0) return false;
  memcpy(service->address.host, host, sizeof host);
  return true;
}

static bool take_record(struct message *m, struct resolver_service *service, bool *is_service,
                        unsigned *ttl_s) {
  if (!take_name(m, NULL, 0) || left(m) < RECORD_HEAD) return false;
  const unsigned char *head = m->at;
  size_t length = number16(head + 8);
  m->at += RECORD_HEAD;
  if (left(m) < length) return false;
  *is_service = number16(head) == TYPE_SRV && number16(head + 2) == CLASS_IN && take_service(*m, service);
  *ttl_s = number16(head + 4) << 16 | number16(head + 6);
  m->at += length;
  return true;
}

bool services_read(const unsigned char *message, size_t length, struct resolver_service *services,
                   unsigned most, unsigned *count, unsigned *ttl_s) {
  struct message m = {message, message + HEADER, message + length};
  *count = 0;
  if (length < HEADER) return false;
  for (unsigned questions = number16(message + 4); questions > 0; questions--) {
    if (!take_name(&m, NULL, 0) || left(&m) < QUESTION_END) return false;
    m.at += QUESTION_END;
  }
  for (unsigned records = number16(message + 6); records > 0 && *count < most; records--) {
    bool is_service = false;
    unsigned record_ttl_s;
    if (!take_record(&m, &services[*count], &is_service, &record_ttl_s)) return false;
    if (!is_service) continue;
    if (*count == 0 || record_ttl_s < *ttl_s) *ttl_s = record_ttl_s;
    ++*count;
  }
  return true;
}
