// SPDX-License-Identifier: Apache-2.0
// Units for http/hops.
#include "http/hops.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "heads.h"
#include "unit.h"

/* All hops from the last to the first: "1.2.3.4:80 ? ! ", with ? for a hidden one and ! for nonsense. */
static const char *walk(const char *lines, enum field_id id) {
  static char out[1024];
  struct headers h = heads_fields(lines);
  struct hops hops = hops_of(&h, id);
  struct hop hop;
  out[0] = '\0';
  for (unsigned i = 0; i < 20 && hops_previous(&hops, &hop); i++) {
    if (hop.kind == HOP_ADDRESS) strncat(out, hop.text, hop.length);
    strcat(out, hop.kind == HOP_HIDDEN ? "? " : hop.kind == HOP_NONSENSE ? "! " : " ");
  }
  heads_free();
  return out;
}

struct sample {
  const char *lines, *hops;
};

static void check_all(const struct sample *all, size_t count, enum field_id id) {
  for (size_t i = 0; i < count; i++)
    if (!CHECK(strcmp(walk(all[i].lines, id), all[i].hops) == 0))
      printf("%s: %s\n", all[i].lines, walk(all[i].lines, id));
}

IT("reads X-Forwarded-For from the last hop to the first, all fields as one list") {
  static const struct sample all[] = {
      {"X-Forwarded-For: 1.1.1.1", "1.1.1.1 "},
      {"X-Forwarded-For: 1.1.1.1, 2.2.2.2:80 ,3.3.3.3", "3.3.3.3 2.2.2.2:80 1.1.1.1 "},
      {"X-Forwarded-For: 1.1.1.1\nHost: a\nx-forwarded-for: 2.2.2.2,3.3.3.3", "3.3.3.3 2.2.2.2 1.1.1.1 "},
      {"X-Forwarded-For: ,, 1.1.1.1,\t,", "1.1.1.1 "},
      {"X-Forwarded-For:\nX-Forwarded-For: ,", ""},
      {"Host: a", ""},
      {"X-Forwarded-For: 2001:DB8::0:1, [2001:db8::2], [2001:db8::3]:443, \"[::1]:80\"",
       "[::1]:80 [2001:db8::3]:443 [2001:db8::2] [2001:db8::1] "},
      {"X-Forwarded-For: ::ffff:1.2.3.4, [::ffff:1.2.3.4]:5", "1.2.3.4:5 1.2.3.4 "},
      {"X-Forwarded-For: unknown, _hidden, _, unknown:80, _a:_b", "? ? ! ? ? "},
  };
  check_all(all, sizeof all / sizeof *all, FIELD_X_FORWARDED_FOR);
}

IT("takes nothing for an address that only looks like one") {
  static const char *const texts[] = {
      "1.2.3",     "1.2.3.4.5",   "01.2.3.4",  "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536",
      "[1.2.3.4",  "[::1",        "[::1]80",   "[::1]x:8", "::1]",      "fe80::1%eth0",
      "1.2.3.4 5", "localhost",   "unix:",     "\"",       "\"\"",      "1.2.3.4;x",
      "[::1]:-1",  "[]",          ":80",       "0x7f.1",   "127.1",     "2130706433",
      "\"1.2.3.4", "for=1.2.3.4", "1.2.3.4/8", "[::1]:"};
  char line[128];
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    snprintf(line, sizeof line, "X-Forwarded-For: %s", texts[i]);
    if (!CHECK(strcmp(walk(line, FIELD_X_FORWARDED_FOR), "! ") == 0)) printf("%s\n", texts[i]);
  }
}

IT("is not led astray by a text that is too long") {
  char line[8192] = "X-Forwarded-For: 9.9.9.9, ";
  memset(line + strlen(line), '1', 4000);
  strcat(line, ", 1.1.1.1");
  CHECK(strcmp(walk(line, FIELD_X_FORWARDED_FOR), "1.1.1.1 ! 9.9.9.9 ") == 0);
}

IT("reads Forwarded, whose names are of any case and whose texts may be quoted") {
  static const struct sample all[] = {
      {"Forwarded: for=1.1.1.1", "1.1.1.1 "},
      {"Forwarded: FOR=\"[2001:db8::1]:4711\";proto=https;by=203.0.113.43", "[2001:db8::1]:4711 "},
      {"Forwarded: for=1.1.1.1, for=2.2.2.2;host=\"a,b;for=9.9.9.9\", proto=http;For=\"3.3.3.3:80\"",
       "3.3.3.3:80 2.2.2.2 1.1.1.1 "},
      {"Forwarded: for=unknown, for=\"_gazonk\", for=_a:_b, proto=http, for=\"1.1.1.1:_p\"",
       "1.1.1.1 ? ? ? ? "},
      {"Forwarded: for=1.1.1.1;for=2.2.2.2, for=, for, for=\"\", x", "? ! ? ! ! "},
  };
  check_all(all, sizeof all / sizeof *all, FIELD_FORWARDED);
}

IT("reads what a proxy wrote at the end of Forwarded, whatever stands before") {
  static const char *const before[] = {
      "for=\"",        "\"",      "for=\"a\\", "for=\"a\\\", ",       "for=1.1.1.1;x=\"",
      ",,,;;==\"\"\"", "for=\"[", "\\",        "for=6.6.6.6;host=\"a"};
  char line[256];
  for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
    snprintf(line, sizeof line, "Forwarded: %s, for=2.2.2.2;proto=http", before[i]);
    if (!CHECK(strncmp(walk(line, FIELD_FORWARDED), "2.2.2.2 ", 8) == 0)) printf("%s\n", line);
    snprintf(line, sizeof line, "Forwarded: %s, for=\"[::2]:80\"", before[i]);
    if (!CHECK(strncmp(walk(line, FIELD_FORWARDED), "[::2]:80 ", 9) == 0)) printf("%s\n", line);
  }
}
