// SPDX-License-Identifier: Apache-2.0
// orders: an array under a lock. A set's name and an address may have any bytes in them, so their lengths stand before
// them in the text that a successor reads.
#include "shared/orders.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

struct entry {
  struct str set, address; /* owned */
  struct order order;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries; /* owned */
static atomic_uint count;     /* written under the lock; most proxies have none */

/* --- under the lock --------------------------------------------------------------------------------------- */

static int find(struct str set, struct str address) {
  for (unsigned i = 0; i < count; i++)
    if (str_equal(entries[i].address, address) && str_equal(entries[i].set, set)) return (int)i;
  return -1;
}

static void drop(unsigned index) {
  free((char *)entries[index].set.ptr);
  free((char *)entries[index].address.ptr);
  count--;
  memmove(&entries[index], &entries[index + 1], (count - index) * sizeof *entries);
  if (count) return;
  free(entries);
  entries = NULL;
}

static bool put(struct str set, struct str address, struct order order) {
  int index = find(set, address);
  bool is_none = order.use == ORDER_USE && !order.weight;
  if (index >= 0 && is_none) drop((unsigned)index);
  if (index >= 0 && !is_none) entries[index].order = order;
  if (index >= 0 || is_none) return true;
  if (count == ORDERS_MOST) return false;
  entries = memory_realloc(entries, (count + 1) * sizeof *entries);
  entries[count] = (struct entry){str_own(set), str_own(address), order};
  count++;
  return true;
}

/* --- for others ------------------------------------------------------------------------------------------- */

struct order orders_find(struct str set, struct str address) {
  struct order order = {ORDER_USE, 0};
  if (!atomic_load(&count)) return order;
  pthread_mutex_lock(&lock);
  int index = find(set, address);
  if (index >= 0) order = entries[index].order;
  pthread_mutex_unlock(&lock);
  return order;
}

bool orders_put(struct str set, struct str address, struct order order) {
  pthread_mutex_lock(&lock);
  bool fits = put(set, address, order);
  pthread_mutex_unlock(&lock);
  return fits;
}

unsigned orders_forget(struct str set, struct str address) {
  unsigned forgotten = 0;
  pthread_mutex_lock(&lock);
  for (unsigned i = count; i-- > 0;) {
    bool is_meant = (!set.ptr || str_equal(entries[i].set, set)) &&
                    (!address.ptr || str_equal(entries[i].address, address));
    if (is_meant) drop(i);
    forgotten += is_meant;
  }
  pthread_mutex_unlock(&lock);
  return forgotten;
}

void orders_each(struct str set,
                 void (*each)(struct str set, struct str address, struct order order, void *context),
                 void *context) {
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < count; i++)
    if (!set.ptr || str_equal(entries[i].set, set))
      each(entries[i].set, entries[i].address, entries[i].order, context);
  pthread_mutex_unlock(&lock);
}

/* --- as text ---------------------------------------------------------------------------------------------- */

static void write_one(struct str set, struct str address, struct order order, void *out) {
  fprintf(out, "%d %u %zu %zu ", (int)order.use, order.weight, set.len, address.len);
  fwrite(set.ptr, 1, set.len, out);
  fwrite(address.ptr, 1, address.len, out);
  fputc('\n', out);
}

void orders_write(FILE *out) { orders_each((struct str){NULL, 0}, write_one, out); }

/* A number and the space behind it, cut off `rest`. */
static bool read_number(struct str *rest, uint64_t *number) {
  struct str word;
  return rest->len && str_split(rest, ' ', &word) && rest->ptr && str_to_u64(word, number);
}

static bool read_one(struct str *rest) {
  uint64_t use, weight, set_bytes, bytes;
  if (!read_number(rest, &use) || !read_number(rest, &weight) || !read_number(rest, &set_bytes) ||
      !read_number(rest, &bytes))
    return false;
  bool is_whole = use <= ORDER_DISABLE && weight <= 65535 && set_bytes < rest->len &&
                  bytes < rest->len - set_bytes && rest->ptr[set_bytes + bytes] == '\n';
  if (!is_whole) return false;
  struct order order = {(enum order_use)use, (unsigned)weight};
  bool fits =
      orders_put((struct str){rest->ptr, set_bytes}, (struct str){rest->ptr + set_bytes, bytes}, order);
  *rest = str_from(*rest, set_bytes + bytes + 1);
  return fits;
}

bool orders_read(struct str text) {
  while (text.len)
    if (!read_one(&text)) return false;
  return true;
}

const char *order_name(enum order_use use) {
  switch (use) {
  case ORDER_DRAIN: return "drained";
  case ORDER_DISABLE: return "disabled";
  case ORDER_USE: break;
  }
  return NULL;
}
