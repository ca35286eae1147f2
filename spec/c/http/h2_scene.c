// SPDX-License-Identifier: Apache-2.0
#include "http/h2_scene.h"

#include "unit.h"

struct h2_config config_of(bool is_server) {
  return (struct h2_config){.is_server = is_server,
                            .streams = 10,
                            .stream_window = 65535,
                            .window_most = 1 << 20,
                            .held_bytes = 1 << 20,
                            .out_bytes = 1 << 16,
                            .head = {.head_bytes = 8192, .target_bytes = 1024, .fields = 50},
                            .allowances = {{20, 0}, {100, 0}}};
}

struct scene new_scene(void) {
  struct h2_config client = config_of(false), server = config_of(true);
  return (struct scene){h2_session_new(&client, 0), h2_session_new(&server, 0), {0}};
}

void end_scene(struct scene *scene) {
  h2_session_free(scene->client);
  h2_session_free(scene->server);
  arena_free(&scene->arena);
}

/* Carries bytes to and fro until none are left. Two sessions must never find a fault in each other. */
void talk(struct scene *scene) {
  struct h2_session *ends[] = {scene->client, scene->server};
  for (int quiet = 0, i = 0; quiet < 2; i = !i) {
    h2_session_send(ends[i]);
    struct buf *out = h2_session_out(ends[i]);
    size_t count = buf_len(out);
    quiet = count ? 0 : quiet + 1;
    if (count) CHECK(h2_session_receive(ends[!i], buf_ptr(out), count, 0));
    buf_consume(out, count);
  }
}

struct h2_stream *news_of(struct h2_session *s, unsigned *news) {
  *news = 0;
  return h2_session_next(s, news);
}

struct h2_fields get(struct arena *arena, struct str target) {
  struct request request = {
      .method = METHOD_GET, .method_name = STR_INIT("GET"), .target = target, .authority = STR_INIT("h")};
  headers_init(&request.headers, arena);
  return h2_fields_of_request(arena, &request, (struct body){0}, STR("http"));
}

struct h2_fields answer(struct arena *arena, unsigned short status) {
  struct response response = {.status = status};
  headers_init(&response.headers, arena);
  return h2_fields_of_response(arena, &response, (struct body){0});
}

/* Opens a stream, whose head the server has read. */
struct h2_stream *ask(struct scene *scene, bool ends, struct h2_stream **at_server) {
  unsigned news;
  struct request request;
  struct h2_fields fields = get(&scene->arena, STR("/x"));
  struct h2_stream *stream = h2_session_request(scene->client, &fields, METHOD_GET, ends, &scene->arena);
  talk(scene);
  *at_server = news_of(scene->server, &news);
  if (!CHECK(stream && *at_server && news == (H2_NEWS_HEAD | (ends ? H2_NEWS_END : 0)))) return NULL;
  CHECK(h2_head_request(h2_stream_head(*at_server), false, &request) == ERROR_NONE);
  CHECK_STR(request.target, "/x");
  return stream;
}

size_t write_text(struct h2_stream *stream, const char *bytes, size_t count, bool ends) {
  struct str part = {bytes, count};
  return h2_stream_write(stream, &part, 1, ends);
}
