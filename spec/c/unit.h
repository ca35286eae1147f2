// SPDX-License-Identifier: Apache-2.0
// unit: the smallest test frame for C units. A file spec/c/<layer>/<name>_spec.c mirrors
// core/<layer>/<name>.c:
//
//   IT("counts equal keys together") {
//     CHECK(estimator_add(e, STR("a"), 1) == 1);
//   }
//
// All files are linked into one program; it runs every IT, prints each failure with its place, and closes
// with "N passed, N failed". Units need no network and no sleep.
#ifndef PERILUNE_SPEC_UNIT_H
#define PERILUNE_SPEC_UNIT_H

#include <stdbool.h>

#include "base/check.h"
#include "base/str.h"

struct unit {
  const char *file, *sentence;
  void (*run)(void);
  struct unit *next;
};

void unit_register(struct unit *unit);
bool unit_check(bool holds, const char *file, int line, const char *expression);
bool unit_check_str(struct str got, struct str wanted, const char *file, int line);

/* A path in TMPDIR, or /tmp; short enough for a socket's address to have some more letters. */
#define UNIT_PATH_BYTES 96
void unit_temporary(char path[UNIT_PATH_BYTES], const char *name);

#define UNIT_JOIN2(a, b) a##b
#define UNIT_JOIN(a, b)  UNIT_JOIN2(a, b)
#define IT(text)                                                                                             \
  static void UNIT_JOIN(unit_run_, __LINE__)(void);                                                          \
  __attribute__((constructor)) static void UNIT_JOIN(unit_add_, __LINE__)(void) {                            \
    static struct unit unit = {__FILE__, text, UNIT_JOIN(unit_run_, __LINE__), 0};                           \
    unit_register(&unit);                                                                                    \
  }                                                                                                          \
  static void UNIT_JOIN(unit_run_, __LINE__)(void)

/* Both go on after a failure; they return whether the check held. Invariants of inline functions count as
 * failures, too. */
#undef CHECK
#define CHECK(expression)      unit_check((expression), __FILE__, __LINE__, #expression)
#define CHECK_STR(got, wanted) unit_check_str((got), str_of(wanted), __FILE__, __LINE__)

#endif
