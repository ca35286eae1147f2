// SPDX-License-Identifier: Apache-2.0
// container: a callback often gets only the address of a member; CONTAINER_OF gives the struct that contains it. The
// compiler warns if the pointer does not have the member's type.
#ifndef PERILUNE_BASE_CONTAINER_H
#define PERILUNE_BASE_CONTAINER_H

#include <stddef.h>

#define CONTAINER_OF(pointer, type, member)                                                                  \
  ((type *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
