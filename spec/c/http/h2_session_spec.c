// SPDX-License-Identifier: Apache-2.0
// h2_session: two sessions that talk to each other, and one that hears raw frames (RFC 9113).
#include "http/h2_scene.h"
#include "unit.h"

IT("carries a request and its response, and forgets the stream") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, true, &served);
  unsigned news;
  struct response response;
  struct h2_fields head = answer(&scene.arena, 200), interim = answer(&scene.arena, 103);
  h2_stream_send_head(served, &interim, true, false);
  h2_stream_send_head(served, &head, false, false);
  CHECK(write_text(served, "hello", 5, true) == 5);
  h2_stream_release(served);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == stream && news == (H2_NEWS_HEAD | H2_NEWS_DATA | H2_NEWS_END));
  CHECK(h2_head_response(h2_stream_head(stream), METHOD_GET, &response) == ERROR_NONE &&
        response.status == 103);
  CHECK(h2_head_response(h2_stream_head(stream), METHOD_GET, &response) == ERROR_NONE &&
        response.status == 200);
  CHECK(!h2_stream_head(stream));
  CHECK_STR(buf_str(&stream->in), "hello");
  h2_stream_used(stream, 5);
  h2_stream_release(stream);
  CHECK(!news_of(scene.client, &news) && h2_session_streams(scene.client) == 0 &&
        h2_session_streams(scene.server) == 0);
  end_scene(&scene);
}

IT("carries trailers both ways, also where the window is shut") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, false, &served);
  static char body[65535];
  struct headers trailers;
  unsigned news;
  memset(body, 'x', sizeof body);
  headers_init(&trailers, &scene.arena);
  headers_add(&trailers, STR("X-Sum"), STR("7"));
  struct h2_fields fields = h2_fields_of_trailers(&scene.arena, &trailers), head = answer(&scene.arena, 200);
  CHECK(write_text(stream, body, sizeof body, false) == sizeof body); /* all of the window */
  h2_stream_end(stream, &fields);
  talk(&scene);
  CHECK(news_of(scene.server, &news) == served && news == (H2_NEWS_DATA | H2_NEWS_END));
  CHECK(buf_len(&served->in) == sizeof body && served->trailers.count == 1);
  CHECK_STR(served->trailers.items[0].name, "x-sum");
  h2_stream_send_head(served, &head, false, false);
  h2_stream_end(served, &fields);
  h2_stream_release(served);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == stream && news == (H2_NEWS_HEAD | H2_NEWS_END));
  CHECK_STR(stream->trailers.items[0].value, "7");
  h2_stream_release(stream);
  end_scene(&scene);
}

IT("takes no more than the window, and tells when there is room again") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, false, &served);
  static char body[100000];
  unsigned news;
  size_t first = write_text(stream, body, sizeof body, true);
  CHECK(first == 65535);
  talk(&scene);
  CHECK(!news_of(scene.client, &news));
  CHECK(news_of(scene.server, &news) == served);
  h2_stream_used(served, buf_len(&served->in));
  talk(&scene);
  CHECK(news_of(scene.client, &news) == stream && news == H2_NEWS_ROOM);
  CHECK(write_text(stream, body, sizeof body - first, true) == sizeof body - first);
  talk(&scene);
  CHECK(news_of(scene.server, &news) == served && news & H2_NEWS_END);
  CHECK(served->taken == sizeof body);
  h2_stream_release(served);
  h2_stream_release(stream);
  end_scene(&scene);
}

IT("lets one stalled stream stop no other") {
  struct scene scene = new_scene();
  struct h2_stream *stalled_served, *stalled = ask(&scene, false, &stalled_served);
  struct h2_stream *served, *stream = ask(&scene, false, &served);
  static char body[65535];
  unsigned news;
  CHECK(write_text(stalled, body, sizeof body, false) == sizeof body);
  talk(&scene);
  for (int i = 0; i < 40; i++) {
    CHECK(write_text(stream, body, 60000, false) == 60000);
    talk(&scene);
    h2_stream_used(served, buf_len(&served->in));
    talk(&scene);
  }
  while (news_of(scene.server, &news)) continue;
  h2_stream_release(stalled_served);
  h2_stream_release(served);
  h2_stream_release(stalled);
  h2_stream_release(stream);
  end_scene(&scene);
}

