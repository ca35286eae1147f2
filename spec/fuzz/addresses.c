// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: addresses as text: of policies, of name servers, of the nodes that a cluster names, of PROXY heads and
// Host. What is read is written as what is read as the same; a hint never crashes; and an address is in the network
// that it alone is.
#include "net/addr.h"
#include "net/cidr.h"

#include "fuzz.h"
#include "http/host.h"

typedef bool addr_fn(struct str text, struct addr *addr, const char **why);

static void require_same(const struct addr *a, const struct addr *b) {
  REQUIRE(a->kind == b->kind);
  if (a->kind == ADDR_NAME) REQUIRE(strcmp(a->host, b->host) == 0);
  if (a->kind != ADDR_UNIX) REQUIRE(a->port == b->port);
  if (a->kind != ADDR_NAME) REQUIRE(a->length == b->length && memcmp(&a->socket, &b->socket, a->length) == 0);
}

static void require_parsed(addr_fn *parse, struct str text) {
  struct addr addr, again;
  char written[ADDR_TEXT], host[ADDR_TEXT];
  const char *why = NULL;
  if (!parse(text, &addr, &why)) {
    REQUIRE(why && *why);
    return;
  }
  size_t length = addr_format(&addr, written);
  REQUIRE(length > 0 && length < ADDR_TEXT && written[length] == 0);
  for (size_t i = 0; i < length; i++) REQUIRE((unsigned char)written[i] >= ' ');
  REQUIRE(addr_format_host(&addr, host) < ADDR_TEXT);
  bool is_plain = addr.kind != ADDR_UNIX || memchr(written, '?', length) == NULL;
  if (!is_plain) return;
  REQUIRE(addr_parse((struct str){written, length}, &again, &why));
  require_same(&addr, &again);
}

static void require_network(struct str text) {
  struct cidr_set *set = cidr_set_new();
  const char *why = NULL;
  bool is_network = cidr_set_add(set, text, &why);
  REQUIRE(is_network || (why && *why));
  cidr_set_seal(set);
  enum cidr_answer answer = cidr_set_contains(set, text);
  if (is_network && str_find(text, '/') == text.len) REQUIRE(answer == CIDR_INSIDE);
  cidr_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str text = fuzz_copy(data, size);
  require_parsed(addr_parse, text);
  require_parsed(addr_parse_peer, text);
  require_parsed(addr_parse_listener, text);
  require_network(text);
  const char *hint = addr_hint(text);
  REQUIRE(!hint || *hint);
  if (host_is_valid(text)) REQUIRE(!memchr(text.ptr, ' ', text.len) && !memchr(text.ptr, '/', text.len));
  struct str client = addr_host_of_client(text);
  REQUIRE(client.len <= text.len);
  free((char *)text.ptr);
  return 0;
}
