// SPDX-License-Identifier: Apache-2.0
// Units for net/name_files: what the options of resolv.conf say. What lookups make of them: resolver_spec.c.
#include "net/name_files.h"

#include <stdio.h>
#include <unistd.h>

#include "unit.h"

/* Of a file whose last line this is. */
static struct dns_options options_of(const char *line) {
  char path[UNIT_PATH_BYTES];
  struct name_files files;
  unit_temporary(path, "resolv");
  FILE *file = fopen(path, "w");
  fprintf(file, "nameserver 192.0.2.1\n%s\n", line);
  fclose(file);
  name_files_init(&files);
  files.resolv_path = path;
  files.hosts_path = "/none";
  CHECK(name_files_refresh(&files, 0));
  struct dns_options options = files.options;
  name_files_clear(&files);
  unlink(path);
  return options;
}

static bool is(const char *line, unsigned timeout_s, unsigned attempts, bool rotates) {
  struct dns_options o = options_of(line);
  return o.timeout_s == timeout_s && o.attempts == attempts && o.rotates == rotates;
}

IT("knows what resolv.conf says of patience, and where it says nothing") {
  CHECK(is("options timeout:3 attempts:4 rotate", 3, 4, true));
  CHECK(is("options ndots:2", 0, 0, false));
  CHECK(is("search a.test", 0, 0, false));
}

IT("takes for what is not said beside the other what the manual says") {
  CHECK(is("options timeout:1", 1, 2, false));
  CHECK(is("options attempts:1", 5, 1, false));
}

IT("keeps timeout and attempts within what resolv.conf(5) allows") {
  CHECK(is("options timeout:99 attempts:99", 30, 5, false));
  CHECK(is("options timeout:0 attempts:-1", 1, 1, false));
}
