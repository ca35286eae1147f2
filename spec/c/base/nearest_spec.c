// SPDX-License-Identifier: Apache-2.0
// Units for base/nearest: which slips are known, and that nothing far off is suggested.
#include "base/nearest.h"

#include <string.h>

#include "unit.h"

static const char *const words[] = {"run",       "proxy",      "check",          "reload",
                                    "--workers", "--pid-file", "request_filter", NULL};

static const char *suggest(const char *word) {
  struct nearest n = nearest_to(word);
  for (int i = 0; words[i]; i++) nearest_offer(&n, words[i]);
  return n.found ? n.found : "";
}

IT("finds the word that lacks a character, has one too many, another one, or two that are swapped") {
  CHECK_STR(str_of(suggest("relod")), "reload");
  CHECK_STR(str_of(suggest("reloadd")), "reload");
  CHECK_STR(str_of(suggest("reloat")), "reload");
  CHECK_STR(str_of(suggest("rnu")), "run");
  CHECK_STR(str_of(suggest("--wrokers")), "--workers");
  CHECK_STR(str_of(suggest("request_fiter")), "request_filter");
}

IT("takes upper and lower case, and both kinds of dash, for equal") {
  CHECK_STR(str_of(suggest("--pid_file")), "--pid-file");
  CHECK_STR(str_of(suggest("RELOAD")), "reload");
}

IT("completes the beginning of a word") {
  CHECK_STR(str_of(suggest("re")), "reload");
  CHECK_STR(str_of(suggest("--pid")), "--pid-file");
}

IT("finds the word that has one word more, or one less, before or behind it") {
  CHECK_STR(str_of(suggest("get_proxy")), "proxy");
  CHECK_STR(str_of(suggest("proxy-server")), "proxy");
  CHECK_STR(str_of(suggest("getproxy")), "");
  CHECK_STR(str_of(suggest("filter")), "request_filter");
  CHECK_STR(str_of(suggest("ter")), "");
}

IT("takes the first of words that are equally near") {
  struct nearest n = nearest_to("cart");
  nearest_offer(&n, "card");
  nearest_offer(&n, "care");
  CHECK_STR(str_of(n.found), "card");
  nearest_offer(&n, "cart");
  CHECK_STR(str_of(n.found), "cart");
}

IT("suggests nothing that is far off") {
  CHECK_STR(str_of(suggest("x")), "");
  CHECK_STR(str_of(suggest("")), "");
  CHECK_STR(str_of(suggest("serve")), "");
  CHECK_STR(str_of(suggest("xyz")), "");
  char longer[100];
  memset(longer, 'r', sizeof longer);
  longer[99] = '\0';
  CHECK_STR(str_of(suggest(longer)), "");
}
