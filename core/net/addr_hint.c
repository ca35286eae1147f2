// SPDX-License-Identifier: Apache-2.0
// addr_hint: recognises how addresses are written in URLs and in other programs, and says how to write them here.
#include <stdio.h>

#include "net/addr.h"

enum { SENTENCE_BYTES = 200, QUOTED_MOST = 100 };

static _Thread_local char sentence[SENTENCE_BYTES];

/* "://" in it, or its length. */
static size_t end_of_scheme(struct str text) {
  for (size_t i = 0; i + 3 <= text.len; i++)
    if (memcmp(text.ptr + i, "://", 3) == 0) return i;
  return text.len;
}

static bool is_number(struct str text) {
  uint64_t number;
  return str_to_u64(text, &number);
}

static unsigned count(struct str text, char c) {
  unsigned found = 0;
  for (size_t i = 0; i < text.len; i++) found += text.ptr[i] == c;
  return found;
}

/* "::1", "2001:db8::a:80", without brackets. */
static bool is_like_ipv6(struct str text) {
  for (size_t i = 0; i < text.len; i++)
    if (!strchr("0123456789abcdefABCDEF:.", text.ptr[i])) return false;
  return count(text, ':') > 1;
}

const char *addr_hint(struct str text) {
  struct str scheme = {text.ptr, end_of_scheme(text)}, path = str_from(text, str_find(text, '/'));
  if (text.len == 0) return "it is empty; an address is host:port, [::1]:port, :port or unix:/path";
  if (text.len > QUOTED_MOST || str_find(text, '\0') < text.len || str_starts_with(text, STR("unix:")))
    return NULL;
  struct str host = scheme.len < text.len ? str_from(text, scheme.len + 3) : text;
  if (str_find(host, '@') < str_find(host, '/')) return "user and password do not belong in an address";
  if (scheme.len && scheme.len < text.len)
    snprintf(sentence, sizeof sentence, "an address is host:port, without \"%.*s://\"", STR_ARG(scheme));
  else if (text.ptr[0] == '/')
    snprintf(sentence, sizeof sentence, "a unix socket is written \"unix:%.*s\"", STR_ARG(text));
  else if (path.len)
    snprintf(sentence, sizeof sentence, "an address is host:port, without \"%.*s\" behind it", STR_ARG(path));
  else if (is_number(text))
    snprintf(sentence, sizeof sentence, "a port alone is written with a colon, \":%.*s\"", STR_ARG(text));
  else if (str_starts_with(text, STR("*:")))
    snprintf(sentence, sizeof sentence, "every address of this machine is written \"%.*s\"",
             STR_ARG(str_from(text, 1)));
  else if (is_like_ipv6(text))
    return "an IPv6 address is written in brackets, like \"[::1]:80\"";
  else if (str_find(text, ':') == text.len)
    snprintf(sentence, sizeof sentence, "the port is missing: an address is host:port, like \"%.*s:80\"",
             STR_ARG(text));
  else
    return NULL;
  return sentence;
}
