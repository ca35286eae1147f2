// SPDX-License-Identifier: Apache-2.0
// secrets: names are taken apart into words at what is no letter or digit, and where a capital follows a small letter:
// "X-Api-Key", "api_key" and "apiKey" are the same two words.
#include "http/secrets.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* Of a field or a parameter. */
static const char *const words[] = {
    "token",     "tokens", "secret",      "secrets",     "password",   "passwd",   "passphrase",
    "pwd",       "pass",   "session",     "sessionid",   "sid",        "auth",     "authorization",
    "apikey",    "key",    "credential",  "credentials", "signature",  "sig",      "jwt",
    "csrf",      "xsrf",   "otp",         "bearer",      "cookie",     "cookies",  "cookie2",
    "assertion", "ticket", "accesstoken", "csrftoken",   "jsessionid", "phpsessid"};
/* Names with such a word that are no secrets. */
static const char *const known[] = {"surrogate-key", "sec-websocket-key", "www-authenticate",
                                    "proxy-authenticate", "idempotency-key"};
/* Of parameters alone: as fields these are too common. */
static const char *const parameters[] = {"code", "pin"};

static bool is_in(struct str text, const char *const *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (str_equal_nocase(text, str_of(list[i]))) return true;
  return false;
}
#define IS_IN(text, list) is_in(text, list, sizeof(list) / sizeof *(list))

/* The next word; false: there is none. */
static bool take_word(struct str *rest, struct str *word) {
  while (rest->len && !isalnum((unsigned char)*rest->ptr)) *rest = str_from(*rest, 1);
  size_t end = 0;
  while (end < rest->len && isalnum((unsigned char)rest->ptr[end])) {
    if (end && isupper((unsigned char)rest->ptr[end]) && islower((unsigned char)rest->ptr[end - 1])) break;
    end++;
  }
  *word = (struct str){rest->ptr, end};
  *rest = str_from(*rest, end);
  return end > 0;
}

static bool has_word(struct str name) {
  struct str rest = name, word;
  while (take_word(&rest, &word))
    if (IS_IN(word, words)) return true;
  return false;
}

/* "ACCESSTOKEN" and "SESSIONID" are no words of this kind, and would be cut elsewhere. */
bool secrets_is_field(struct str name) {
  return !IS_IN(name, known) && (has_word(name) || IS_IN(name, words));
}

/* The same of a parameter of a query: "access_token". */
static bool is_parameter(struct str name) {
  return has_word(name) || IS_IN(name, words) || IS_IN(name, parameters);
}

/* --- marks ---------------------------------------------------------------------------------------------- */

static void put_mark(const struct secrets *s, struct buf *out, struct str secret) {
  char mark[32];
  if (!secret.len) return;
  if (s->key)
    snprintf(mark, sizeof mark, "redacted-%016llx",
             (unsigned long long)XXH3_64bits_withSeed(secret.ptr, secret.len, s->key));
  else
    snprintf(mark, sizeof mark, "[redacted]");
  buf_append_str(out, str_of(mark));
}

/* "name=value" before the separator; a text without a name is a secret, too. */
static void put_pair(const struct secrets *s, struct buf *out, struct str pair) {
  size_t equal = str_find(pair, '=');
  if (equal >= pair.len) {
    put_mark(s, out, pair);
    return;
  }
  buf_append_str(out, (struct str){pair.ptr, equal + 1});
  put_mark(s, out, str_from(pair, equal + 1));
}

/* "a=1; b=2" */
static void put_cookies(const struct secrets *s, struct buf *out, struct str value) {
  struct str pair;
  bool is_first = true;
  while (str_split(&value, ';', &pair)) {
    if (!is_first) buf_append_str(out, STR("; "));
    is_first = false;
    put_pair(s, out, str_trim(pair));
  }
}

/* "a=1; Path=/; Secure": what follows the cookie is no secret. */
static void put_set_cookie(const struct secrets *s, struct buf *out, struct str value) {
  size_t end = str_find(value, ';');
  if (end > value.len) end = value.len;
  put_pair(s, out, (struct str){value.ptr, end});
  buf_append_str(out, str_from(value, end));
}

