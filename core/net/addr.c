// SPDX-License-Identifier: Apache-2.0
// addr: parses and writes socket addresses. Pure functions of text: no lookups, no sockets. The hard part is
// to refuse what is almost an address ("::1:80", "1.2.3:80") and would later be looked up as a name; and to say
// how the address is written correctly (addr_hint.c).
#include "net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#include "base/check.h"

static bool parse_unix(struct str path, struct addr *addr, const char **why);
static bool parse_ipv6(struct str text, struct addr *addr, const char **why);
static bool parse_host(struct str host, struct addr *addr, const char **why);
static void format_path(const struct addr *addr, char text[ADDR_TEXT]);

static bool refuse(const char **why, const char *sentence) {
  *why = sentence;
  return false;
}

static bool parse_port(struct str text, struct addr *addr, const char **why) {
  uint64_t port;
  if (!str_to_u64(text, &port) || port > 65535)
    return refuse(why, "the port is not a number from 0 to 65535");
  addr->port = (unsigned short)port;
  return true;
}

void addr_set_port(struct addr *addr, unsigned short port) {
  addr->port = port;
  if (addr->kind != ADDR_IP) return;
  addr->socket.in4.sin_port = htons(port); /* stands at the same offset in the struct of IPv6 */
}

static bool parse(struct str text, struct addr *addr, const char **why) {
  memset(addr, 0, sizeof *addr);
  if (str_starts_with(text, STR("unix:"))) return parse_unix(str_from(text, 5), addr, why);

  size_t colon = text.len;
  while (colon > 0 && text.ptr[colon - 1] != ':') colon--;
  if (colon == 0 || text.ptr[text.len - 1] == ']') return refuse(why, "the port is missing");
  struct str host = {text.ptr, colon - 1};
  if (!parse_port(str_from(text, colon), addr, why)) return false;

  bool ok = host.len && host.ptr[0] == '[' ? parse_ipv6(host, addr, why) : parse_host(host, addr, why);
  if (ok) addr_set_port(addr, addr->port);
  return ok;
}

bool addr_parse(struct str text, struct addr *addr, const char **why) {
  if (parse(text, addr, why)) return true;
  const char *hint = addr_hint(text);
  if (hint) *why = hint;
  return false;
}

bool addr_parse_peer(struct str text, struct addr *addr, const char **why) {
  if (!addr_parse(text, addr, why)) return false;
  if (addr->kind != ADDR_UNIX && addr->port == 0) return refuse(why, "the port must not be 0");
  if (text.ptr[0] != ':') return true;
  *addr = (struct addr){.kind = ADDR_NAME, .host = "localhost", .port = addr->port};
  return true;
}

