// SPDX-License-Identifier: Apache-2.0
// socket_file: see the header.
#include "runtime/socket_file.h"

#include <stdio.h>

#include "base/check.h"

void socket_file_note(struct socket_file *file, const struct addr *addr, enum socket_owner owner) {
  *file = (struct socket_file){.owner = owner};
  if (addr->kind != ADDR_UNIX || !addr->socket.local.sun_path[0]) return;
  snprintf(file->path, sizeof file->path, "%.*s", (int)sizeof addr->socket.local.sun_path,
           addr->socket.local.sun_path);
  file->identity = file_identity_of(file->path);
}

void socket_file_adopt(struct socket_file *file) {
  CHECK(file->owner != OWNER_SUCCESSOR);
  if (file->owner == OWNER_PREDECESSOR) file->owner = OWNER_US;
}

void socket_file_hand_over(struct socket_file *file) {
  CHECK(file->owner != OWNER_PREDECESSOR);
  if (file->owner == OWNER_US) file->owner = OWNER_SUCCESSOR;
}

void socket_file_remove(struct socket_file *file) {
  if (file->owner == OWNER_US && file->path[0]) file_remove(file->path, file->identity);
  file->path[0] = '\0';
}