IT("widens the window of a reader that keeps up") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, false, &served);
  static char body[1 << 18];
  for (int i = 0; i < 8; i++) {
    write_text(stream, body, sizeof body, false);
    talk(&scene);
    h2_stream_used(served, buf_len(&served->in));
    talk(&scene);
  }
  CHECK(served->window > 65535);
  h2_stream_release(served);
  h2_stream_release(stream);
  end_scene(&scene);
}

/* As much of `most` as the windows let out; all that waits at the server is read, or nothing. */
static size_t upload(struct scene *scene, struct h2_stream *from, struct h2_stream *to, size_t most,
                     bool reads) {
  static char bytes[4096];
  size_t sent = 0;
  for (size_t moved = 1; moved && sent < most; sent += moved) {
    moved = write_text(from, bytes, sizeof bytes, false);
    talk(scene);
    if (reads) h2_stream_used(to, buf_len(&to->in));
    talk(scene);
  }
  return sent;
}

IT("widens the window of a connection for bodies that are used, and for no others") {
  struct h2_config client = config_of(false), server = config_of(true);
  server.stream_window = server.window_most = 1 << 20;
  server.held_bytes = 0;
  server.connection_window = 131072;
  server.connection_most = 400000;
  for (int reads = 0; reads < 2; reads++) {
    struct scene scene = {h2_session_new(&client, 0), h2_session_new(&server, 0), {0}};
    struct h2_stream *at_server, *stream = ask(&scene, false, &at_server);
    if (reads) CHECK(upload(&scene, stream, at_server, 1 << 20, true) == 1 << 20);
    size_t left =
        upload(&scene, stream, at_server, 1 << 20, false); /* half a window may be given back later */
    CHECK(reads ? left > 200000 && left <= 400000 : left == 131072);
    h2_stream_release(stream);
    talk(&scene);
    h2_stream_release(at_server);
    end_scene(&scene);
  }
}

IT("passes a reset with its code, and disturbs no sibling") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, false, &served), *other_served,
                            *other = ask(&scene, true, &other_served);
  unsigned news;
  struct h2_fields head = answer(&scene.arena, 204);
  h2_stream_reset(stream, H2_CANCEL);
  h2_stream_release(stream);
  talk(&scene);
  CHECK(news_of(scene.server, &news) == served && news == H2_NEWS_RESET && served->code == H2_CANCEL);
  h2_stream_release(served);
  h2_stream_send_head(other_served, &head, false, true);
  h2_stream_release(other_served);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == other && news == (H2_NEWS_HEAD | H2_NEWS_END));
  h2_stream_release(other);
  end_scene(&scene);
}

IT("ends an early answer with NO_ERROR behind it, so that the client keeps the answer") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, false, &served);
  unsigned news;
  struct h2_fields head = answer(&scene.arena, 413);
  h2_stream_send_head(served, &head, false, true);
  h2_stream_release(served);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == stream && news == (H2_NEWS_HEAD | H2_NEWS_END | H2_NEWS_RESET));
  CHECK(stream->code == H2_NO_ERROR);
  h2_stream_release(stream);
  end_scene(&scene);
}

IT("refuses a stream too many, which is safe to try elsewhere") {
  struct scene scene = new_scene();
  struct h2_stream *streams[11];
  unsigned news;
  struct h2_fields fields = get(&scene.arena, STR("/x"));
  for (int i = 0; i < 10; i++)
    streams[i] = h2_session_request(scene.client, &fields, METHOD_GET, false, &scene.arena);
  talk(&scene);
  CHECK(h2_session_room(scene.client) == 0);
  CHECK(!h2_session_request(scene.client, &fields, METHOD_GET, true, &scene.arena));
  CHECK(h2_session_streams(scene.server) == 10);
  for (struct h2_stream *served; (served = news_of(scene.server, &news));) h2_stream_release(served);
  for (int i = 0; i < 10; i++) h2_stream_release(streams[i]);
  talk(&scene);
  CHECK(h2_session_room(scene.client) == 10);
  end_scene(&scene);
}

