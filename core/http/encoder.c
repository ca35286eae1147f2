// SPDX-License-Identifier: Apache-2.0
// encoder: most messages have no trailers, and their last chunk is static text.
#include "http/encoder.h"

#include "http/framing.h"
#include "http/parser.h"
#include "http/writer.h"

#define LAST_CHUNK "0\r\n\r\n"

enum { TRAILER_FIELDS = 100 };

void trailers_read(const struct trailers *t, struct headers *kept) {
  struct parser_limits limits = {.head_bytes = CHUNKED_TRAILER_BYTES, .fields = TRAILER_FIELDS};
  struct headers all;
  headers_init(kept, t->arena);
  if (t->received)
    all = *t->received;
  else if (!t->section.len || !parser_trailers(t->section, t->arena, &limits, &all))
    return;
  for (unsigned i = 0; i < all.count; i++)
    if (framing_trailer_is_allowed(&all.items[i], t->nominated))
      headers_add(kept, all.items[i].name, all.items[i].value);
}

static bool has_any(const struct trailers *t) {
  return t->allowed && (t->fields || t->received || t->section.len);
}

bool trailers_settle(struct trailers *t) {
  if (!has_any(t)) {
    t->fields = NULL;
    return true;
  }
  if (!t->fields) trailers_read(t, t->fields = arena_alloc(t->arena, sizeof *t->fields));
  return writer_trailers(t->arena, t->fields).ptr != NULL;
}

/* Behind `gap`, which ends the chunk before it. ptr NULL: they must not be written. */
static struct str end_with_trailers(const struct trailers *t, const char *gap) {
  struct headers received, *kept = t->fields;
  if (!kept) trailers_read(t, kept = &received);
  struct str fields = writer_trailers(t->arena, kept);
  if (!fields.ptr) return fields;
  return arena_printf(t->arena, "%s0\r\n%.*s", gap, STR_ARG(fields));
}

static struct str end_of_message(const struct trailers *t, bool follows_chunk) {
  if (has_any(t)) return end_with_trailers(t, follows_chunk ? "\r\n" : "");
  return follows_chunk ? STR("\r\n" LAST_CHUNK) : STR(LAST_CHUNK);
}

bool encoder_frame(size_t payload, bool ends, const struct trailers *trailers, char room[CHUNKED_HEAD_BYTES],
                   struct chunk_frame *frame) {
  char *end = room + CHUNKED_HEAD_BYTES, *start = payload ? chunked_head(end, payload) : end;
  frame->head = (struct str){start, (size_t)(end - start)};
  frame->tail = payload ? STR("\r\n") : (struct str){0};
  if (!ends) return true;
  struct str tail = end_of_message(trailers, payload > 0);
  if (tail.ptr) frame->tail = tail;
  return tail.ptr != NULL;
}
