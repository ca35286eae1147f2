// SPDX-License-Identifier: Apache-2.0
// Units for net/addr: what is an address, what is refused, and that writing gives back what was read.
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "unit.h"

static void check_round_trip(const char *text, const char *host, int family) {
  struct addr addr;
  const char *why = NULL;
  char buffer[ADDR_TEXT];
  if (!CHECK(addr_parse(str_of(text), &addr, &why))) return;
  CHECK(addr_family(&addr) == family);
  CHECK(addr_format(&addr, buffer) == strlen(text));
  CHECK_STR(str_of(buffer), text);
  CHECK(addr_format_host(&addr, buffer) == strlen(host));
  CHECK_STR(str_of(buffer), host);
}

static void check_refused(struct str text, const char *sentence) {
  struct addr addr;
  const char *why = "";
  CHECK(!addr_parse(text, &addr, &why));
  CHECK_STR(str_of(why), sentence);
}

IT("writes addresses the way it reads them") {
  check_round_trip("1.2.3.4:80", "1.2.3.4", AF_INET);
  check_round_trip("0.0.0.0:0", "0.0.0.0", AF_INET);
  check_round_trip("[::1]:65535", "::1", AF_INET6);
  check_round_trip("[2001:db8::7]:443", "2001:db8::7", AF_INET6);
  check_round_trip("[fe80::1%1]:80", "fe80::1%1", AF_INET6);
  check_round_trip("unix:/run/x.sock", "unix:/run/x.sock", AF_UNIX);
  check_round_trip("unix:@abstract", "unix:@abstract", AF_UNIX);
  check_round_trip("one.one.one.one:443", "one.one.one.one", AF_UNSPEC);
  check_round_trip("a_b-c:1", "a_b-c", AF_UNSPEC);
  check_round_trip("3com.example:1", "3com.example", AF_UNSPEC);
}

IT("fills in the socket address that connect and bind want") {
  struct addr addr;
  const char *why;
  CHECK(addr_parse(STR("10.0.0.1:8080"), &addr, &why));
  CHECK(addr.kind == ADDR_IP && addr.port == 8080 && addr.length == sizeof addr.socket.in4);
  CHECK(addr.socket.in4.sin_port == htons(8080));
  CHECK(addr.socket.in4.sin_addr.s_addr == htonl(0x0a000001));
  CHECK(addr_parse(STR("[::1]:8080"), &addr, &why));
  CHECK(addr.length == sizeof addr.socket.in6 && addr.socket.in6.sin6_port == htons(8080));
  CHECK(addr_parse(STR("unix:/a"), &addr, &why));
  CHECK(addr.length == offsetof(struct sockaddr_un, sun_path) + 3);
  CHECK(addr_parse(STR("unix:@a"), &addr, &why));
  CHECK(addr.length == offsetof(struct sockaddr_un, sun_path) + 2);
}

IT("takes a port alone for every address of both families") {
  struct addr addr;
  const char *why;
  char text[ADDR_TEXT];
  CHECK(addr_parse(STR(":8080"), &addr, &why));
  CHECK(addr_family(&addr) == AF_INET6);
  CHECK(memcmp(&addr.socket.in6.sin6_addr, &in6addr_any, sizeof in6addr_any) == 0);
  addr_format(&addr, text);
  CHECK_STR(str_of(text), "[::]:8080");
}

