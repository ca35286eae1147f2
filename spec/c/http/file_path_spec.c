// SPDX-License-Identifier: Apache-2.0
// Units for http/file_path and http/media_type.
#include "http/file_path.h"

#include <stdio.h>

#include "http/media_type.h"
#include "unit.h"

/* "path" with "/" behind a folder's and "." before a hidden one's; "-": refused. */
static struct str read(const char *target, struct arena *arena) {
  struct file_path path;
  if (!file_path_read(str_of(target), arena, &path)) return STR("-");
  return arena_printf(arena, "%s%.*s%s", path.is_hidden ? "H " : "", STR_ARG(path.path),
                      path.is_folder ? " F" : "");
}

IT("makes the path of a file of a target, and knows folders and hidden names") {
  static const char *const samples[][2] = {
      {"/", " F"},
      {"/a", "a"},
      {"/a/b.html?x=/../y", "a/b.html"},
      {"/a/", "a/ F"},
      {"//a///b//", "a/b/ F"},
      {"/./a/./b/.", "a/b/ F"},
      {"/a%20b/%C3%A4", "a b/\303\244"},
      {"/%61%2e", "a."},
      {"/.git/x", "H .git/x"},
      {"/a/%2egit", "H a/.git"},
      {"/a/...", "H a/..."},
      {"/a..b", "a..b"},
      {"/%25", "%"},
  };
  for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
    struct arena arena;
    arena_init(&arena);
    if (!CHECK_STR(read(samples[i][0], &arena), samples[i][1])) printf("%s\n", samples[i][0]);
    arena_free(&arena);
  }
}

IT("refuses what leads elsewhere, or means nothing") {
  static const char *const samples[] = {"",      "*",       "a",       "/..",    "/../a",  "/a/../b",
                                        "/a/..", "/%2e%2e", "/%2E./a", "/.%2e/", "/a%2fb", "/%00",
                                        "/a%00", "/%",      "/%2",     "/%zz",   "/%2f..", "http://a/"};
  for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
    struct arena arena;
    arena_init(&arena);
    if (!CHECK_STR(read(samples[i], &arena), "-")) printf("%s\n", samples[i]);
    arena_free(&arena);
  }
}

IT("writes references that begin with one slash, and lead to no other host") {
  struct arena arena;
  arena_init(&arena);
  CHECK_STR(file_path_reference(str_of("a b/\"<\303\244>/c"), &arena), "/a%20b/%22%3C%C3%A4%3E/c");
  CHECK_STR(file_path_reference(str_of("\\evil"), &arena), "/%5Cevil");
  CHECK_STR(file_path_reference(str_of("a?b#c%d"), &arena), "/a%3Fb%23c%25d");
  arena_free(&arena);
}

IT("knows types by the end of the name, in any case") {
  CHECK_STR(media_type_of(str_of("a/INDEX.HtmL")), "text/html; charset=utf-8");
  CHECK_STR(media_type_of(str_of("x.7z")), "application/x-7z-compressed");
  CHECK_STR(media_type_of(str_of("x.zst")), "application/zstd");
  CHECK_STR(media_type_of(str_of("x.js")), "text/javascript; charset=utf-8");
  CHECK_STR(media_type_of(str_of("x.json")), "application/json");
  CHECK_STR(media_type_of(str_of("x.jso")), "application/octet-stream");
  CHECK_STR(media_type_of(str_of("a.html/x")), "application/octet-stream");
  CHECK_STR(media_type_of(str_of("")), "application/octet-stream");
}
