// SPDX-License-Identifier: Apache-2.0
// stream_silent: the parts of a codec that are the same for every stream without a client. What is written is dropped.
#include "exchange/stream.h"

enum framing stream_silent_framing(const struct stream *s) {
  (void)s;
  return FRAMING_CHUNKED;
}

bool stream_silent_head(struct stream *s, const struct stream_head *given, struct str *text,
                        struct sink *sink) {
  (void)s, (void)given;
  *text = (struct str){0};
  *sink = (struct sink){0};
  return true;
}

void stream_silent_pause(struct stream *s, bool watches) {
  (void)watches;
  timer_clear(&s->timer);
}

uint64_t stream_silent_unsent(const struct stream *s) {
  (void)s;
  return 0;
}

bool stream_silent_is_ready(const struct stream *s) {
  (void)s;
  return false;
}
