// SPDX-License-Identifier: Apache-2.0
// options: Lua tables of options into C structs, driven by a table: a new option is one line in it. A name
// that is not in the table is an error that names it and lists the valid ones.
#ifndef PERILUNE_LUA_OPTIONS_H
#define PERILUNE_LUA_OPTIONS_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;

enum option_kind {
  OPTION_TEXT,         /* struct str, borrowed from the table */
  OPTION_FILE,         /* struct str in arena memory, relative to the script */
  OPTION_PEM,          /* the same, or PEM text itself, which is borrowed from the table */
  OPTION_LOG,          /* struct str in arena memory: a file, or a word that stands for a log; false: empty */
  OPTION_SECONDS,      /* unsigned ms; more than 0 */
  OPTION_POOL_SECONDS, /* unsigned ms; 0 and false: PEER_NO_POOL */
  OPTION_COUNT,        /* unsigned */
  OPTION_POSITIVE,     /* unsigned, more than 0 */
  OPTION_SIZE,         /* size_t, more than 0 */
  OPTION_BYTES,        /* uint64_t */
  OPTION_SMALL,        /* unsigned char, 0..2 */
  OPTION_FLAG,         /* bool */
  OPTION_UNLESS,       /* bool, with the opposite meaning */
  OPTION_WORD,         /* enum: the position in `words` */
  OPTION_LENIENT,      /* unsigned: PEER_LENIENT, and what of http/lenient.h is allowed */
  OPTION_TABLE,        /* a table, which somebody else reads */
  OPTION_ANY,          /* somebody else reads and checks it */
  OPTION_CACHE         /* const struct cache_rules *, of the handle, which must stay */
};

struct option {
  const char *name;
  enum option_kind kind;
  size_t offset;            /* in the struct to fill in */
  const char *const *words; /* of OPTION_WORD, closed by NULL; of a table: what a message says of its form */
};

/* What is meant by a name that is no option of this set, but one elsewhere: in other proxies, or of another call. */
struct option_hint {
  const char *name, *says;
};

struct option_set {
  const struct option *options;
  unsigned count;
  const struct option_hint *hints; /* closed by a NULL; NULL: none */
};
#define OPTION_SET_HINTS(options, hints)                                                                     \
  { (options), sizeof(options) / sizeof *(options), (hints) }
#define OPTION_SET(options) OPTION_SET_HINTS(options, NULL)

/* The members tls, sni, no_verify, verify_name and ca of a struct that says how to connect. */
#define OPTIONS_TLS(type)                                                                                    \
  {"tls", OPTION_FLAG, offsetof(type, tls), NULL}, {"sni", OPTION_TEXT, offsetof(type, sni), NULL},          \
      {"verify", OPTION_UNLESS, offsetof(type, no_verify), NULL},                                            \
      {"verify_name", OPTION_TEXT, offsetof(type, verify_name), NULL}, {                                     \
    "ca", OPTION_FILE, offsetof(type, ca), NULL                                                              \
  }

/* The words of enum resolver_family. */
extern const char *const option_families[];

/* Fills in what the table at `index` has. False: pushes a message that names the option. -0 +0 | -0 +1 */
bool options_read(lua_State *L, int index, const struct option_set *set, void *into, struct arena *arena);
/* For `perilune check`: pushes what is wrong with the table at `index`; nil: nothing. -0 +1 */
int options_fault(lua_State *L, int index, const struct option_set *set, void *scratch);
/* options_read without a message, for where nothing may raise. False: the option that does not fit is on the
 * stack. -0 +0 | -0 +2 */
bool options_take(lua_State *L, int index, const struct option_set *set, void *into, struct arena *arena);

#endif
