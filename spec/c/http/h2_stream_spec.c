// SPDX-License-Identifier: Apache-2.0
// h2_stream: bodies that come in, and what their user may rely on.
#include "http/h2_scene.h"
#include "unit.h"

IT("leaves the body that its user looks at where it is, whatever comes behind it") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, false, &served);
  static char body[30000];
  unsigned news;
  memset(body, 'x', sizeof body);
  write_text(stream, "first", 5, false);
  talk(&scene);
  CHECK(news_of(scene.server, &news) == served && news == H2_NEWS_DATA);
  const char *first = buf_ptr(&served->in);
  write_text(stream, body, sizeof body, true);
  talk(&scene);
  CHECK(buf_ptr(&served->in) == first && buf_len(&served->in) == 5 && !h2_stream_is_all(served));
  h2_stream_used(served, 5);
  CHECK(buf_len(&served->in) == sizeof body && h2_stream_is_all(served));
  while (news_of(scene.server, &news)) continue;
  h2_stream_release(served);
  h2_stream_release(stream);
  end_scene(&scene);
}

/* Reads as fast as it comes, so that windows may grow. */
static void download(struct scene *scene, struct h2_stream *served, struct h2_stream *stream) {
  static char body[1 << 18];
  for (int i = 0; i < 8; i++) {
    write_text(served, body, sizeof body, false);
    talk(scene);
    h2_stream_used(stream, buf_len(&stream->in));
    talk(scene);
  }
}

IT("grows windows by what all sessions of a worker may grow, and gives that back") {
  size_t spare = 200000;
  struct scene scene = new_scene();
  struct h2_config client = config_of(false);
  unsigned news;
  h2_session_free(scene.client);
  client.spare = &spare;
  scene.client = h2_session_new(&client, 0);
  struct h2_stream *served, *stream = ask(&scene, true, &served), *other_served,
                            *other = ask(&scene, true, &other_served);
  struct h2_fields head = answer(&scene.arena, 200);
  h2_stream_send_head(served, &head, false, false);
  h2_stream_send_head(other_served, &head, false, false);
  download(&scene, served, stream);
  CHECK(stream->window == 4 * 65535 && spare == 200000 - 3 * 65535);
  download(&scene, other_served, other);
  CHECK(other->window == 65535 && spare == 200000 - 3 * 65535);
  while (news_of(scene.client, &news)) continue;
  h2_stream_release(stream);
  CHECK(spare == 200000);
  while (news_of(scene.server, &news)) continue;
  h2_stream_release(served);
  h2_stream_release(other_served);
  h2_stream_release(other);
  end_scene(&scene);
}

IT("holds each response's head to the limits of its own request") {
  struct scene scene = new_scene();
  struct parser_limits narrow = {.head_bytes = 60, .fields = 50};
  struct h2_stream *served, *stream = ask(&scene, true, &served);
  unsigned news;
  struct response response = {.status = 200}, got;
  headers_init(&response.headers, &scene.arena);
  headers_add(&response.headers, STR("X-Long"), STR("0123456789012345678901234567890123456789"));
  struct h2_fields head = h2_fields_of_response(&scene.arena, &response, (struct body){0});
  h2_stream_limit(stream, &narrow);
  h2_stream_send_head(served, &head, false, true);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == stream && news & H2_NEWS_HEAD);
  CHECK(h2_head_response(h2_stream_head(stream), METHOD_GET, &got) != ERROR_NONE);
  h2_stream_release(served);
  h2_stream_release(stream);
  end_scene(&scene);
}

IT("opens one stream before the other side has said how many it takes, and as many as that then") {
  struct h2_config client = config_of(false);
  client.streams = 1;
  struct h2_session *s = h2_session_new(&client, 0);
  struct arena arena = {0};
  struct h2_fields fields = get(&arena, STR("/x"));
  bool is_settled;
  CHECK(h2_session_room(s) == 1 && h2_session_limit(s, &is_settled) == 0 && !is_settled);
  struct h2_stream *stream = h2_session_request(s, &fields, METHOD_GET, true, &arena);
  CHECK(stream && h2_session_room(s) == 0);
  CHECK(h2_session_receive(s, "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x05", 15, 0));
  CHECK(h2_session_room(s) == 4 && h2_session_limit(s, &is_settled) == 5 && is_settled);
  CHECK(h2_session_receive(s, "\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 17, 0)); /* GOAWAY(0) */
  unsigned news;
  CHECK(h2_session_is_leaving(s) && h2_session_room(s) == 0);
  CHECK(news_of(s, &news) == stream && news == H2_NEWS_RESET && stream->was_refused);
  h2_stream_release(stream);
  h2_session_free(s);
  arena_free(&arena);
}

IT("forgets a request that is given up before it was sent, and tells of one that may not be sent any more") {
  struct h2_config client = config_of(false);
  struct h2_session *s = h2_session_new(&client, 0);
  struct arena arena = {0};
  struct h2_fields fields = get(&arena, STR("/x"));
  unsigned news;
  CHECK(h2_session_receive(s, "\0\0\0\x04\0\0\0\0\0", 9, 0));
  struct h2_stream *given_up = h2_session_request(s, &fields, METHOD_GET, true, &arena);
  h2_stream_release(given_up);
  size_t before = buf_len(h2_session_out(s));
  CHECK(h2_session_send(s) && buf_len(h2_session_out(s)) == before);
  struct h2_stream *late = h2_session_request(s, &fields, METHOD_POST, true, &arena);
  CHECK(h2_session_receive(s, "\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 17, 0)); /* GOAWAY(0) */
  CHECK(news_of(s, &news) == late && news == H2_NEWS_RESET && late->was_refused);
  h2_stream_release(late);
  CHECK(h2_session_streams(s) == 0);
  h2_session_free(s);
  arena_free(&arena);
}

IT("knows which requests cannot have reached the other side, and does not make them wait when that goes "
   "away") {
  struct h2_config client = config_of(false);
  client.out_bytes = 8;
  struct h2_session *s = h2_session_new(&client, 0);
  struct arena arena = {0};
  struct h2_fields fields = get(&arena, STR("/x"));
  struct buf *out = h2_session_out(s);
  unsigned news;
  size_t before = 0;
  CHECK(h2_session_receive(s, "\0\0\0\x04\0\0\0\0\0", 9, 0));
  for (size_t count; h2_session_send(s) && (count = buf_len(out)); before += count) buf_consume(out, count);
  struct h2_stream *stream[3];
  for (int i = 0; i < 3; i++) stream[i] = h2_session_request(s, &fields, METHOD_POST, true, &arena);
  h2_session_send(s);
  size_t made = before + buf_len(out);
  CHECK(!h2_stream_is_unsent(stream[0], made) && h2_stream_is_unsent(stream[0], before));
  CHECK(h2_stream_is_unsent(stream[2], made));
  CHECK(h2_session_receive(s, "\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0", 17, 0)); /* GOAWAY(1) */
  unsigned refused = 0;
  while (news_of(s, &news)) refused++;
  CHECK(refused == 2 && !stream[0]->was_refused && stream[1]->was_refused && stream[2]->was_refused);
  for (int i = 0; i < 3; i++) h2_stream_release(stream[i]);
  h2_session_free(s);
  arena_free(&arena);
}
