// SPDX-License-Identifier: Apache-2.0
// h2_memory: what an idle session gives back, and takes again.
#include "http/h2_memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "http/h2_session.h"
#include "unit.h"

static const struct h2_config CONFIG = {.is_server = true,
                                        .streams = 10,
                                        .stream_window = 65535,
                                        .window_most = 1 << 20,
                                        .held_bytes = 1 << 20,
                                        .out_bytes = 1 << 16,
                                        .head = {.head_bytes = 8192, .target_bytes = 1024, .fields = 50},
                                        .allowances = {{20, 0}, {100, 0}}};

/* GET / of host h, on the next stream. */
static bool ask(struct h2_session *s, unsigned char id) {
  unsigned char frame[] = {0, 0, 6, 1, 5, 0, 0, 0, id, 0x82, 0x84, 0x86, 0x41, 1, 'h'};
  return h2_session_receive(s, (const char *)frame, sizeof frame, 0);
}

static void drain(struct h2_session *s) {
  CHECK(h2_session_send(s));
  buf_consume(h2_session_out(s), buf_len(h2_session_out(s)));
}

IT("gives all of its pages back while it is idle, takes them again, and forgets nothing") {
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
  struct h2_session *s = h2_session_new(&CONFIG, 0);
  CHECK(h2_session_receive(s, preface, sizeof preface, 0));
  for (unsigned char id = 1; id < 7; id += 2) {
    struct arena arena = {0};
    struct response response = {.status = 200};
    struct request request;
    unsigned news;
    CHECK(ask(s, id));
    struct h2_stream *stream = h2_session_next(s, &news);
    CHECK(stream && h2_head_request(h2_stream_head(stream), false, &request) == ERROR_NONE);
    CHECK_STR(request.authority, "h");
    drain(s);
    CHECK(h2_session_rest(s) == 0); /* there is a stream */
    headers_init(&response.headers, &arena);
    struct h2_fields head = h2_fields_of_response(&arena, &response, (struct body){0});
    h2_stream_send_head(stream, &head, false, true);
    h2_stream_release(stream);
    CHECK(h2_session_rest(s) == 0); /* there is a frame to be made */
    CHECK(h2_session_send(s));
    CHECK(h2_session_rest(s) == 0 && buf_len(h2_session_out(s)) > 0); /* there is one to be written */
    drain(s);
    CHECK(h2_session_rest(s) >= 16384);
    arena_free(&arena);
  }
  h2_session_free(s);
}

static unsigned resident(void *pages) {
  unsigned char seen[MEMORY_PAGES];
  unsigned count = 0;
  CHECK(mincore(pages, sizeof seen * MEMORY_PAGE, seen) == 0);
  for (unsigned i = 0; i < sizeof seen; i++) count += seen[i] & 1;
  return count;
}

IT("puts what was made at birth back where it was, and keeps what is made later as it is") {
  struct h2_memory memory;
  nghttp2_mem mem = h2_memory_begin(&memory);
  char *table = mem.calloc(16, 256, &memory), *buffer = mem.realloc(NULL, 16394, &memory);
  uint64_t *small = mem.malloc(1000, &memory);
  h2_memory_born(&memory);
  char *later = mem.calloc(1, 20000, &memory), *piece = mem.malloc(10, &memory);
  for (unsigned round = 1; round < 4; round++) {
    memset(buffer, 'x', 16394);
    for (unsigned i = 0; i < 125; i++) small[i] = i % 3 ? 0 : i * round;
    table[4095] = later[19999] = piece[9] = (char)round;
    CHECK(h2_memory_rest(&memory) == MEMORY_PAGES * MEMORY_PAGE && resident(memory.pages) == 0);
    CHECK(h2_memory_rest(&memory) == 0);
    h2_memory_wake(&memory);
    CHECK(table[4095] == (char)round && later[19999] == (char)round && piece[9] == (char)round);
    for (unsigned i = 0; i < 125; i++) CHECK(small[i] == (i % 3 ? 0 : i * round));
    h2_memory_wake(&memory);
  }
  table = mem.realloc(table, 8192, &memory);
  CHECK(table[4095] == 3);
  CHECK(!mem.calloc(SIZE_MAX / 2, 3, &memory));
  mem.free(table, &memory);
  mem.free(buffer, &memory);
  mem.free(later, &memory);
  mem.free(piece, &memory);
  h2_memory_end(&memory);
}

IT("takes what does not fit into its pages from elsewhere, and ends at rest, too") {
  struct h2_memory memory;
  nghttp2_mem mem = h2_memory_begin(&memory);
  enum { LARGE = 15000 };
  char *blocks[4];
  for (unsigned i = 0; i < 4; i++) memset(blocks[i] = mem.malloc(LARGE, &memory), 'a' + (int)i, LARGE);
  char *buffer = memset(mem.malloc(2 * LARGE, &memory), 'z', 2 * LARGE);
  h2_memory_born(&memory);
  CHECK(h2_memory_rest(&memory) > 0);
  h2_memory_wake(&memory);
  for (unsigned i = 0; i < 4; i++)
    CHECK(blocks[i][0] == 'a' + (int)i && blocks[i][LARGE - 1] == 'a' + (int)i);
  for (unsigned i = 0; i < 4; i++) mem.free(blocks[i], &memory);
  mem.free(buffer, &memory);
  CHECK(h2_memory_rest(&memory) > 0);
  h2_memory_end(&memory);
}

IT("is awake again whatever is asked of a session that rests") {
  static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
  for (int what = 0; what < 6; what++) {
    struct h2_session *s = h2_session_new(&CONFIG, 0);
    unsigned news;
    CHECK(h2_session_receive(s, preface, sizeof preface, 0));
    drain(s);
    CHECK(h2_session_rest(s) > 0 && h2_session_rest(s) == 0);
    CHECK(!h2_session_is_over(s) && !h2_session_part_of_head(s) && h2_session_streams(s) == 0);
    switch (what) {
    case 0: h2_session_ping(s); break;
    case 1: h2_session_announce_end(s); break;
    case 2: h2_session_end(s, H2_NO_ERROR); break;
    case 3: h2_session_blame(s, H2_ENHANCE_YOUR_CALM, "a spec"); break;
    case 4:
      CHECK(ask(s, 1));
      h2_stream_release(h2_session_next(s, &news)); /* which resets it */
      break;
    case 5: break;
    }
    CHECK(h2_session_send(s) == (what != 3) && (buf_len(h2_session_out(s)) > 0) == (what < 5));
    h2_session_free(s);
  }
}
