// SPDX-License-Identifier: Apache-2.0
// Units for runtime/live/rule: what `perilune trace` asks for.
#include "runtime/live/rule.h"

#include <stdlib.h>
#include <string.h>

#include "net/cidr.h"
#include "unit.h"

static struct live_wish read_fine(const char *line) {
  struct live_wish wish;
  char *why = NULL;
  CHECK(live_wish_read(str_of(line), &wish, &why));
  return wish;
}

static void refuse(const char *line, const char *wanted) {
  struct live_wish wish;
  char *why = NULL;
  CHECK(!live_wish_read(str_of(line), &wish, &why));
  CHECK(strstr(why, wanted));
  free(why);
}

IT("reads each condition") {
  struct live_wish wish =
      read_fine("\tfields=no\tcount=5\tpath=/a*\thost=b\tmethod=GET\tslower=200ms\tpeer=c:*\terror=*");
  CHECK(!wish.rule.has_fields && wish.count == 5 && wish.rule.slower_us == 200000);
  CHECK(strcmp(wish.rule.path, "/a*") == 0 && strcmp(wish.rule.peer, "c:*") == 0);
  wish = read_fine("");
  CHECK(wish.rule.has_fields && !wish.count && !*wish.rule.path);
}

IT("reads a status, a class of them, and from one to another") {
  struct live_wish wish = read_fine("status=503");
  CHECK(wish.rule.status_from == 503 && wish.rule.status_to == 503);
  wish = read_fine("status=5xx");
  CHECK(wish.rule.status_from == 500 && wish.rule.status_to == 599);
  wish = read_fine("status=0-499");
  CHECK(wish.rule.status_from == 0 && wish.rule.status_to == 499);
  wish = read_fine("status=4XX-5XX");
  CHECK(wish.rule.status_from == 400 && wish.rule.status_to == 599);
  refuse("status=5x", "status wants");
  refuse("status=1000", "status wants");
  refuse("status=500-400", "status wants");
  refuse("status=500-", "status wants");
}

IT("gives each worker a set of networks of its own") {
  struct live_wish wish = read_fine("client=10.0.0.0/8");
  struct live_rule one = live_wish_rule(&wish), two = live_wish_rule(&wish);
  CHECK(one.client != two.client && cidr_set_contains(one.client, STR("10.1.2.3:80")) == CIDR_INSIDE);
  cidr_set_free(one.client);
  cidr_set_free(two.client);
}

IT("refuses what it does not know, and what is too long") {
  char line[400] = "path=";
  memset(line + 5, 'a', 300);
  refuse(line, "path wants a shorter pattern");
  refuse("colour=red", "a condition is path=");
  refuse("path", "a condition is path=");
  refuse("=x", "a condition is path=");
  refuse("client=nobody", "client wants an address or a network");
  refuse("count=99999999999999999999", "count wants");
}
