// SPDX-License-Identifier: Apache-2.0
// Units for net/name_files: what the options of resolv.conf say. What lookups make of them: resolver_spec.c.
#include "net/name_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

/* What a resolv.conf with this text says; name_files_clear follows. */
static struct name_files read_text(const char *text) {
  char path[UNIT_PATH_BYTES];
  struct name_files files;
  unit_temporary(path, "resolv");
  FILE *file = fopen(path, "w");
  fputs(text, file);
  fclose(file);
  name_files_init(&files);
  files.resolv_path = path;
  files.hosts_path = "/none";
  CHECK(name_files_refresh(&files, 0));
  unlink(path);
  return files;
}

static struct dns_options options_of(const char *line) {
  char text[200];
  snprintf(text, sizeof text, "nameserver 192.0.2.1\n%s\n", line);
  struct name_files files = read_text(text);
  struct dns_options options = files.options;
  name_files_clear(&files);
  return options;
}

static bool asks(const char *text, const char *servers) {
  struct name_files files = read_text(text);
  const char *why;
  bool is_fine = strcmp(files.servers, servers) == 0 && dns_servers_check(files.servers, &why);
  name_files_clear(&files);
  return is_fine;
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

IT("asks the first eight name servers of resolv.conf, whatever is behind them") {
  char text[400] = "", servers[400] = "";
  enum log_level before = log_level();
  log_set_level(LOG_ERROR);
  for (int i = 1; i <= 11; i++) {
    snprintf(text + strlen(text), sizeof text - strlen(text), "nameserver 192.0.2.%d\n", i);
    if (i <= 8)
      snprintf(servers + strlen(servers), sizeof servers - strlen(servers), &",192.0.2.%d"[i == 1], i);
  }
  CHECK(asks(text, servers));
  log_set_level(before);
}

IT("takes the name of an interface behind an address of a name server, and nothing else there") {
  enum log_level before = log_level();
  log_set_level(LOG_ERROR);
  CHECK(asks("nameserver fe80::1%eth0.5\n", "fe80::1%eth0.5"));
  CHECK(asks("nameserver fe80::1%e:://\nnameserver fe80::1%\nnameserver fe80::1%sixteen-letters-\n",
             "127.0.0.1:53"));
  log_set_level(before);
}