IT("leaves in good order: what runs goes on, what comes later was not acted on") {
  struct scene scene = new_scene();
  struct h2_stream *served, *stream = ask(&scene, true, &served);
  unsigned news;
  struct h2_fields fields = get(&scene.arena, STR("/late")), head = answer(&scene.arena, 200);
  struct h2_stream *late = h2_session_request(scene.client, &fields, METHOD_POST, true, &scene.arena);
  h2_session_end(scene.server, H2_NO_ERROR);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == late && news == H2_NEWS_RESET && late->was_refused);
  CHECK(h2_session_room(scene.client) == 0);
  h2_stream_release(late);
  h2_stream_send_head(served, &head, false, true);
  h2_stream_release(served);
  talk(&scene);
  CHECK(news_of(scene.client, &news) == stream && news == (H2_NEWS_HEAD | H2_NEWS_END));
  h2_stream_release(stream);
  CHECK(h2_session_is_over(scene.server) && h2_session_is_over(scene.client));
  end_scene(&scene);
}

/* --- raw frames -------------------------------------------------------------------------------- */

#define PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\x04\0\0\0\0\0"
/* :method GET, :scheme http, :path /, :authority h, of the static table */
#define BLOCK              "\x82\x86\x84\x01\x01h"
#define HEADERS(flags, id) "\0\0\x06\x01" flags "\0\0\0" id BLOCK
#define RAW(literal)       (literal), sizeof(literal) - 1

static struct h2_session *raw_server(void) {
  struct h2_config config = config_of(true);
  struct h2_session *s = h2_session_new(&config, 0);
  CHECK(h2_session_receive(s, RAW(PREFACE SETTINGS), 0));
  return s;
}

static void release_all(struct h2_session *s) {
  unsigned news;
  struct h2_stream *stream;
  while ((stream = h2_session_next(s, &news))) h2_stream_release(stream);
}

/* Hears the bytes after a good start, and answers each stream. */
static uint32_t code_for(const char *bytes, size_t count) {
  const char *why;
  bool by_peer;
  struct h2_session *s = raw_server();
  h2_session_receive(s, bytes, count, 0);
  release_all(s);
  h2_session_send(s);
  uint32_t code = h2_session_fault(s, &why, &by_peer);
  h2_session_free(s);
  return code;
}

IT("ends the connection for what section 5 calls an error of the connection") {
  CHECK(code_for(RAW(HEADERS("\x05", "\x02"))) == H2_PROTOCOL_ERROR);                         /* even id */
  CHECK(code_for(RAW(HEADERS("\x05", "\x05") HEADERS("\x05", "\x03"))) == H2_PROTOCOL_ERROR); /* falling */
  CHECK(code_for(RAW("\0\0\x01\0\0\0\0\0\x01x")) == H2_PROTOCOL_ERROR);        /* DATA on idle */
  CHECK(code_for(RAW("\0\0\x04\x08\0\0\0\0\0\0\0\0\0")) == H2_PROTOCOL_ERROR); /* WINDOW_UPDATE 0 */
  CHECK(code_for(RAW("\0\0\x07\x06\0\0\0\0\0"
                     "1234567")) == H2_FRAME_SIZE_ERROR); /* PING of 7 */
  CHECK(code_for(RAW("\0\0\x01\x01\x05\0\0\0\x01\xff")) == H2_COMPRESSION_ERROR);
  CHECK(code_for(RAW("\0\0\x01\x01\x01\0\0\0\x01\x82"
                     "\0\0\x04\x08\0\0\0\0\0\0\0\0\x01")) == H2_PROTOCOL_ERROR);
  CHECK(code_for(RAW(HEADERS("\x05", "\x01"))) == H2_NO_ERROR);
}