/* "Bearer abc": the scheme stays. */
static void put_credentials(const struct secrets *s, struct buf *out, struct str value) {
  size_t space = str_find(value, ' ');
  if (space < value.len) {
    buf_append_str(out, (struct str){value.ptr, space + 1});
    value = str_from(value, space + 1);
  }
  put_mark(s, out, value);
}

/* --- URLs ----------------------------------------------------------------------------------------------- */

static void put_query(const struct secrets *s, struct buf *out, struct str query) {
  struct str pair;
  bool is_first = true;
  while (str_split(&query, '&', &pair)) {
    size_t equal = str_find(pair, '=');
    if (!is_first) buf_append_str(out, STR("&"));
    is_first = false;
    if (equal < pair.len && is_parameter((struct str){pair.ptr, equal}))
      put_pair(s, out, pair);
    else
      buf_append_str(out, pair);
  }
}

/* "user:password@" behind the scheme. */
static struct str put_user(const struct secrets *s, struct buf *out, struct str url) {
  const char *begin = memmem(url.ptr, url.len, "://", 3);
  if (!begin) return url;
  size_t at = (size_t)(begin - url.ptr) + 3, end = at;
  while (end < url.len && !strchr("/?#", url.ptr[end])) end++;
  const char *user = memrchr(url.ptr + at, '@', end - at);
  if (!user) return url;
  buf_append_str(out, (struct str){url.ptr, at});
  put_mark(s, out, (struct str){url.ptr + at, (size_t)(user - url.ptr) - at});
  return str_from(url, (size_t)(user - url.ptr));
}

void secrets_put_target(const struct secrets *s, struct buf *out, struct str target) {
  target = put_user(s, out, target);
  size_t query = 0;
  while (query < target.len && target.ptr[query] != '?' && target.ptr[query] != '#') query++;
  if (query >= target.len) {
    buf_append_str(out, target);
    return;
  }
  buf_append_str(out, (struct str){target.ptr, query + 1});
  put_query(s, out, str_from(target, query + 1));
}

#define EACH UINT64_C(0x0101010101010101)

/* Which bytes of a word are 0: exact for the lowest of them, so whether there are any. */
static inline uint64_t zeroes_in(uint64_t word) { return (word - EACH) & ~word & EACH * 0x80; }

static inline bool marks_in(const char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return zeroes_in(word ^ EACH * '?') | zeroes_in(word ^ EACH * '#') | zeroes_in(word ^ EACH * '@');
}

static inline bool is_mark(char c) { return c == '?' || c == '#' || c == '@'; }

/* Eight bytes at a time; the last ones may overlap those before. */
bool secrets_may_be_in(struct str target) {
  size_t at = 0, word = sizeof(uint64_t);
  for (; at + word <= target.len; at += word)
    if (marks_in(target.ptr + at)) return true;
  if (at < target.len && target.len >= word) return marks_in(target.ptr + target.len - word);
  while (at < target.len && !is_mark(target.ptr[at])) at++;
  return at < target.len;
}

static const char *const urls[] = {"referer",        "location",        "content-location",
                                   "x-original-url", "x-rewrite-url",   "link",
                                   "refresh",        "x-forwarded-uri", "origin"};
static const char *const credentials[] = {"authorization", "proxy-authorization"};

bool secrets_may_be_of(struct str name) {
  return str_equal_nocase(name, STR("cookie")) || str_equal_nocase(name, STR("set-cookie")) ||
         IS_IN(name, credentials) || IS_IN(name, urls) || secrets_is_field(name);
}

void secrets_put_value(const struct secrets *s, struct buf *out, struct str name, struct str value) {
  if (str_equal_nocase(name, STR("cookie")))
    put_cookies(s, out, value);
  else if (str_equal_nocase(name, STR("set-cookie")))
    put_set_cookie(s, out, value);
  else if (IS_IN(name, credentials))
    put_credentials(s, out, value);
  else if (secrets_is_field(name))
    put_mark(s, out, value);
  else if (IS_IN(name, urls))
    secrets_put_target(s, out, value);
  else
    buf_append_str(out, value);
}
