// SPDX-License-Identifier: Apache-2.0
// Units for http/proxy_protocol: both versions read and written.
#include "http/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "heads.h"
#include "unit.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_protocol header;
static size_t length;

/* In one piece, and byte by byte from memory of the exact size; both must agree. */
static enum proxy_protocol_result parse(struct str bytes) {
  struct proxy_protocol again;
  enum proxy_protocol_result whole = proxy_protocol_parse(bytes.ptr, bytes.len, &header, &length);
  enum proxy_protocol_result result = PROXY_PROTOCOL_MORE;
  size_t again_length = 0;
  for (size_t count = 0; count <= bytes.len && result == PROXY_PROTOCOL_MORE; count++) {
    struct str part = arena_dup(heads_arena(), (struct str){bytes.ptr, count});
    result = proxy_protocol_parse(part.ptr, count, &again, &again_length);
  }
  CHECK(result == whole);
  CHECK(whole != PROXY_PROTOCOL_WHOLE || again_length == length);
  CHECK(memcmp(&again.source, &header.source, sizeof again.source) == 0);
  heads_free();
  return whole;
}
#define PARSE(text) parse(STR(text))

static struct str address_of(const struct sockaddr_storage *address) {
  static char text[160];
  char host[INET6_ADDRSTRLEN] = "?";
  const struct sockaddr_in *in4 = (const void *)address;
  const struct sockaddr_in6 *in6 = (const void *)address;
  bool is_in4 = address->ss_family == AF_INET;
  inet_ntop(address->ss_family, is_in4 ? (const void *)&in4->sin_addr : (const void *)&in6->sin6_addr, host,
            sizeof host);
  snprintf(text, sizeof text, "%s %u", host, ntohs(is_in4 ? in4->sin_port : in6->sin6_port));
  return str_of(text);
}

static void check_ends(const char *source, const char *destination) {
  CHECK_STR(address_of(&header.source), source);
  CHECK_STR(address_of(&header.destination), destination);
  CHECK(header.source_length == header.destination_length && header.source_length > 0);
}

IT("reads a line of version 1, and leaves what follows alone") {
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\nGET /") == PROXY_PROTOCOL_WHOLE);
  CHECK(length == strlen("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"));
  check_ends("1.2.3.4 1000", "5.6.7.8 80");
  CHECK(PARSE("PROXY TCP6 2001:db8::1 ::ffff:5.6.7.8 0 65535\r\n") == PROXY_PROTOCOL_WHOLE);
  check_ends("2001:db8::1 0", "::ffff:5.6.7.8 65535");
}

IT("takes an UNKNOWN of version 1 for no address, whatever follows it") {
  CHECK(PARSE("PROXY UNKNOWN\r\n") == PROXY_PROTOCOL_WHOLE);
  CHECK(header.source_length == 0 && header.destination_length == 0);
  CHECK(PARSE("PROXY UNKNOWN ffff::1 some thing 1 2\r\n") == PROXY_PROTOCOL_WHOLE);
  CHECK(header.source_length == 0);
}

IT("refuses a malformed line of version 1") {
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\rX") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4  1.2.3.4 5.6.7.8 1000 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 \r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3 5.6.7.8 1000 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 ::1 ::2 1000 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP6 1.2.3.4 5.6.7.8 1000 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 01 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4 5.6.7.8 -1 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP5 1.2.3.4 5.6.7.8 1 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY UNKNOWNX\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY TCP4 1.2.3.4\0 5.6.7.8 1 80\r\n") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE("PROXY \r\n") == PROXY_PROTOCOL_BAD);
}

IT("bounds the line of version 1 at 107 bytes") {
  char line[200] = "PROXY UNKNOWN ";
  memset(line + 14, 'x', sizeof line - 14);
  memcpy(line + 105, "\r\n", 2);
  CHECK(parse((struct str){line, 107}) == PROXY_PROTOCOL_WHOLE);
  memcpy(line + 105, "x\r\n", 3);
  CHECK(parse((struct str){line, 106}) == PROXY_PROTOCOL_MORE);
  CHECK(parse((struct str){line, 108}) == PROXY_PROTOCOL_BAD);
  memset(line + 14, 'x', sizeof line - 14);
  CHECK(parse((struct str){line, 200}) == PROXY_PROTOCOL_BAD);
}

