// SPDX-License-Identifier: Apache-2.0
// h2_output: header blocks inside frames.
#include "http/h2_scene.h"
#include "unit.h"

static struct h2_fields with_long_value(struct arena *arena, size_t bytes) {
  struct h2_fields fields = get(arena, STR("/"));
  struct h2_field *items = arena_alloc(arena, (fields.count + 1) * sizeof *items);
  char *value = arena_alloc(arena, bytes);
  memset(value, 'v', bytes);
  memcpy(items, fields.items, fields.count * sizeof *items);
  items[fields.count] = (struct h2_field){STR("x-long"), {value, bytes}, false};
  return (struct h2_fields){items, fields.count + 1};
}

/* RFC 9113 section 6.10; the lengths are around those at which a frame more is needed. */
IT("goes on in CONTINUATION where a block is longer than a frame") {
  static const size_t lengths[] = {16300, 16330, 16384, 32600, 32768, 33000, 50000};
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    struct h2_config client = config_of(false), server = config_of(true);
    client.head.head_bytes = server.head.head_bytes = 65536;
    server.heads_bytes = 0;
    struct scene scene = {.client = h2_session_new(&client, 0), .server = h2_session_new(&server, 0)};
    unsigned news;
    talk(&scene);
    for (int again = 0; again < 2; again++) {
      struct h2_fields fields = with_long_value(&scene.arena, lengths[i] + (size_t)again);
      struct h2_stream *stream = h2_session_request(scene.client, &fields, METHOD_GET, true, &scene.arena);
      talk(&scene);
      struct h2_stream *served = h2_session_next(scene.server, &news);
      CHECK(stream && served);
      if (!served) break;
      struct h2_head *head = h2_stream_head(served);
      CHECK(head->error == ERROR_NONE);
      const struct field *field = headers_find(&head->headers, STR("x-long"));
      CHECK(field && field->value.len == lengths[i] + (size_t)again);
      h2_stream_release(served);
      h2_stream_release(stream);
      talk(&scene);
    }
    end_scene(&scene);
  }
}

/* The client's next response, which the server's encoder has seen before or not; how many bytes it had. */
static size_t respond(struct scene *scene, struct h2_stream *stream, struct h2_stream *served) {
  struct h2_field items[] = {{STR(":status"), STR("200"), false}, {STR("x-served-by"), STR("bench"), false}};
  struct h2_fields head = {items, 2};
  unsigned news;
  h2_stream_send_head(served, &head, false, true);
  h2_session_send(scene->server);
  size_t bytes = buf_len(h2_session_out(scene->server));
  talk(scene);
  CHECK(news_of(scene->client, &news) == stream && news & H2_NEWS_END);
  h2_stream_release(served);
  h2_stream_release(stream);
  talk(scene);
  return bytes;
}

/* RFC 7541 section 4.2. */
IT("says that its table is smaller where the other side's SETTINGS want that, and uses none of it") {
  enum { SETTINGS = 4, TABLE_SIZE = 1, HEAD = 9, INDEXED = HEAD + 2, LITERAL = HEAD + 20 };
  const char none[] = {0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, TABLE_SIZE, 0, 0, 0, 0};
  struct scene scene = new_scene();
  struct h2_stream *served, *stream;
  for (int i = 0; i < 5; i++) {
    stream = ask(&scene, true, &served);
    CHECK((respond(&scene, stream, served) == INDEXED) == (i >= 2));
  }
  stream = ask(&scene, true, &served);
  CHECK(h2_session_receive(scene.server, none, sizeof none, 0));
  struct buf *out = h2_session_out(scene.server);
  buf_consume(out, buf_len(out)); /* the acknowledgement, of what the client did not say */
  CHECK(respond(&scene, stream, served) == LITERAL + 1);
  for (int i = 0; i < 5; i++) {
    stream = ask(&scene, true, &served);
    CHECK(respond(&scene, stream, served) == LITERAL);
  }
  end_scene(&scene);
}
