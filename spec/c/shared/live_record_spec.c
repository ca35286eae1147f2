// SPDX-License-Identifier: Apache-2.0
// Units for shared/live_record: what is read of bytes that may be anything.
#include "shared/live_record.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "runtime/live/text.h"
#include "unit.h"

static void put(struct buf *out, enum live_kind kind, unsigned code, const void *text, size_t length) {
  struct live_item_head head = {(uint8_t)kind, (uint8_t)code, (uint16_t)length, 5, 7};
  buf_append(out, &head, sizeof head);
  buf_append(out, text, length);
}

static void make(struct buf *out) {
  struct live_head head = {0, LIVE_VERSION, 1, 0};
  uint64_t status = 503;
  buf_append(out, &head, sizeof head);
  put(out, LIVE_NUMBER, LIVE_STATUS, &status, sizeof status);
  put(out, LIVE_TEXT, LIVE_METHOD, "GET", 3);
  put(out, LIVE_TEXT, LIVE_TARGET, "/a\"b", 4);
  put(out, LIVE_STEP, 0, "connect", 7);
  put(out, LIVE_ANSWERED, 0, &status, sizeof status);
  put(out, LIVE_FIELD, LIVE_FROM_CLIENT, "A: b", 4);
  head.bytes = (uint32_t)buf_len(out);
  memcpy(buf_ptr(out), &head, sizeof head);
}

IT("reads what was written, and nothing of what is not whole") {
  struct buf bytes = {0};
  struct live_head head;
  struct live_item item;
  struct str items;
  make(&bytes);
  for (size_t cut = 0; cut < buf_len(&bytes); cut++)
    CHECK(!live_record_open((struct str){buf_ptr(&bytes), cut}, &head, &items));
  CHECK(live_record_open(buf_str(&bytes), &head, &items) && head.marks == 1);
  CHECK(live_record_find(items, LIVE_NUMBER, LIVE_STATUS, &item) && item.number == 503);
  CHECK(live_record_find(items, LIVE_FIELD, LIVE_FROM_CLIENT, &item) && item.at_us == 5 && item.us == 7);
  CHECK_STR(item.text, "A: b");
  CHECK(!live_record_find(items, LIVE_TEXT, LIVE_HOST, &item) && item.text.len == 0);
  buf_release(&bytes);
}

IT("takes the lines of fields that came in one piece") {
  struct str rest = STR("A: b\r\nHost: c\r\nD:"), line;
  CHECK(live_record_line(&rest, &line));
  CHECK_STR(line, "A: b");
  CHECK(live_record_line(&rest, &line));
  CHECK_STR(line, "Host: c");
  CHECK(live_record_line(&rest, &line));
  CHECK_STR(line, "D:");
  CHECK(!live_record_line(&rest, &line));
}

IT("makes text and JSON of any bytes without a fault, and refuses another version") {
  struct buf bytes = {0};
  struct live_head head;
  struct str items;
  char *text = NULL;
  size_t length;
  make(&bytes);
  for (size_t at = sizeof head; at < buf_len(&bytes); at++) {
    char kept = buf_ptr(&bytes)[at];
    for (int value = 0; value < 256; value += 5) {
      buf_ptr(&bytes)[at] = (char)value;
      CHECK(live_record_open(buf_str(&bytes), &head, &items));
      FILE *out = open_memstream(&text, &length);
      live_text(out, items, true);
      live_json(out, items);
      fclose(out);
      free(text);
    }
    buf_ptr(&bytes)[at] = kept;
  }
  buf_ptr(&bytes)[4] = LIVE_VERSION + 1;
  CHECK(!live_record_open(buf_str(&bytes), &head, &items));
  buf_release(&bytes);
}