IT("tells other protocols from a header as early as their bytes do") {
  CHECK(PARSE("G") == PROXY_PROTOCOL_ABSENT);
  CHECK(PARSE("PO") == PROXY_PROTOCOL_ABSENT);
  CHECK(PARSE("PROPFIND / HTTP/1.1\r\n") == PROXY_PROTOCOL_ABSENT);
  CHECK(PARSE("\r\nGET / HTTP/1.1\r\n") == PROXY_PROTOCOL_ABSENT);
  CHECK(PARSE("\x16\x03\x01") == PROXY_PROTOCOL_ABSENT);
  CHECK(PARSE("P") == PROXY_PROTOCOL_MORE);
  CHECK(PARSE("PROXY") == PROXY_PROTOCOL_MORE);
  CHECK(PARSE("\r\n\r\n") == PROXY_PROTOCOL_MORE);
  CHECK(PARSE("") == PROXY_PROTOCOL_MORE);
}

IT("reads IPv4 and IPv6 of version 2, skips what follows the addresses, and leaves the rest alone") {
  CHECK(PARSE(SIGNATURE "\x21\x11\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50GET") == PROXY_PROTOCOL_WHOLE);
  CHECK(length == 28);
  check_ends("1.2.3.4 1000", "5.6.7.8 80");
  CHECK(PARSE(SIGNATURE "\x21\x11\0\x10\1\2\3\4\5\6\7\x08\x03\xe8\0\x50\x04\0\1xGET") ==
        PROXY_PROTOCOL_WHOLE);
  CHECK(length == 32);
  CHECK(PARSE(SIGNATURE "\x21\x21\0\x24"
                        "0123456789abcdef"
                        "fedcba9876543210"
                        "\0\1\0\2") == PROXY_PROTOCOL_WHOLE);
  check_ends("3031:3233:3435:3637:3839:6162:6364:6566 1", "6665:6463:6261:3938:3736:3534:3332:3130 2");
}

IT("reads paths of version 2") {
  char bytes[16 + 216] = SIGNATURE "\x21\x31\0\xd8";
  strcpy(bytes + 16, "/from");
  memset(bytes + 16 + 108, 'd', 108);
  CHECK(parse((struct str){bytes, sizeof bytes}) == PROXY_PROTOCOL_WHOLE);
  const struct sockaddr_un *source = (const void *)&header.source,
                           *destination = (const void *)&header.destination;
  CHECK(source->sun_family == AF_UNIX && header.source_length == sizeof *source);
  CHECK_STR(str_of(source->sun_path), "/from");
  CHECK(destination->sun_path[0] == 'd' && destination->sun_path[107] == 'd');
}

