// SPDX-License-Identifier: Apache-2.0
// table_csv: fills a table from a file of rows, in C: the VM's memory is not needed for it.
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/csv.h"
#include "base/escape.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/safe_file.h"
#include "lua/api/table.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

#define FILE_MOST ((size_t)2 << 30)

struct columns {
  struct str names[CSV_FIELDS_MOST]; /* owned texts, where the first row has them */
  unsigned count;                    /* of names; 0: there are none */
  unsigned key, value;               /* from 0 */
  bool whole;                        /* the value is the whole row, as a table by the names, or by numbers */
};

struct filling {
  struct csv csv;
  struct columns columns;
  struct lookup_table *table;
  enum lookup_kind kind;
  struct buf row; /* owned: JSON of it */
};

/* --- columns ---------------------------------------------------------------------------------------------- */

static void keep_names(struct filling *f) {
  struct columns *c = &f->columns;
  c->count = f->csv.count;
  for (unsigned i = 0; i < c->count; i++)
    c->names[i] = (struct str){str_to_cstring(f->csv.fields[i]), f->csv.fields[i].len};
}

/* A column by its name or its number, at `index`; nil: `otherwise`. False: *why names it. */
static bool find_column(lua_State *L, const struct columns *c, int index, unsigned otherwise,
                        unsigned *column) {
  *column = otherwise;
  if (lua_isnoneornil(L, index)) return true;
  if (lua_type(L, index) == LUA_TNUMBER) {
    lua_Number number = lua_tonumber(L, index);
    *column = number >= 1 && number <= CSV_FIELDS_MOST ? (unsigned)number - 1 : CSV_FIELDS_MOST;
    return *column < CSV_FIELDS_MOST;
  }
  struct str name = text_at(L, index);
  for (unsigned i = 0; i < c->count; i++) {
    *column = i;
    if (str_equal(c->names[i], name)) return true;
  }
  return false;
}

/* --- rows ------------------------------------------------------------------------------------------------- */

static void put_json(struct buf *out, struct str text) {
  buf_append(out, "\"", 1);
  buf_reserve(out, text.len * 6 + 8);
  size_t length = escape_json(buf_tail(out), buf_space(out), text);
  buf_commit(out, length);
  buf_append(out, "\"", 1);
}

static struct str row_as_json(struct filling *f) {
  f->row.start = f->row.end = 0;
  bool named = f->columns.count > 0;
  buf_append(&f->row, named ? "{" : "[", 1);
  for (unsigned i = 0; i < f->csv.count; i++) {
    if (i) buf_append(&f->row, ",", 1);
    if (named) {
      put_json(&f->row, f->columns.names[i]);
      buf_append(&f->row, ":", 1);
    }
    put_json(&f->row, f->csv.fields[i]);
  }
  buf_append(&f->row, named ? "}" : "]", 1);
  return buf_str(&f->row);
}

static const char *add_row(struct filling *f) {
  const struct columns *c = &f->columns;
  if (c->count && f->csv.count != c->count) return "it has another number of fields than the first row";
  if (c->key >= f->csv.count || c->value >= f->csv.count) return "it has too few fields";
  struct str value = c->whole ? row_as_json(f) : f->csv.fields[c->value];
  return table_add(f->table, f->kind, f->csv.fields[c->key], c->whole ? TABLE_JSON : TABLE_TEXT, value);
}

/* NULL, or why not, in `f->csv.line`. */
static const char *read_rows(struct filling *f) {
  const char *why = NULL;
  while (!why && csv_next(&f->csv, &why)) why = add_row(f);
  return why;
}

/* --- the file --------------------------------------------------------------------------------------------- */

static char *message(const char *path, unsigned line, const char *why) {
  char *text = NULL;
  int length = line ? asprintf(&text, "%s:%u: %s", path, line, why) : asprintf(&text, "%s: %s", path, why);
  return length < 0 ? str_to_cstring(str_of(why)) : text;
}

/* NULL, or what is wrong, malloc'd. */
static char *fill(lua_State *L, struct filling *f, const char *path) {
  const char *why = NULL;
  if (lua_toboolean(L, 4) && csv_next(&f->csv, &why)) keep_names(f);
  if (why) return message(path, f->csv.line, why);
  if (!find_column(L, &f->columns, 5, 0, &f->columns.key) ||
      !find_column(L, &f->columns, 6, f->columns.key, &f->columns.value))
    return message(path, 1, "it has no column of the name that the options 'key' and 'value' have");
  f->columns.whole = lua_isnoneornil(L, 6);
  why = read_rows(f);
  return why ? message(path, f->csv.line, why) : NULL;
}

int table_csv(lua_State *L) {
  enum lookup_kind kind;
  struct lookup_table *table = table_to_fill(L, 1, &kind);
  const char *path = luaL_checkstring(L, 2);
  char separator = luaL_checkstring(L, 3)[0];
  for (int i = 5; i <= 6; i++)
    if (!lua_isnoneornil(L, i) && lua_type(L, i) != LUA_TNUMBER) luaL_checkstring(L, i);
  struct filling *f = memory_zalloc(sizeof *f);
  struct buf text = {0};
  f->table = table;
  f->kind = kind;
  char *why = NULL;
  if (safe_read(path, FILE_MOST, &text)) {
    csv_begin(&f->csv, buf_len(&text) ? buf_str(&text) : (struct str){"", 0}, separator);
    why = fill(L, f, path);
    csv_end(&f->csv);
  } else {
    why = message(path, 0, safe_reason(errno));
  }
  buf_release(&text);
  buf_release(&f->row);
  for (unsigned i = 0; i < f->columns.count; i++) free((void *)f->columns.names[i].ptr);
  free(f);
  return push_true_or_owned(L, why);
}
