// SPDX-License-Identifier: Apache-2.0
// cidr: networks as ranges of 128-bit addresses, IPv4 inside ::ffff:0:0/96. Two networks are disjoint, or one
// contains the other. So after those inside others are dropped, the sorted ranges are disjoint.
#include "net/cidr.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/memory.h"

enum { ADDRESS = 16, TEXT = 64 };

struct range {
  unsigned char first[ADDRESS], last[ADDRESS];
};

struct cidr_set {
  struct range *ranges; /* owned */
  size_t count, cap;
};

struct cidr_set *cidr_set_new(void) {
  return memory_zalloc(sizeof(struct cidr_set));
}

void cidr_set_free(struct cidr_set *set) {
  if (!set) return;
  free(set->ranges);
  free(set);
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* *bits: how many the address has in its own family. */
static bool read_address(struct str text, unsigned char address[ADDRESS], unsigned *bits) {
  static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
  char copy[TEXT];
  if (!str_to_text(text, copy, sizeof copy)) return false;
  if (str_find(text, ':') < text.len) { /* no IPv4 address has one, and each IPv6 address has */
    *bits = 128;
    return inet_pton(AF_INET6, copy, address) == 1;
  }
  memcpy(address, mapped, sizeof mapped);
  *bits = 32;
  return inet_pton(AF_INET, copy, address + sizeof mapped) == 1;
}

static unsigned char mask_byte(unsigned index, unsigned prefix) {
  if (prefix >= (index + 1) * 8) return 0xff;
  return prefix <= index * 8 ? 0 : (unsigned char)(0xff << ((index + 1) * 8 - prefix));
}

/* Bits behind the prefix would be ignored, and be somebody's mistake. */
static bool fill_range(struct range *range, const unsigned char address[ADDRESS], unsigned prefix) {
  for (unsigned i = 0; i < ADDRESS; i++) {
    unsigned char mask = mask_byte(i, prefix);
    range->first[i] = address[i] & mask;
    range->last[i] = address[i] | (unsigned char)~mask;
  }
  return memcmp(range->first, address, ADDRESS) == 0;
}

bool cidr_read(struct str text, unsigned char address[ADDRESS], unsigned *whole, const char **why) {
  struct range range;
  unsigned bits;
  uint64_t prefix;
  size_t slash = str_find(text, '/');
  *why = "not an IP address or network";
  if (!read_address((struct str){text.ptr, slash}, address, &bits)) return false;
  prefix = bits;
  if (slash < text.len && (!str_to_u64(str_from(text, slash + 1), &prefix) || prefix > bits)) {
    *why = bits == 32 ? "a prefix of IPv4 is a number from 0 to 32"
                      : "a prefix of IPv6 is a number from 0 to 128";
    return false;
  }
  *why = "bits are set behind the prefix: write the network's first address";
  *whole = (unsigned)prefix + 128 - bits;
  return fill_range(&range, address, *whole);
}

static bool read_network(struct str text, struct range *range, const char **why) {
  unsigned char address[ADDRESS];
  unsigned bits;
  return cidr_read(text, address, &bits, why) && fill_range(range, address, bits);
}

/* --- the set -------------------------------------------------------------------------------------------- */

bool cidr_set_add(struct cidr_set *set, struct str network, const char **why) {
  struct range range;
  if (!read_network(network, &range, why)) return false;
  if (set->count == set->cap) {
    set->cap = set->cap ? set->cap * 2 : 8;
    set->ranges = memory_realloc(set->ranges, set->cap * sizeof *set->ranges);
  }
  set->ranges[set->count++] = range;
  return true;
}

/* By the first address; of those that begin together the largest first. */
static int compare(const void *a, const void *b) {
  const struct range *left = a, *right = b;
  int order = memcmp(left->first, right->first, ADDRESS);
  return order ? order : memcmp(right->last, left->last, ADDRESS);
}

void cidr_set_seal(struct cidr_set *set) {
  size_t kept = 0;
  if (set->count == 0) return;
  qsort(set->ranges, set->count, sizeof *set->ranges, compare);
  for (size_t i = 1; i < set->count; i++)
    if (memcmp(set->ranges[i].first, set->ranges[kept].last, ADDRESS) > 0)
      set->ranges[++kept] = set->ranges[i];
  set->count = kept + 1;
}

/* "" or ":80". */
static bool is_port(struct str text) {
  unsigned port = 0;
  if (!text.len) return true;
  for (size_t at = 1; at < text.len; at++) {
    if (text.ptr[at] < '0' || text.ptr[at] > '9' || port > 65535) return false;
    port = port * 10 + (unsigned)(text.ptr[at] - '0');
  }
  return text.ptr[0] == ':' && text.len > 1 && port <= 65535;
}

/* Without port and brackets; what has something else behind it stays as it is, and is no address. */
static struct str host_of(struct str text) {
  if (text.len && text.ptr[0] == '[') {
    size_t end = str_find(text, ']');
    return end < text.len && is_port(str_from(text, end + 1)) ? (struct str){text.ptr + 1, end - 1} : text;
  }
  size_t colon = str_find(text, ':');
  bool is_ipv6 = colon < text.len && str_find(str_from(text, colon + 1), ':') < text.len - colon - 1;
  return is_ipv6 || !is_port(str_from(text, colon)) ? text : (struct str){text.ptr, colon};
}

bool cidr_read_address(struct str text, unsigned char address[ADDRESS]) {
  unsigned bits;
  return !str_starts_with(text, STR("unix:")) && read_address(host_of(text), address, &bits);
}

/* --- the question ----------------------------------------------------------------------------------------- */

/* An IPv4 address at the front of the text, as inet_pton takes it: its length; 0: there is none. */
static size_t read_quad(struct str text, unsigned char to[4]) {
  size_t at = 0;
  for (unsigned i = 0; i < 4; i++) {
    if (i > 0 && (at == text.len || text.ptr[at++] != '.')) return 0;
    unsigned number = 0;
    size_t begin = at;
    for (; at < text.len && at < begin + 3 && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++)
      number = number * 10 + (unsigned)(text.ptr[at] - '0');
    if (at == begin || number > 255 || (text.ptr[begin] == '0' && at > begin + 1)) return 0;
    to[i] = (unsigned char)number;
  }
  return at;
}

/* Clients' addresses are asked for at each request, and most are of IPv4. */
static bool read_client(struct str text, unsigned char address[ADDRESS]) {
  unsigned bits;
  size_t length = read_quad(text, address + ADDRESS - 4);
  if (!length || !is_port(str_from(text, length))) return read_address(host_of(text), address, &bits);
  memset(address, 0, ADDRESS - 6);
  memset(address + ADDRESS - 6, 0xff, 2);
  return true;
}

enum cidr_answer cidr_set_contains(const struct cidr_set *set, struct str text) {
  unsigned char address[ADDRESS];
  if (str_starts_with(text, STR("unix:"))) return CIDR_OUTSIDE;
  if (!read_client(text, address)) return CIDR_NO_ADDRESS;
  size_t from = 0, to = set->count; /* the last range that begins at or before the address is in [from, to) */
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (memcmp(set->ranges[middle].first, address, ADDRESS) > 0)
      to = middle;
    else
      from = middle + 1;
  }
  if (from == 0) return CIDR_OUTSIDE;
  return memcmp(address, set->ranges[from - 1].last, ADDRESS) <= 0 ? CIDR_INSIDE : CIDR_OUTSIDE;
}
