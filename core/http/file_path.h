// SPDX-License-Identifier: Apache-2.0
// file_path: the path of a file that a request's target names, below some root: without percent signs, and such that it
// cannot lead out of there. Pure functions of text.
#ifndef PERILUNE_HTTP_FILE_PATH_H
#define PERILUNE_HTTP_FILE_PATH_H

#include "base/arena.h"
#include "base/str.h"

enum { FILE_PATH_MOST = 4096 };

struct file_path {
  struct str path; /* "a/b.html", "a/" or "": relative, terminated; arena */
  bool is_folder;  /* it is empty, or ends with a slash */
  bool is_hidden;  /* a part begins with a dot */
};

/* Of "/a/b.html?query". False: no file can be meant: "..", an encoded slash or NUL, broken percent signs, too long. */
bool file_path_read(struct str target, struct arena *arena, struct file_path *path);
/* For a Location: the path as a reference that begins with exactly one slash, with what a URL does not have encoded. */
struct str file_path_reference(struct str path, struct arena *arena);

#endif
