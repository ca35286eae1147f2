// SPDX-License-Identifier: Apache-2.0
// addr: a socket address as users write it. Parsing does no lookups: a name stays a name until net/resolver
// has answered.
#ifndef PERILUNE_NET_ADDR_H
#define PERILUNE_NET_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

enum addr_kind { ADDR_IP, ADDR_UNIX, ADDR_NAME };

struct addr {
  enum addr_kind kind;
  socklen_t length;
  union {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un local;
  } socket;            /* for ADDR_IP and ADDR_UNIX */
  char host[256];      /* for ADDR_NAME: the name, terminated */
  unsigned short port; /* for ADDR_NAME and ADDR_IP, host order */
};

enum { ADDR_TEXT = 264 }; /* the longest name, ':', a port */

/* "1.2.3.4:80", "[::1]:80", ":80" (every IPv4 and IPv6 address), "unix:/path", "name:80"; "unix:@name" is in
 * Linux' abstract name space. False: *why is a sentence, valid until the thread's next call. Port 0 is accepted: for
 * listeners it means "any". */
bool addr_parse(struct str text, struct addr *addr, const char **why);
/* The same for an address to connect to: ":80" is localhost's, and port 0 is refused. */
bool addr_parse_peer(struct str text, struct addr *addr, const char **why);
/* The same for an address to listen on: "localhost:80" is 127.0.0.1:80, and other names are refused. */
bool addr_parse_listener(struct str text, struct addr *addr, const char **why);
/* How an address is written that people often write otherwise ("http://a:80", "8080", "*:80"): a sentence as above.
 * NULL: `text` is none of these. (addr_hint.c) */
const char *addr_hint(struct str text);
/* From what accept and getsockname give. An IPv4 client of an IPv6 socket (::ffff:1.2.3.4) becomes plain
 * IPv4. */
void addr_from_socket(struct addr *addr, const struct sockaddr *socket, socklen_t length);
/* As it is written above, terminated; "unix:" where a unix socket has no name. A control character in
 * a path is written as '?': who binds a socket chooses its bytes. Returns its length. */
size_t addr_format(const struct addr *addr, char text[ADDR_TEXT]);
/* Only the address: "1.2.3.4", "::1", "unix:/path". */
size_t addr_format_host(const struct addr *addr, char text[ADDR_TEXT]);

/* Who a client is, for logs, fields and policies: "1.2.3.4:80", "[::1]:80"; "unix:" of a unix socket, whose path is
 * no address (RFC 7239 section 6.3) and may be whatever its owner likes; "unknown" where `length` is 0 or the family is
 * none of these. Returns its length. */
size_t addr_format_client(const struct sockaddr *socket, socklen_t length, char text[ADDR_TEXT]);
/* Reads such a text of an IP address, or "unix:/path". The port may be missing, as it is where the client is known
 * from X-Forwarded-For: it is 0 then. False: *why is as above. */
bool addr_parse_client(struct str text, struct addr *addr, const char **why);
/* The part of such a text without port and brackets. */
struct str addr_host_of_client(struct str client);
/* Not for unix sockets. */
void addr_set_port(struct addr *addr, unsigned short port);
/* Does a connection to `to` come to who listens on `at`? The same address and port, or `at` is every address of this
 * machine and `to` a loopback address or every one, too. The name "localhost" is 127.0.0.1; of other names nobody
 * knows: false. Port 0 is none so far: false. */
bool addr_reaches(const struct addr *to, const struct addr *at);
/* AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC for a name. */
int addr_family(const struct addr *addr);

#endif
