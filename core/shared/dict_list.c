// SPDX-License-Identifier: Apache-2.0
// dict_list: values of a dict that are lists of strings and numbers, taken and given at both ends. An item is made
// before the lock is taken, and freed after. Nothing that lives is removed for one: a queue that loses what is in it
// would be of no use.
#include <stdlib.h>

#include "base/memory.h"
#include "shared/dict_parts.h"

struct dict_list {
  struct list items; /* owned: struct item */
  unsigned count;
  size_t bytes; /* of itself and its items */
};

struct item {
  struct list link;
  struct dict_value value; /* a string is in text */
  char text[];
};

static size_t item_cost(const struct dict_value *value) {
  return malloc_cost(sizeof(struct item) + (value->type == DICT_STRING ? value->string.len : 0));
}

size_t dict_list_bytes(const struct dict_list *list) { return list->bytes; }

void dict_list_free(struct dict_list *list) {
  LIST_EACH(node, &list->items) free(LIST_ENTRY(node, struct item, link));
  free(list);
}

static struct item *item_new(const struct dict_value *value) {
  size_t bytes = value->type == DICT_STRING ? value->string.len : 0;
  struct item *item = memory_alloc(sizeof *item + bytes);
  item->value = *value;
  list_init(&item->link);
  if (value->type != DICT_STRING) return item;
  if (bytes) memcpy(item->text, value->string.ptr, bytes);
  item->value.string.ptr = item->text;
  return item;
}

static struct dict_list *list_new(void) {
  struct dict_list *list = memory_zalloc(sizeof *list);
  list_init(&list->items);
  list->bytes = malloc_cost(sizeof *list);
  return list;
}

/* The entry of the key, which a list is begun for where there is none. NULL: no room. */
static struct entry *begin(struct visit *v, struct dict_put *how) {
  struct entry *dead = dict_find_any(v);
  if (dead) dict_take_out(v, dead);
  struct dict_value value = {.type = DICT_LIST, .list = list_new()};
  if (!dict_make_room(v, entry_cost(v->key.len, &value), how)) {
    dict_list_free(value.list);
    return NULL;
  }
  struct entry *entry = entry_new(v, &value, 0);
  dict_put_in(v, entry);
  return entry;
}

/* How many there are then is in *count. */
static enum dict_result push(struct visit *v, struct item *item, enum dict_end end, unsigned *count) {
  struct dict_put how = {.spares = true};
  struct entry *entry = dict_find(v);
  size_t cost = item_cost(&item->value);
  if (entry && entry->value.type != DICT_LIST) return DICT_NOT_A_LIST;
  if (!dict_make_room(v, cost, &how)) return DICT_FULL;
  if (!entry) entry = begin(v, &how);
  if (!entry) return DICT_FULL;
  struct dict_list *list = entry->value.list;
  list_insert_after(end == DICT_FRONT ? &list->items : list->items.prev, &item->link);
  list->bytes += cost;
  v->shard->used += cost;
  *count = ++list->count;
  return DICT_OK;
}

enum dict_result dict_push(struct dict *d, struct str key, const struct dict_value *value, enum dict_end end,
                           unsigned *count) {
  struct visit v = dict_visit(d, key);
  if (item_cost(value) + sizeof(struct entry) + key.len > dict_entry_bytes_max(d)) return DICT_TOO_LARGE;
  struct item *item = item_new(value);
  dict_enter(&v);
  enum dict_result result = push(&v, item, end, count);
  dict_leave(&v);
  if (result != DICT_OK) free(item);
  return result;
}

static enum dict_result pop(struct visit *v, enum dict_end end, struct item **popped) {
  struct entry *entry = dict_find(v);
  if (!entry) return DICT_ABSENT;
  if (entry->value.type != DICT_LIST) return DICT_NOT_A_LIST;
  struct dict_list *list = entry->value.list;
  struct list *node = end == DICT_FRONT ? list->items.next : list->items.prev;
  *popped = LIST_ENTRY(node, struct item, link);
  list_remove(node);
  size_t cost = item_cost(&(*popped)->value);
  list->bytes -= cost;
  v->shard->used -= cost;
  if (--list->count == 0) dict_take_out(v, entry);
  return DICT_OK;
}

enum dict_result dict_pop(struct dict *d, struct str key, enum dict_end end, struct dict_value *value,
                          struct buf *text) {
  struct visit v = dict_visit(d, key);
  struct item *item = NULL;
  dict_enter(&v);
  enum dict_result result = pop(&v, end, &item);
  dict_leave(&v);
  if (result != DICT_OK) return result;
  *value = item->value;
  dict_copy_out(value, text);
  free(item);
  return DICT_OK;
}

enum dict_result dict_length(struct dict *d, struct str key, unsigned *count) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  const struct entry *entry = dict_find(&v);
  bool is_list = entry && entry->value.type == DICT_LIST;
  *count = is_list ? entry->value.list->count : 0;
  dict_leave(&v);
  return is_list || !entry ? DICT_OK : DICT_NOT_A_LIST;
}
