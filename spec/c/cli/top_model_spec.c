// SPDX-License-Identifier: Apache-2.0
// Units for cli/top/model: what is drawn of the lines of a proxy.
#include "cli/top/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

static void read_text(struct top_model *m, const char *text, double at, const struct top_model *before) {
  top_model_read(m, str_to_cstring(str_of(text)), at, before);
}

#define TABLE "table\tlisteners\taddress:t\trequests/s:c\topen:n\n"

IT("makes rates of counts, by the name of a row, also where rows have changed places") {
  struct top_model before, now;
  read_text(&before, TABLE "row\ta:1\t100\t1\nrow\tb:1\t50\t2\n", 10, NULL);
  CHECK(before.tables[0].items[0].cells[1].value == 0 && before.tables[0].items[0].cells[2].value == 1);
  read_text(&now, TABLE "row\tb:1\t70\t2\nrow\tnew:1\t900\t0\nrow\ta:1\t300\t3\n", 12, &before);
  CHECK(now.tables[0].items[0].cells[1].value == 10); /* b */
  CHECK(now.tables[0].items[1].cells[1].value == 0);  /* it was not there */
  CHECK(now.tables[0].items[2].cells[1].value == 100 && now.tables[0].items[2].cells[2].value == 3);
  top_model_free(&before);
  top_model_free(&now);
}

IT("takes a count that begins again, as after an upgrade, for none") {
  struct top_model before, now;
  read_text(&before, TABLE "row\ta:1\t100\t1\n", 10, NULL);
  read_text(&now, TABLE "row\ta:1\t5\t1\n", 11, &before);
  CHECK(now.tables[0].items[0].cells[1].value == 0);
  top_model_free(&before);
  top_model_free(&now);
}

IT("sorts numbers from the largest on, texts by letters, and leaves out what does not fit the filter") {
  struct top_model m;
  unsigned order[8];
  read_text(&m, TABLE "row\tb.x\t0\t2\nrow\ta.x\t0\t7\nrow\tc.y\t0\t7\n", 0, NULL);
  CHECK(top_table_sort(&m.tables[0], 2, false, "", order) == 3 && order[0] == 1 && order[1] == 2 &&
        order[2] == 0);
  CHECK(top_table_sort(&m.tables[0], 2, true, "", order) == 3 && order[0] == 0);
  CHECK(top_table_sort(&m.tables[0], 0, false, "", order) == 3 && order[0] == 1 && order[2] == 2);
  CHECK(top_table_sort(&m.tables[0], 99, false, ".x", order) == 2 && order[0] == 1 && order[1] == 0);
  CHECK(top_table_sort(&m.tables[0], 0, false, "nothing", order) == 0);
  top_model_free(&m);
}

IT("keeps the latest 60 seconds, and bears lines that are cut, unknown or too many") {
  struct top_model m;
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  for (int i = 0; i < 100; i++)
    fprintf(out, "second\t%d\t1\nfact\tname%d\tx\ntable\tt%d\ta:t\nrow\n", i, i, i);
  fputs("row\tx\ty\tz\nlater\tversion\n\n\t\nfact\nsecond", out);
  fclose(out);
  top_model_read(&m, text, 0, NULL);
  CHECK(m.second_count == TOP_SECONDS && top_latest(&m, TOP_REQUESTS) == 99 && top_latest(&m, TOP_SENT) == 0);
  CHECK(m.table_count == TOP_TABLES && m.fact_count == TOP_FACTS);
  CHECK_STR(top_fact(&m, "name0"), "x");
  CHECK_STR(top_fact(&m, "none"), "");
  top_model_free(&m);
}