IT("takes LOCAL, unspecified families and datagrams of version 2 for no address") {
  CHECK(PARSE(SIGNATURE "\x20\0\0\0") == PROXY_PROTOCOL_WHOLE);
  CHECK(length == 16 && header.source_length == 0);
  CHECK(PARSE(SIGNATURE "\x20\x11\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_WHOLE);
  CHECK(length == 28 && header.source_length == 0);
  CHECK(PARSE(SIGNATURE "\x21\0\0\2xy") == PROXY_PROTOCOL_WHOLE);
  CHECK(length == 18 && header.source_length == 0);
  CHECK(PARSE(SIGNATURE "\x21\x12\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_WHOLE);
  CHECK(header.source_length == 0);
}

IT("refuses a malformed header of version 2") {
  CHECK(PARSE(SIGNATURE "\x11\x11\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE(SIGNATURE "\x22\x11\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE(SIGNATURE "\x21\x41\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE(SIGNATURE "\x21\x13\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE(SIGNATURE "\x21\x11\0\x0b\1\2\3\4\5\6\7\x08\x03\xe8\0") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE(SIGNATURE "\x21\x21\0\x0c\1\2\3\4\5\6\7\x08\x03\xe8\0\x50") == PROXY_PROTOCOL_BAD);
  CHECK(PARSE(SIGNATURE "\x21\x11\xff\xff") == PROXY_PROTOCOL_BAD);
}

static void set_ends(int family, const char *source, const char *destination) {
  header = (struct proxy_protocol){0};
  struct sockaddr_in *in4[] = {(void *)&header.source, (void *)&header.destination};
  struct sockaddr_in6 *in6[] = {(void *)&header.source, (void *)&header.destination};
  const char *hosts[] = {source, destination};
  for (int i = 0; i < 2; i++) {
    in4[i]->sin_family = (sa_family_t)family;
    in4[i]->sin_port = htons((uint16_t)(1000 + i)); /* both kinds have their port here */
    void *to = family == AF_INET ? (void *)&in4[i]->sin_addr : (void *)&in6[i]->sin6_addr;
    CHECK(inet_pton(family, hosts[i], to) == 1);
  }
  header.source_length = header.destination_length =
      family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

IT("writes headers that read back as the same addresses") {
  char bytes[PROXY_PROTOCOL_BYTES];
  for (unsigned version = 1; version <= 2; version++) {
    set_ends(AF_INET, "1.2.3.4", "255.6.7.8");
    CHECK(parse((struct str){bytes, proxy_protocol_write(version, &header, bytes)}) == PROXY_PROTOCOL_WHOLE);
    check_ends("1.2.3.4 1000", "255.6.7.8 1001");
    set_ends(AF_INET6, "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    CHECK(parse((struct str){bytes, proxy_protocol_write(version, &header, bytes)}) == PROXY_PROTOCOL_WHOLE);
    check_ends("2001:db8::1 1000", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1001");
  }
}

IT("writes the line of version 1 as others read it") {
  char bytes[PROXY_PROTOCOL_BYTES];
  set_ends(AF_INET, "1.2.3.4", "5.6.7.8");
  struct str line = {bytes, proxy_protocol_write(1, &header, bytes)};
  CHECK_STR(line, "PROXY TCP4 1.2.3.4 5.6.7.8 1000 1001\r\n");
}

IT("writes IPv4-mapped addresses as IPv4, and an IPv4 address beside an IPv6 one as mapped") {
  char bytes[PROXY_PROTOCOL_BYTES];
  set_ends(AF_INET6, "::ffff:1.2.3.4", "::ffff:5.6.7.8");
  struct str line = {bytes, proxy_protocol_write(1, &header, bytes)};
  CHECK_STR(line, "PROXY TCP4 1.2.3.4 5.6.7.8 1000 1001\r\n");
  set_ends(AF_INET, "1.2.3.4", "5.6.7.8");
  struct proxy_protocol in4 = header;
  set_ends(AF_INET6, "::1", "::2");
  header.source = in4.source;
  header.source_length = in4.source_length;
  line.len = proxy_protocol_write(1, &header, bytes);
  CHECK_STR(line, "PROXY TCP6 ::ffff:1.2.3.4 ::2 1000 1001\r\n");
}

IT("writes UNKNOWN or LOCAL where addresses are not told, and paths in version 2") {
  char bytes[PROXY_PROTOCOL_BYTES];
  header = (struct proxy_protocol){0};
  CHECK_STR(((struct str){bytes, proxy_protocol_write(1, &header, bytes)}), "PROXY UNKNOWN\r\n");
  CHECK(proxy_protocol_write(2, &header, bytes) == 16);
  CHECK(bytes[12] == 0x20);
  struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/s"};
  memcpy(&header.source, &local, sizeof local);
  memcpy(&header.destination, &local, sizeof local);
  header.source_length = sizeof local;
  header.destination_length = sizeof(sa_family_t); /* without a name */
  CHECK(parse((struct str){bytes, proxy_protocol_write(2, &header, bytes)}) == PROXY_PROTOCOL_WHOLE);
  CHECK_STR(str_of(((struct sockaddr_un *)&header.source)->sun_path), "/s");
  CHECK_STR(str_of(((struct sockaddr_un *)&header.destination)->sun_path), "");
  CHECK_STR(((struct str){bytes, proxy_protocol_write(1, &header, bytes)}), "PROXY UNKNOWN\r\n");
}

IT("says whether the sender speaks for a client or for itself") {
  char bytes[PROXY_PROTOCOL_BYTES];
  CHECK(PARSE(SIGNATURE "\x20\0\0\0") == PROXY_PROTOCOL_WHOLE && !header.is_of_client);
  CHECK(proxy_protocol_write(2, &header, bytes) == 16 && bytes[12] == 0x20);
  CHECK(PARSE(SIGNATURE "\x21\0\0\0") == PROXY_PROTOCOL_WHOLE && header.is_of_client);
  CHECK(proxy_protocol_write(2, &header, bytes) == 16 && bytes[12] == 0x21 && bytes[13] == 0);
  CHECK(PARSE("PROXY UNKNOWN\r\n") == PROXY_PROTOCOL_WHOLE && header.is_of_client);
}
