// SPDX-License-Identifier: Apache-2.0
// check: invariants as code. The promises of headers are asserted in the builds that the tests use (INVARIANTS is set
// with the sanitizers); a release build contains no check. A check never has a side effect.
//
// An object whose pointer comes back as `void *`, as an owner or out of a list carries a magic number:
//
//   struct thing { OBJ_MAGIC; ... };
//   OBJ_INIT(thing, THING_MAGIC);        once its other members are set
//   CHECK_OBJ(thing, THING_MAGIC);       where a pointer to it comes back
//   OBJ_END(thing, THING_MAGIC);         right before it is freed, or closed for good
#ifndef PERILUNE_BASE_CHECK_H
#define PERILUNE_BASE_CHECK_H

#ifdef INVARIANTS
/* Writes the place and the condition to standard error, and aborts. */
void check_failed(const char *file, int line, const char *condition) __attribute__((noreturn, cold));
#define CHECK(condition)          ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))
#define OBJ_MAGIC                 unsigned magic
#define OBJ_INIT(object, number)  ((void)((object)->magic = (number)))
#define CHECK_OBJ(object, number) CHECK((object) && (object)->magic == (number))
#define OBJ_END(object, number)   (CHECK_OBJ(object, number), (void)((object)->magic = 0))
#else
#define CHECK(condition)          ((void)sizeof((condition) ? 1 : 0))
#define OBJ_MAGIC                 _Static_assert(1, "no magic number in a release build")
#define OBJ_INIT(object, number)  ((void)sizeof(object))
#define CHECK_OBJ(object, number) ((void)sizeof(object))
#define OBJ_END(object, number)   ((void)sizeof(object))
#endif

#endif
