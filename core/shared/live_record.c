// SPDX-License-Identifier: Apache-2.0
// live_record: reading. Nothing is taken for given of the bytes.
#include "shared/live_record.h"

bool live_record_next(struct str *rest, struct live_item *item) {
  struct live_item_head head;
  if (rest->len < sizeof head) return false;
  memcpy(&head, rest->ptr, sizeof head);
  if (head.kind >= LIVE_KINDS || head.length > rest->len - sizeof head) return false;
  *item = (struct live_item){.kind = (enum live_kind)head.kind,
                             .code = head.code,
                             .at_us = head.at_us,
                             .us = head.us,
                             .text = {rest->ptr + sizeof head, head.length}};
  if (item->kind == LIVE_NUMBER || item->kind == LIVE_ANSWERED) {
    if (head.length != sizeof item->number) return false;
    memcpy(&item->number, item->text.ptr, sizeof item->number);
  }
  *rest = str_from(*rest, sizeof head + head.length);
  return true;
}

bool live_record_find(struct str record, enum live_kind kind, unsigned code, struct live_item *item) {
  while (live_record_next(&record, item))
    if (item->kind == kind && item->code == code) return true;
  *item = (struct live_item){.text = {"", 0}};
  return false;
}

bool live_record_line(struct str *rest, struct str *line) {
  if (!str_split(rest, '\n', line)) return false;
  if (line->len && line->ptr[line->len - 1] == '\r') line->len--;
  return true;
}

bool live_record_open(struct str bytes, struct live_head *head, struct str *items) {
  if (bytes.len < sizeof *head) return false;
  memcpy(head, bytes.ptr, sizeof *head);
  if (head->version != LIVE_VERSION || head->bytes < sizeof *head || head->bytes > bytes.len) return false;
  *items = (struct str){bytes.ptr + sizeof *head, head->bytes - sizeof *head};
  return true;
}
