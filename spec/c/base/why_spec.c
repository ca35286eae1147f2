// SPDX-License-Identifier: Apache-2.0
// Units for base/why.
#include "base/why.h"

#include <stdlib.h>

#include "unit.h"

IT("makes a sentence of any length, and says that something is wrong") {
  char *why = NULL, name[4000];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  CHECK(!why_say(&why, "%s: no such file", name));
  CHECK(strlen(why) == sizeof name - 1 + strlen(": no such file"));
  free(why);
}

IT("quotes what a sentence is about") {
  char *why = NULL;
  CHECK(!why_about(&why, "user", "nobody", "there is none of that name"));
  CHECK_STR(str_of(why), "user 'nobody': there is none of that name");
  free(why);
}

IT("puts a text before a sentence that is there") {
  char *why = why_text("no such file");
  CHECK(!why_prefix(&why, "%s: ", "policy.lua:3"));
  CHECK_STR(str_of(why), "policy.lua:3: no such file");
  free(why);
}

IT("gives the error back with its static sentence") {
  const char *why = NULL;
  CHECK(why_error(&why, ERROR_BAD_REQUEST, "malformed") == ERROR_BAD_REQUEST);
  CHECK_STR(str_of(why), "malformed");
}
