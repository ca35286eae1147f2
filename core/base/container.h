// SPDX-License-Identifier: Apache-2.0
// container: a callback often gets the address of a member only; this gives the struct that the member is a part of.
// The compiler warns where the pointer is not of the member's type.
#ifndef PERILUNE_BASE_CONTAINER_H
#define PERILUNE_BASE_CONTAINER_H

#include <stddef.h>

#define CONTAINER_OF(pointer, type, member)                                                                  \
  ((type *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