bool addr_parse_listener(struct str text, struct addr *addr, const char **why) {
  if (!addr_parse(text, addr, why)) return false;
  if (addr->kind != ADDR_NAME) return true;
  if (!str_equal_nocase(str_of(addr->host), STR("localhost")))
    return refuse(why, "an address to listen on is an IP address, a port alone like \":80\", localhost, or "
                       "unix:/path");
  struct sockaddr_in in4 = {
      .sin_family = AF_INET, .sin_port = htons(addr->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  addr_from_socket(addr, (const struct sockaddr *)&in4, sizeof in4);
  return true;
}

static bool parse_unix(struct str path, struct addr *addr, const char **why) {
  struct sockaddr_un *local = &addr->socket.local;
  if (path.len == 0 || str_equal(path, STR("@")))
    return refuse(why, "the path of the unix socket is missing");
  if (path.len >= sizeof local->sun_path) return refuse(why, "the path of the unix socket is too long");
  if (str_find(path, '\0') < path.len) return refuse(why, "the path of the unix socket contains a NUL");
  for (size_t i = 0; i < path.len; i++)
    if ((unsigned char)path.ptr[i] < 0x20 || path.ptr[i] == 0x7f)
      return refuse(why, "the path of the unix socket contains a control character");
  addr->kind = ADDR_UNIX;
  local->sun_family = AF_UNIX;
  memcpy(local->sun_path, path.ptr, path.len);
  bool is_abstract = path.ptr[0] == '@';
  if (is_abstract) local->sun_path[0] = '\0';
  /* An abstract name is all bytes up to the length; a path ends with its NUL. */
  addr->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + !is_abstract);
  return true;
}

static bool set_ipv6(struct addr *addr, struct in6_addr in6, unsigned scope) {
  addr->kind = ADDR_IP;
  addr->length = sizeof addr->socket.in6;
  addr->socket.in6.sin6_family = AF_INET6;
  addr->socket.in6.sin6_addr = in6;
  addr->socket.in6.sin6_scope_id = scope;
  return true;
}

/* The zone of a link-local address, "eth0" or "2" (RFC 4007 section 11); 0 where there is no such interface.
 */
static unsigned zone_of(const char *name) {
  uint64_t number;
  if (str_to_u64(str_of(name), &number)) return number <= UINT32_MAX ? (unsigned)number : 0;
  return if_nametoindex(name);
}

/* "[...]", perhaps with a zone. */
static bool parse_ipv6(struct str text, struct addr *addr, const char **why) {
  char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  struct in6_addr in6;
  if (text.ptr[text.len - 1] != ']') return refuse(why, "the bracket of the IPv6 address is not closed");
  struct str inner = {text.ptr + 1, text.len - 2};
  if (!str_to_text(inner, copy, sizeof copy)) return refuse(why, "not an IPv6 address");

  unsigned scope = 0;
  char *zone = strchr(copy, '%');
  if (zone) *zone++ = '\0';
  if (inet_pton(AF_INET6, copy, &in6) != 1) return refuse(why, "not an IPv6 address");
  if (zone && (scope = zone_of(zone)) == 0) return refuse(why, "no such network interface");
  return set_ipv6(addr, in6, scope);
}

static bool is_name_char(char c) {
  char lower = ascii_lower(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* Names whose last label is a number are IPv4 addresses to resolvers ("1.2.3" is 1.2.0.3), hence no names
 * here. */
static bool ends_in_number(struct str host) {
  struct str rest = host, label, last = {0};
  while (str_split(&rest, '.', &label))
    if (label.len) last = label;
  uint64_t number;
  return str_to_u64(last, &number);
}

static bool parse_name(struct str host, struct addr *addr, const char **why) {
  if (str_find(host, ':') < host.len)
    return refuse(why, "an IPv6 address is written in brackets, like \"[::1]:80\"");
  if (host.len > 253) return refuse(why, "the host name is too long");
  for (size_t i = 0; i < host.len; i++)
    if (!is_name_char(host.ptr[i]))
      return refuse(why, "the host name contains a character that names do not have");
  if (host.ptr[0] == '.' || ends_in_number(host)) return refuse(why, "neither an IP address nor a host name");
  addr->kind = ADDR_NAME;
  memcpy(addr->host, host.ptr, host.len);
  return true;
}

static bool parse_host(struct str host, struct addr *addr, const char **why) {
  char copy[INET_ADDRSTRLEN];
  struct in_addr in4;
  if (host.len == 0) return set_ipv6(addr, in6addr_any, 0);
  if (!str_to_text(host, copy, sizeof copy) || inet_pton(AF_INET, copy, &in4) != 1)
    return parse_name(host, addr, why);
  addr->kind = ADDR_IP;
  addr->length = sizeof addr->socket.in4;
  addr->socket.in4.sin_family = AF_INET;
  addr->socket.in4.sin_addr = in4;
  return true;
}

static void unmap_ipv4(struct addr *addr) {
  const struct in6_addr mapped = addr->socket.in6.sin6_addr;
  addr->socket.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(addr->port)};
  memcpy(&addr->socket.in4.sin_addr, &mapped.s6_addr[12], 4);
  addr->length = sizeof addr->socket.in4;
}

void addr_from_socket(struct addr *addr, const struct sockaddr *socket, socklen_t length) {
  memset(addr, 0, sizeof *addr);
  if (length > sizeof addr->socket) length = sizeof addr->socket;
  memcpy(&addr->socket, socket, length);
  addr->length = length;
  addr->kind = length < sizeof(sa_family_t) || socket->sa_family == AF_UNIX ? ADDR_UNIX : ADDR_IP;
  if (addr->kind == ADDR_UNIX) {
    addr->socket.local.sun_family = AF_UNIX; /* no address at all: the client of a socketpair */
    return;
  }
  addr->port = ntohs(addr->socket.in4.sin_port);
  if (socket->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&addr->socket.in6.sin6_addr)) unmap_ipv4(addr);
}

size_t addr_format_host(const struct addr *addr, char text[ADDR_TEXT]) {
  text[0] = '\0';
  if (addr->kind == ADDR_NAME) {
    snprintf(text, ADDR_TEXT, "%s", addr->host);
  } else if (addr->kind == ADDR_UNIX) {
    format_path(addr, text);
  } else if (addr_family(addr) == AF_INET) {
    inet_ntop(AF_INET, &addr->socket.in4.sin_addr, text, ADDR_TEXT);
  } else {
    inet_ntop(AF_INET6, &addr->socket.in6.sin6_addr, text, ADDR_TEXT);
    size_t length = strlen(text);
    unsigned scope = addr->socket.in6.sin6_scope_id;
    if (scope) snprintf(text + length, ADDR_TEXT - length, "%%%u", scope);
  }
  return strlen(text);
}

static void format_path(const struct addr *addr, char text[ADDR_TEXT]) {
  const char *path = addr->socket.local.sun_path;
  size_t header = offsetof(struct sockaddr_un, sun_path);
  size_t length = addr->length > header ? addr->length - header : 0;
  bool is_abstract = length > 1 && path[0] == '\0';
  if (is_abstract)
    snprintf(text, ADDR_TEXT, "unix:@%.*s", (int)length - 1, path + 1);
  else
    snprintf(text, ADDR_TEXT, "unix:%.*s", (int)length, path);
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
}

size_t addr_format_client(const struct sockaddr *socket, socklen_t length, char text[ADDR_TEXT]) {
  struct addr addr;
  sa_family_t family = length >= sizeof(sa_family_t) ? socket->sa_family : AF_UNSPEC;
  bool is_ip = (family == AF_INET && length >= sizeof(struct sockaddr_in)) ||
               (family == AF_INET6 && length >= sizeof(struct sockaddr_in6));
  if (!is_ip) return (size_t)sprintf(text, family == AF_UNIX ? "unix:" : "unknown");
  addr_from_socket(&addr, socket, length);
  CHECK(addr.kind == ADDR_IP);
  return addr_format(&addr, text);
}

static bool is_ipv6(struct str text) {
  char terminated[INET6_ADDRSTRLEN];
  struct in6_addr address;
  if (text.len >= sizeof terminated) return false;
  memcpy(terminated, text.ptr, text.len);
  terminated[text.len] = '\0';
  return inet_pton(AF_INET6, terminated, &address) == 1;
}

bool addr_parse_client(struct str text, struct addr *addr, const char **why) {
  char with_port[ADDR_TEXT];
  const char *unused;
  snprintf(with_port, sizeof with_port, is_ipv6(text) ? "[%.*s]:0" : "%.*s:0",
           (int)(text.len < INET6_ADDRSTRLEN + 2 ? text.len : INET6_ADDRSTRLEN + 2), text.ptr);
  bool fine = addr_parse(text, addr, why) && addr->kind != ADDR_NAME;
  if (fine || (text.len && addr_parse(str_of(with_port), addr, &unused) && addr->kind == ADDR_IP))
    return true;
  return refuse(why, "a client's address is an IP address, with a port or without, or unix:/path");
}

struct str addr_host_of_client(struct str client) {
  if (client.len && client.ptr[0] == '[') {
    size_t end = str_find(client, ']');
    return (struct str){client.ptr + 1, end - 1};
  }
  return str_starts_with(client, STR("unix:")) ? client : (struct str){client.ptr, str_find(client, ':')};
}

size_t addr_format(const struct addr *addr, char text[ADDR_TEXT]) {
  char host[ADDR_TEXT];
  size_t length = addr_format_host(addr, host);
  bool is_ipv6 = addr->kind == ADDR_IP && addr_family(addr) == AF_INET6;
  if (addr->kind == ADDR_UNIX)
    memcpy(text, host, length + 1);
  else
    snprintf(text, ADDR_TEXT, is_ipv6 ? "[%.*s]:%u" : "%.*s:%u", ADDR_TEXT - 9, host, addr->port);
  return strlen(text);
}

int addr_family(const struct addr *addr) {
  return addr->kind == ADDR_NAME ? AF_UNSPEC : addr->socket.any.sa_family;
}