IT("does not mind what is on its way to a stream that it has reset") {
  const char *why;
  bool by_peer;
  struct h2_session *s = raw_server();
  CHECK(h2_session_receive(s, RAW(HEADERS("\x04", "\x01")), 0));
  release_all(s); /* resets it */
  h2_session_send(s);
  CHECK(h2_session_receive(s, RAW("\0\0\x01\0\x01\0\0\0\x01x"), 0));
  CHECK(h2_session_fault(s, &why, &by_peer) == H2_NO_ERROR);
  h2_session_free(s);
}

IT("is calm about streams that are answered, and not about those that are cancelled") {
  const char *why;
  bool by_peer;
  struct h2_session *s = raw_server();
  bool fine = true;
  unsigned id = 1;
  for (; fine && id < 200; id += 2) {
    char frames[] = HEADERS("\x05", "\x01") "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08";
    frames[8] = frames[15 + 8] = (char)id;
    fine = h2_session_receive(s, frames, sizeof frames - 1, 0);
    release_all(s);
    buf_consume(h2_session_out(s), buf_len(h2_session_out(s)));
  }
  CHECK(!fine && id == 43); /* the 21st */
  CHECK(h2_session_fault(s, &why, &by_peer) == H2_ENHANCE_YOUR_CALM);
  CHECK_STR(str_of(why), "too many streams were cancelled");
  h2_session_free(s);
}

IT("gives up a peer that sends frames without content without end") {
  static const char ping[] = "\0\0\x08\x06\0\0\0\0\0"
                             "12345678",
                    priority[] = "\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x01", empty[] = "\0\0\0\0\0\0\0\0\x01";
  const struct str frames[] = {
      {ping, sizeof ping - 1}, {priority, sizeof priority - 1}, {empty, sizeof empty - 1}};
  for (size_t i = 0; i < 3; i++) {
    const char *why;
    bool by_peer, fine = true;
    struct h2_session *s = raw_server();
    CHECK(h2_session_receive(s, RAW(HEADERS("\x04", "\x01")), 0));
    for (int n = 0; fine && n < 200; n++) {
      fine = h2_session_receive(s, frames[i].ptr, frames[i].len, 0);
      buf_consume(h2_session_out(s), buf_len(h2_session_out(s)));
    }
    CHECK(!fine && h2_session_fault(s, &why, &by_peer) == H2_ENHANCE_YOUR_CALM);
    release_all(s);
    h2_session_free(s);
  }
}

IT("resets a stream whose body is not what Content-Length says, and goes on with the others") {
  /* content-length: 3 as a literal of the static table's name */
  static const char longer[] = "\0\0\x09\x01\x04\0\0\0\x01" BLOCK "\x0f\x0d\x01"
                               "3";
  const char *why;
  bool by_peer;
  unsigned news;
  struct h2_session *s = raw_server();
  char frames[sizeof longer];
  memcpy(frames, longer, sizeof longer);
  frames[2] = 10;
  CHECK(h2_session_receive(s, frames, sizeof longer - 1, 0));
  CHECK(h2_session_receive(s,
                           RAW("\0\0\x04\0\x01\0\0\0\x01"
                               "1234"),
                           0));
  struct h2_stream *stream = h2_session_next(s, &news);
  CHECK(stream && news & H2_NEWS_RESET && stream->is_reset && stream->code == H2_PROTOCOL_ERROR);
  CHECK(h2_stream_head(stream) != NULL);
  h2_stream_release(stream);
  CHECK(h2_session_receive(s, RAW(HEADERS("\x05", "\x03")), 0));
  CHECK(h2_session_fault(s, &why, &by_peer) == H2_NO_ERROR);
  release_all(s);
  h2_session_free(s);
}

IT("closes what is no HTTP/2 without a frame") {
  struct h2_config config = config_of(true);
  const char *why;
  bool by_peer;
  struct h2_session *s = h2_session_new(&config, 0);
  CHECK(!h2_session_receive(s, RAW("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0));
  CHECK(h2_session_fault(s, &why, &by_peer) == H2_PROTOCOL_ERROR);
  h2_session_free(s);
}
