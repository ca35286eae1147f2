// SPDX-License-Identifier: Apache-2.0
// Units for http/secrets.
#include "http/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static const struct secrets plain = {0}, keyed = {0x1234567};

static struct str value_of(const struct secrets *secrets, const char *name, const char *value) {
  static struct buf out;
  buf_release(&out);
  secrets_put_value(secrets, &out, str_of(name), str_of(value));
  return buf_len(&out) ? buf_str(&out) : STR("");
}

static struct str target_of(const char *target) {
  static struct buf out;
  buf_release(&out);
  secrets_put_target(&plain, &out, str_of(target));
  return buf_str(&out);
}

IT("hides fields by the words of their names, in whichever spelling") {
  static const char *const secret[] = {"Authorization",       "cookie",    "X-Api-Key",
                                       "X_API_KEY",           "apiKey",    "X-Auth-Token",
                                       "X-CSRFToken",         "Password",  "X-Amz-Security-Token",
                                       "Proxy-Authorization", "X-Session", "X-Hub-Signature"};
  static const char *const open[] = {
      "Host",    "Accept",   "Surrogate-Key", "Sec-WebSocket-Key", "WWW-Authenticate",
      "Keynote", "X-Author", "Monkey",        "X-Request-Id",      "Idempotency-Key"};
  for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) CHECK(secrets_is_field(str_of(secret[i])));
  for (size_t i = 0; i < sizeof open / sizeof *open; i++) CHECK(!secrets_is_field(str_of(open[i])));
}

IT("leaves names, schemes and what is no secret") {
  CHECK_STR(value_of(&plain, "Cookie", "a=1; sid=x=y"), "a=[redacted]; sid=[redacted]");
  CHECK_STR(value_of(&plain, "Set-Cookie", "sid=abc; Path=/; Secure"), "sid=[redacted]; Path=/; Secure");
  CHECK_STR(value_of(&plain, "Authorization", "Bearer abc"), "Bearer [redacted]");
  CHECK_STR(value_of(&plain, "Authorization", "abc"), "[redacted]");
  CHECK_STR(value_of(&plain, "X-Token", ""), "");
  CHECK_STR(value_of(&plain, "Accept", "text/html"), "text/html");
}

IT("hides parameters of queries, and users in URLs") {
  CHECK_STR(target_of("/a?b=1&access_token=abc&c"), "/a?b=1&access_token=[redacted]&c");
  CHECK_STR(target_of("/a?code=abc#token=def"), "/a?code=[redacted]");
  CHECK_STR(target_of("/plain"), "/plain");
  CHECK_STR(target_of("/cb#access_token=abc"), "/cb#access_token=[redacted]");
  CHECK_STR(target_of("http://me:word@host/x"), "http://[redacted]@host/x");
  CHECK_STR(value_of(&plain, "Referer", "https://a.example/x?key=1"), "https://a.example/x?key=[redacted]");
}

IT("tells without looking closely where there can be none") {
  static const char *const suspect[] = {"/a?token=b", "/a#token=b", "http://me:word@host/x"};
  for (size_t i = 0; i < sizeof suspect / sizeof *suspect; i++) CHECK(secrets_may_be_in(str_of(suspect[i])));
  CHECK(!secrets_may_be_in(STR("http://host/token=b")) && !secrets_may_be_in((struct str){0}));
}

IT("finds what may begin a secret at any place of a target of any length, and nothing else") {
  static const char marks[] = "?#@";
  for (size_t length = 0; length < 40; length++) {
    char *target = malloc(length + 1); /* of its own, so that sanitizers see what is read beside it */
    for (int c = 1; c < 256; c++) {
      memset(target, c, length);
      bool is_mark = strchr(marks, c) != NULL;
      CHECK(secrets_may_be_in((struct str){target, length}) == (is_mark && length > 0));
    }
    for (size_t at = 0; at < length; at++)
      for (const char *mark = marks; *mark; mark++) {
        memset(target, 'a', length);
        target[at] = *mark;
        CHECK(secrets_may_be_in((struct str){target, length}));
      }
    free(target);
  }
}

IT("marks equal secrets alike under a key, and others otherwise") {
  char first[64];
  struct str one = value_of(&keyed, "X-Token", "abc");
  snprintf(first, sizeof first, "%.*s", STR_ARG(one));
  CHECK(one.len == sizeof "redacted-5f2c9a01d3b7e684" - 1);
  CHECK_STR(value_of(&keyed, "X-Other-Token", "abc"), first);
  CHECK(!str_equal(value_of(&keyed, "X-Token", "abd"), str_of(first)));
}
