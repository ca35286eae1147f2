// SPDX-License-Identifier: Apache-2.0
// profile_stack: written from the end of the room to its front, since Lua shows the innermost frame first. A stack that
// has no room loses its outermost frames.
#include "lua/vm/profile_stack.h"

#include <stdio.h>
#include <string.h>

#include "exchange/hooks.h"
#include "lua/vm/handle.h"
#include "lua/vm/previous_line.h"
#include "lua/vm/vm.h"

enum { FRAMES_MOST = 100, FRAME_BYTES = 160, ROOT_BYTES = 64 };

struct writing {
  char *room, *begin; /* what is written so far: from `begin` to the room's end */
  bool is_cut;
};

/* What would end a frame, a stack or a line is no part of a name. */
static void clean(char *text) {
  for (; *text; text++)
    if (*text == ';' || (unsigned char)*text < ' ' || *text == 0x7f) *text = '?';
}

static void put(struct writing *w, const char *frame, size_t length) {
  if (*w->begin) *--w->begin = ';';
  w->begin -= length;
  memcpy(w->begin, frame, length);
}

/* There is always room for the root. */
static void prepend(struct writing *w, char *frame) {
  size_t length = strlen(frame);
  clean(frame);
  if (!w->is_cut && w->begin - w->room >= (ptrdiff_t)(length + ROOT_BYTES))
    put(w, frame, length);
  else
    w->is_cut = true;
}

/* The path as a reader knows it. */
static const char *short_path(const struct vm *vm, const char *source) {
  struct str path = str_of(*source == '@' || *source == '=' ? source + 1 : source);
  static const char ours[] = "/lua/", scripts[] = "/";
  if (handle_is_own_source(vm, source)) {
    const char *behind = path.ptr + vm->library.len;
    return strncmp(behind, ours, sizeof ours - 1) == 0 ? behind + sizeof ours - 1
                                                       : behind + sizeof scripts - 1;
  }
  return vm->directory.len && str_starts_with(path, vm->directory) ? path.ptr + vm->directory.len : path.ptr;
}

static void prepend_line(struct writing *w, const struct vm *vm, const lua_Debug *at) {
  char frame[FRAME_BYTES], line[32] = "";
  if (strcmp(at->source, "=perilune") == 0) return; /* how we call what is called */
  const char *path = *at->source == '@' || *at->source == '=' ? short_path(vm, at->source) : "(a text)";
  size_t length = strlen(path), most = FRAME_BYTES / 2;
  if (at->currentline > 0) snprintf(line, sizeof line, ":%d", at->currentline);
  snprintf(frame, sizeof frame, "%s%s%s%.40s", length > most ? path + length - most : path, line,
           at->name ? " " : "", at->name ? at->name : "");
  prepend(w, frame);
}

static void prepend_c(struct writing *w, const lua_Debug *at) {
  char frame[FRAME_BYTES];
  snprintf(frame, sizeof frame, "[C]%s%.60s", at->name ? " " : "", at->name ? at->name : "");
  prepend(w, frame);
}

static void prepend_all(struct writing *w, const struct vm *vm, lua_State *L, bool was_in_c) {
  lua_Debug at;
  for (int level = 0; level < FRAMES_MOST && lua_getstack(L, level, &at); level++) {
    if (!lua_getinfo(L, "nSl", &at)) continue;
    if (was_in_c && level == 0 && at.currentline > 0) at.currentline = previous_line(L, &at);
    if (*at.what == 'C')
      prepend_c(w, &at);
    else
      prepend_line(w, vm, &at);
  }
}

static const char *root_of(unsigned hook) {
  return hook == TASK_NO_HOOK || hook >= HOOK_COUNT ? "background" : hook_name((enum hook)hook);
}

struct str profile_stack(struct vm *vm, const struct profile_at *at, char room[PROFILE_STACK_BYTES]) {
  char *end = room + PROFILE_STACK_BYTES - 1, text[FRAME_BYTES];
  struct writing w = {room, end, false};
  *end = '\0';
  if (at->leaf) prepend(&w, strcpy(text, at->leaf));
  prepend_all(&w, vm, at->L, at->was_in_c);
  if (at->outer && at->outer != at->L) prepend_all(&w, vm, at->outer, false);
  int length = snprintf(text, sizeof text, "%.40s%s", root_of(at->hook), w.is_cut ? ";..." : "");
  put(&w, text, (size_t)length);
  return (struct str){w.begin, (size_t)(end - w.begin)};
}

struct str profile_stack_late(unsigned hook, const char *place, char room[PROFILE_STACK_BYTES]) {
  int length = snprintf(room, PROFILE_STACK_BYTES, "%.40s%s%.100s;[C] in its last call", root_of(hook),
                        place ? ";" : "", place ? place : "");
  return (struct str){room, (size_t)length};
}
