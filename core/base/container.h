// SPDX-License-Identifier: Apache-2.0
// container: from a member, whose address is all that a callback gets, to the struct that it is a part of. The pointer must
// be of the member's type: another one is a warning.
#ifndef PERILUNE_BASE_CONTAINER_H
#define PERILUNE_BASE_CONTAINER_H

#include <stddef.h>

#define CONTAINER_OF(pointer, type, member)                                                                  \
  ((type *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
