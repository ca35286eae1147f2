// SPDX-License-Identifier: Apache-2.0
// proxy_protocol: parsing and writing of the PROXY header (haproxy's proxy-protocol.txt). The hard problem is to
// distinguish, from a few bytes, a header from any other protocol, and never to wait for bytes that another protocol
// will not send.
#include "http/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/big_endian.h"
#include "base/check.h"

static const struct str signature_1 = STR_INIT("PROXY ");
static const struct str signature_2 = STR_INIT("\r\n\r\n\0\r\nQUIT\n");

enum {
  LINE_BYTES = 107, /* the longest line of version 1, CRLF included */
  FIXED_BYTES = 16, /* of version 2 */
  IN4_BYTES = 12,   /* two addresses and two ports */
  IN6_BYTES = 36,
  LOCAL_BYTES = 216, /* two paths of 108 bytes */
  COMMAND_LOCAL = 0x20,
  COMMAND_PROXY = 0x21,
  FAMILY_IN4 = 0x1,
  FAMILY_IN6 = 0x2,
  FAMILY_LOCAL = 0x3,
  TRANSPORT_STREAM = 0x1
};

static enum proxy_protocol_result parse_line(const char *bytes, size_t count, struct proxy_protocol *header,
                                             size_t *length);
static enum proxy_protocol_result parse_binary(const char *bytes, size_t count, struct proxy_protocol *header,
                                               size_t *length);

/* As far as both go. */
static bool may_begin_with(const char *bytes, size_t count, struct str signature) {
  return memcmp(bytes, signature.ptr, count < signature.len ? count : signature.len) == 0;
}

enum proxy_protocol_result proxy_protocol_parse(const char *bytes, size_t count,
                                                struct proxy_protocol *header, size_t *length) {
  *header = (struct proxy_protocol){0};
  *length = 0;
  if (count == 0) return PROXY_PROTOCOL_MORE;
  if (may_begin_with(bytes, count, signature_1))
    return count < signature_1.len ? PROXY_PROTOCOL_MORE : parse_line(bytes, count, header, length);
  if (may_begin_with(bytes, count, signature_2))
    return count < FIXED_BYTES ? PROXY_PROTOCOL_MORE : parse_binary(bytes, count, header, length);
  return PROXY_PROTOCOL_ABSENT;
}

/* --- version 1 ------------------------------------------------------------------------------- */

static void put_in4(struct sockaddr_storage *to, socklen_t *length, const void *address, uint16_t port) {
  struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = port};
  memcpy(&in4.sin_addr, address, sizeof in4.sin_addr);
  memcpy(to, &in4, *length = sizeof in4);
}

static void put_in6(struct sockaddr_storage *to, socklen_t *length, const void *address, uint16_t port) {
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};
  memcpy(&in6.sin6_addr, address, sizeof in6.sin6_addr);
  memcpy(to, &in6, *length = sizeof in6);
}

/* A decimal port without leading zeros, to network order. */
static bool parse_port(struct str text, uint16_t *port) {
  uint64_t number;
  if (!str_to_u64(text, &number) || number > 65535 || (text.len > 1 && text.ptr[0] == '0')) return false;
  *port = htons((uint16_t)number);
  return true;
}

static bool parse_address(int family, struct str text, struct in6_addr *address) {
  char copy[INET6_ADDRSTRLEN];
  return str_to_text(text, copy, sizeof copy) && inet_pton(family, copy, address) == 1;
}

/* "source destination source-port destination-port", one space between them. */
static bool parse_addresses(int family, struct str rest, struct proxy_protocol *header) {
  struct str parts[4] = {{0}};
  struct in6_addr source, destination;
  uint16_t source_port, destination_port;
  for (int i = 0; i < 4; i++)
    if (!str_split(&rest, ' ', &parts[i])) return false;
  if (rest.ptr || !parse_address(family, parts[0], &source) ||
      !parse_address(family, parts[1], &destination) || !parse_port(parts[2], &source_port) ||
      !parse_port(parts[3], &destination_port))
    return false;
  void (*put)(struct sockaddr_storage *, socklen_t *, const void *, uint16_t) =
      family == AF_INET ? put_in4 : put_in6;
  put(&header->source, &header->source_length, &source, source_port);
  put(&header->destination, &header->destination_length, &destination, destination_port);
  return true;
}

