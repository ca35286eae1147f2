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
