// SPDX-License-Identifier: Apache-2.0
// Units for http/encoder.
#include "http/encoder.h"

#include "heads.h"
#include "unit.h"

static struct chunk_frame frame;
static char room[CHUNKED_HEAD_BYTES];
static const struct trailers none;

IT("puts a size before each chunk, and a line end behind it") {
  CHECK(encoder_frame(26, false, &none, room, &frame));
  CHECK_STR(frame.head, "1a\r\n");
  CHECK_STR(frame.tail, "\r\n");
}

IT("writes nothing around no payload, as an empty chunk would be the last") {
  CHECK(encoder_frame(0, false, &none, room, &frame));
  CHECK(frame.head.len == 0 && frame.tail.len == 0);
}

IT("ends the message behind the last chunk, or alone") {
  CHECK(encoder_frame(1, true, &none, room, &frame));
  CHECK_STR(frame.head, "1\r\n");
  CHECK_STR(frame.tail, "\r\n0\r\n\r\n");
  CHECK(encoder_frame(0, true, &none, room, &frame));
  CHECK(frame.head.len == 0);
  CHECK_STR(frame.tail, "0\r\n\r\n");
}

IT("sends trailers on where they are allowed, and only those that may be forwarded") {
  struct trailers t = {.section = STR_INIT("X: y\r\nContent-Length: 3\r\n\r\n"), .arena = heads_arena()};
  CHECK(encoder_frame(1, true, &t, room, &frame));
  CHECK_STR(frame.tail, "\r\n0\r\n\r\n");
  t.allowed = true;
  CHECK(encoder_frame(1, true, &t, room, &frame));
  CHECK_STR(frame.tail, "\r\n0\r\nX: y\r\n\r\n");
  CHECK(encoder_frame(0, true, &t, room, &frame));
  CHECK_STR(frame.tail, "0\r\nX: y\r\n\r\n");
  heads_free();
}

IT("sends other trailers instead, also none, and says that some must not be written") {
  struct headers fields;
  struct trailers t = {
      .allowed = true, .section = STR_INIT("X: y\r\n\r\n"), .arena = heads_arena(), .fields = &fields};
  headers_init(&fields, heads_arena());
  CHECK(encoder_frame(0, true, &t, room, &frame));
  CHECK_STR(frame.tail, "0\r\n\r\n");
  headers_add(&fields, STR("A"), STR("b"));
  CHECK(encoder_frame(0, true, &t, room, &frame));
  CHECK_STR(frame.tail, "0\r\nA: b\r\n\r\n");
  headers_add(&fields, STR("B"), STR("c\r\nEvil: d"));
  CHECK(!encoder_frame(1, true, &t, room, &frame));
  heads_free();
}