/* The line behind "PROXY ", without CRLF. What follows UNKNOWN is to be ignored. */
static bool parse_words(struct str words, struct proxy_protocol *header) {
  if (str_starts_with(words, STR("TCP4 "))) return parse_addresses(AF_INET, str_from(words, 5), header);
  if (str_starts_with(words, STR("TCP6 "))) return parse_addresses(AF_INET6, str_from(words, 5), header);
  return str_equal(words, STR("UNKNOWN")) || str_starts_with(words, STR("UNKNOWN "));
}

static enum proxy_protocol_result parse_line(const char *bytes, size_t count, struct proxy_protocol *header,
                                             size_t *length) {
  size_t seen = count < LINE_BYTES ? count : LINE_BYTES;
  size_t end = str_find((struct str){bytes, seen}, '\r');
  if (memchr(bytes, '\n', end) || memchr(bytes, '\0', end)) return PROXY_PROTOCOL_BAD;
  if (end + 1 >= seen) return seen < LINE_BYTES ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_BAD;
  if (bytes[end + 1] != '\n') return PROXY_PROTOCOL_BAD;
  *length = end + 2;
  struct str words = {bytes + signature_1.len, end - signature_1.len};
  header->is_of_client = true;
  return parse_words(words, header) ? PROXY_PROTOCOL_WHOLE : PROXY_PROTOCOL_BAD;
}

/* --- version 2 ------------------------------------------------------------------------------- */

static uint16_t port_at(const char *bytes) {
  uint16_t port;
  memcpy(&port, bytes, sizeof port);
  return port;
}

/* A path of 108 bytes, terminated unless it fills them; an empty one tells nothing. */
static void put_path(struct sockaddr_storage *to, socklen_t *length, const char *path) {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  _Static_assert(sizeof local.sun_path >= 108, "a path of the protocol fits");
  memcpy(local.sun_path, path, 108);
  memcpy(to, &local, *length = sizeof local);
}

/* False: fewer bytes than the family needs. A family that we do not know is as if it were not told. */
static bool parse_family(unsigned family, const char *at, size_t count, struct proxy_protocol *header) {
  switch (family) {
  case FAMILY_IN4:
    if (count < IN4_BYTES) return false;
    put_in4(&header->source, &header->source_length, at, port_at(at + 8));
    put_in4(&header->destination, &header->destination_length, at + 4, port_at(at + 10));
    return true;
  case FAMILY_IN6:
    if (count < IN6_BYTES) return false;
    put_in6(&header->source, &header->source_length, at, port_at(at + 32));
    put_in6(&header->destination, &header->destination_length, at + 16, port_at(at + 34));
    return true;
  case FAMILY_LOCAL:
    if (count < LOCAL_BYTES) return false;
    put_path(&header->source, &header->source_length, at);
    put_path(&header->destination, &header->destination_length, at + 108);
    return true;
  }
  return true;
}