IT("refuses what is no address and says why") {
  check_refused(STR(""), "it is empty; an address is host:port, [::1]:port, :port or unix:/path");
  check_refused(STR("localhost"), "the port is missing: an address is host:port, like \"localhost:80\"");
  check_refused(STR("[::1]"), "the port is missing");
  check_refused(STR("1.2.3.4:"), "the port is not a number from 0 to 65535");
  check_refused(STR("1.2.3.4:65536"), "the port is not a number from 0 to 65535");
  check_refused(STR("1.2.3.4:+1"), "the port is not a number from 0 to 65535");
  check_refused(STR("::1:80"), "an IPv6 address is written in brackets, like \"[::1]:80\"");
  check_refused(STR("[::1:80"), "the bracket of the IPv6 address is not closed");
  check_refused(STR("[]:80"), "not an IPv6 address");
  check_refused(STR("[1.2.3.4]:80"), "not an IPv6 address");
  check_refused(STR("[fe80::1%no-such-if]:80"), "no such network interface");
  check_refused(STR("1.2.3:80"), "neither an IP address nor a host name");
  check_refused(STR("1.2.3.256:80"), "neither an IP address nor a host name");
  check_refused(STR("1.2.3.4.:80"), "neither an IP address nor a host name");
  check_refused(STR(".:80"), "neither an IP address nor a host name");
  check_refused(STR("a b:80"), "the host name contains a character that names do not have");
  check_refused(STR("a\0b:80"), "the host name contains a character that names do not have");
  check_refused(STR("1.2.3.4\0x:80"), "the host name contains a character that names do not have");
  check_refused(STR("unix:"), "the path of the unix socket is missing");
  check_refused(STR("unix:@"), "the path of the unix socket is missing");
  check_refused(STR("unix:/a\0b"), "the path of the unix socket contains a NUL");
}

IT("says how an address is written to who writes it as elsewhere") {
  check_refused(STR("http://1.2.3.4:80"), "an address is host:port, without \"http://\"");
  check_refused(STR("https://example.com"), "an address is host:port, without \"https://\"");
  check_refused(STR("tcp://[::1]:80/"), "an address is host:port, without \"tcp://\"");
  check_refused(STR("a.example:80/path"), "an address is host:port, without \"/path\" behind it");
  check_refused(STR("8080"), "a port alone is written with a colon, \":8080\"");
  check_refused(STR("*:80"), "every address of this machine is written \":80\"");
  check_refused(STR("/run/x.sock"), "a unix socket is written \"unix:/run/x.sock\"");
  check_refused(STR("2001:db8::a"), "an IPv6 address is written in brackets, like \"[::1]:80\"");
}

IT("connects to localhost where a peer is a port alone, and to no port 0") {
  struct addr addr;
  const char *why = NULL;
  CHECK(addr_parse_peer(STR(":8080"), &addr, &why));
  CHECK(addr.kind == ADDR_NAME && addr.port == 8080);
  CHECK_STR(str_of(addr.host), "localhost");
  CHECK(addr_parse_peer(STR("[::1]:8080"), &addr, &why) && addr.kind == ADDR_IP);
  CHECK(!addr_parse_peer(STR("1.2.3.4:0"), &addr, &why));
  CHECK_STR(str_of(why), "the port must not be 0");
  CHECK(addr_parse_peer(STR("unix:/a"), &addr, &why));
}

IT("listens on 127.0.0.1 for localhost, and on no other name") {
  struct addr addr;
  char text[ADDR_TEXT];
  const char *why = NULL;
  CHECK(addr_parse_listener(STR("LocalHost:8080"), &addr, &why));
  CHECK_STR(((struct str){text, addr_format(&addr, text)}), "127.0.0.1:8080");
  CHECK(addr.socket.in4.sin_port == htons(8080));
  CHECK(addr_parse_listener(STR(":0"), &addr, &why) && addr_family(&addr) == AF_INET6);
  CHECK(!addr_parse_listener(STR("a.example:80"), &addr, &why));
  CHECK(strstr(why, "an IP address, a port alone") != NULL);
}

IT("keeps the longest names apart and refuses longer ones") {
  char name[300], text[ADDR_TEXT];
  struct addr addr;
  const char *why = "";
  memset(name, 'a', sizeof name);
  memcpy(name + 253, ":65535", 6);
  CHECK(addr_parse((struct str){name, 259}, &addr, &why));
  CHECK(addr_format(&addr, text) == 259);
  CHECK(memcmp(text, name, 259) == 0);
  name[253] = 'a';
  memcpy(name + 254, ":1", 2);
  check_refused((struct str){name, 256}, "the host name is too long");
  memcpy(name, "unix:/", 6);
  CHECK(addr_parse((struct str){name, 5 + 107}, &addr, &why));
  CHECK(addr_format(&addr, text) == 5 + 107);
  check_refused((struct str){name, 5 + 108}, "the path of the unix socket is too long");
}