static enum proxy_protocol_result parse_binary(const char *bytes, size_t count, struct proxy_protocol *header,
                                               size_t *length) {
  unsigned char command = (unsigned char)bytes[12], family = (unsigned char)bytes[13];
  size_t rest = big_endian_16(bytes + 14);
  if (command != COMMAND_LOCAL && command != COMMAND_PROXY) return PROXY_PROTOCOL_BAD;
  if ((family >> 4) > FAMILY_LOCAL || (family & 15) > 2) return PROXY_PROTOCOL_BAD;
  if (FIXED_BYTES + rest > PROXY_PROTOCOL_LONGEST) return PROXY_PROTOCOL_BAD;
  if (count < FIXED_BYTES + rest) return PROXY_PROTOCOL_MORE;
  *length = FIXED_BYTES + rest;
  header->is_of_client = command == COMMAND_PROXY;
  bool told = header->is_of_client && (family & 15) == TRANSPORT_STREAM;
  if (told && !parse_family(family >> 4, bytes + FIXED_BYTES, rest, header)) return PROXY_PROTOCOL_BAD;
  return PROXY_PROTOCOL_WHOLE;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Both ends in one family, IPv6 if one of them needs it. */
struct ends {
  unsigned family; /* 0: cannot be told */
  char source[108], destination[108];
  uint16_t source_port, destination_port;
};

static const char mapped_prefix[12] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";

/* The address in 16 bytes, IPv4 as an IPv4-mapped one. */
static bool to_in6(const struct sockaddr_storage *from, socklen_t length, char address[16], uint16_t *port) {
  if (length >= sizeof(struct sockaddr_in) && from->ss_family == AF_INET) {
    const struct sockaddr_in *in4 = (const void *)from;
    memcpy(address, mapped_prefix, sizeof mapped_prefix);
    memcpy(address + sizeof mapped_prefix, &in4->sin_addr, sizeof in4->sin_addr);
    *port = in4->sin_port;
    return true;
  }
  if (length < sizeof(struct sockaddr_in6) || from->ss_family != AF_INET6) return false;
  const struct sockaddr_in6 *in6 = (const void *)from;
  memcpy(address, &in6->sin6_addr, sizeof in6->sin6_addr);
  *port = in6->sin6_port;
  return true;
}

static bool to_path(const struct sockaddr_storage *from, socklen_t length, char path[108]) {
  if (length < sizeof(sa_family_t) || from->ss_family != AF_UNIX) return false;
  const struct sockaddr_un *local = (const void *)from;
  CHECK(length >= offsetof(struct sockaddr_un, sun_path));
  size_t bytes = length - offsetof(struct sockaddr_un, sun_path);
  memset(path, 0, 108);
  memcpy(path, local->sun_path, bytes < 108 ? bytes : 108);
  return true;
}

static bool is_mapped(const char address[16]) {
  return memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
}

static struct ends ends_of(const struct proxy_protocol *h) {
  struct ends ends = {0};
  if (to_path(&h->source, h->source_length, ends.source) &&
      to_path(&h->destination, h->destination_length, ends.destination)) {
    ends.family = FAMILY_LOCAL;
  } else if (to_in6(&h->source, h->source_length, ends.source, &ends.source_port) &&
             to_in6(&h->destination, h->destination_length, ends.destination, &ends.destination_port)) {
    ends.family = FAMILY_IN6;
    if (is_mapped(ends.source) && is_mapped(ends.destination)) {
      ends.family = FAMILY_IN4;
      memmove(ends.source, ends.source + sizeof mapped_prefix, 4);
      memmove(ends.destination, ends.destination + sizeof mapped_prefix, 4);
    }
  }
  return ends;
}

static size_t write_line(const struct ends *ends, char *bytes) {
  char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
  bool in4 = ends->family == FAMILY_IN4;
  if (!in4 && ends->family != FAMILY_IN6) return (size_t)sprintf(bytes, "PROXY UNKNOWN\r\n");
  inet_ntop(in4 ? AF_INET : AF_INET6, ends->source, source, sizeof source);
  inet_ntop(in4 ? AF_INET : AF_INET6, ends->destination, destination, sizeof destination);
  return (size_t)sprintf(bytes, "PROXY TCP%c %s %s %u %u\r\n", in4 ? '4' : '6', source, destination,
                         ntohs(ends->source_port), ntohs(ends->destination_port));
}

static size_t write_binary(const struct ends *ends, bool is_of_client, char *bytes) {
  static const size_t address_bytes[] = {0, 4, 16, 108};
  size_t each = address_bytes[ends->family];
  bool has_ports = ends->family == FAMILY_IN4 || ends->family == FAMILY_IN6;
  size_t rest = 2 * each + (has_ports ? 4 : 0);
  memcpy(bytes, signature_2.ptr, signature_2.len);
  bytes[12] = ends->family || is_of_client ? COMMAND_PROXY : COMMAND_LOCAL;
  bytes[13] = ends->family ? (char)(ends->family << 4 | TRANSPORT_STREAM) : 0;
  bytes[14] = 0;
  bytes[15] = (char)rest;
  memcpy(bytes + FIXED_BYTES, ends->source, each);
  memcpy(bytes + FIXED_BYTES + each, ends->destination, each);
  if (has_ports) {
    memcpy(bytes + FIXED_BYTES + 2 * each, &ends->source_port, 2);
    memcpy(bytes + FIXED_BYTES + 2 * each + 2, &ends->destination_port, 2);
  }
  return FIXED_BYTES + rest;
}

size_t proxy_protocol_write(unsigned version, const struct proxy_protocol *header,
                            char bytes[PROXY_PROTOCOL_BYTES]) {
  struct ends ends = ends_of(header);
  size_t length = version == 1 ? write_line(&ends, bytes) : write_binary(&ends, header->is_of_client, bytes);
  CHECK(length <= (version == 1 ? (size_t)LINE_BYTES : (size_t)PROXY_PROTOCOL_BYTES));
  return length;
}