IT("shows an IPv4 client of an IPv6 listener as IPv4") {
  struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(99)};
  struct addr addr;
  char text[ADDR_TEXT];
  CHECK(inet_pton(AF_INET6, "::ffff:9.8.7.6", &mapped.sin6_addr) == 1);
  addr_from_socket(&addr, (struct sockaddr *)&mapped, sizeof mapped);
  CHECK(addr_family(&addr) == AF_INET && addr.length == sizeof(struct sockaddr_in));
  addr_format(&addr, text);
  CHECK_STR(str_of(text), "9.8.7.6:99");
}

IT("writes unix sockets without a name as unix:") {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  struct addr addr;
  char text[ADDR_TEXT];
  addr_from_socket(&addr, (struct sockaddr *)&local, sizeof(sa_family_t));
  CHECK(addr.kind == ADDR_UNIX && addr_format(&addr, text) == 5);
  CHECK_STR(str_of(text), "unix:");
  addr_from_socket(&addr, (struct sockaddr *)&local, 0);
  addr_format_host(&addr, text);
  CHECK_STR(str_of(text), "unix:");
}

IT("reads what the kernel gives for a named unix socket") {
  struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/tmp/s"};
  struct addr addr;
  char text[ADDR_TEXT];
  addr_from_socket(&addr, (struct sockaddr *)&local, offsetof(struct sockaddr_un, sun_path) + 7);
  addr_format(&addr, text);
  CHECK_STR(str_of(text), "unix:/tmp/s");
}

static struct str client_of(const void *socket, socklen_t length) {
  static char text[ADDR_TEXT];
  return (struct str){text, addr_format_client(socket, length, text)};
}

IT("names a client by its address, and none by a path") {
  struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(80)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = in6addr_loopback};
  struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "x\r\nX-Admin: yes"};
  struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0x\r\n"};
  CHECK_STR(client_of(&in4, sizeof in4), "0.0.0.0:80");
  CHECK_STR(client_of(&in6, sizeof in6), "[::1]:80");
  CHECK_STR(client_of(&local, sizeof local), "unix:");
  CHECK_STR(client_of(&abstract, sizeof abstract), "unix:");
  CHECK_STR(client_of(&local, sizeof(sa_family_t)), "unix:");
  CHECK_STR(client_of(&in4, 0), "unknown");
  CHECK_STR(client_of(&in6, sizeof in4), "unknown");
}

IT("takes the host out of a client's name") {
  CHECK_STR(addr_host_of_client(STR("1.2.3.4:80")), "1.2.3.4");
  CHECK_STR(addr_host_of_client(STR("[fe80::1%2]:80")), "fe80::1%2");
  CHECK_STR(addr_host_of_client(STR("unix:")), "unix:");
  CHECK_STR(addr_host_of_client(STR("unknown")), "unknown");
}

IT("refuses a path with control characters, and writes none of them") {
  struct addr addr;
  const char *why = "";
  char text[ADDR_TEXT];
  CHECK(!addr_parse(STR("unix:/a\nb"), &addr, &why));
  CHECK_STR(str_of(why), "the path of the unix socket contains a control character");
  struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/a\r\nb\x7f"};
  addr_from_socket(&addr, (const struct sockaddr *)&local, sizeof local);
  CHECK_STR(((struct str){text, addr_format(&addr, text)}), "unix:/a??b?");
}

IT("reads a client with a port and without one") {
  static const char *const fine[][2] = {{"1.2.3.4:80", "1.2.3.4:80"},       {"1.2.3.4", "1.2.3.4:0"},
                                        {"[::1]:80", "[::1]:80"},           {"[::1]", "[::1]:0"},
                                        {"2001:db8::7", "[2001:db8::7]:0"}, {"unix:/a", "unix:/a"}};
  static const char *const wrong[] = {
      "",      "a.name",    "a.name:80",
      "1.2.3", "1.2.3.4:x", "unknown",
      "unix:", "[::1",      "11111111111111111111111111111111111111111111111111111111"};
  struct addr addr;
  const char *why;
  char text[ADDR_TEXT];
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
    if (!CHECK(addr_parse_client(str_of(fine[i][0]), &addr, &why))) continue;
    addr_format(&addr, text);
    CHECK_STR(str_of(text), fine[i][1]);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    CHECK(!addr_parse_client(str_of(wrong[i]), &addr, &why) &&
          strstr(why, "a client's address is an IP address"));
}
