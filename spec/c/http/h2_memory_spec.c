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

IT("keeps a table that holds something, and what is made later") {
  struct h2_memory memory;
  nghttp2_mem mem = h2_memory_begin(&memory);
  char *table = mem.calloc(16, 256, &memory), *buffer = mem.realloc(NULL, 16394, &memory);
  h2_memory_born(&memory);
  char *later = mem.calloc(1, 20000, &memory), *small = mem.malloc(10, &memory);
  memset(buffer, 'x', 16394);
  table[4000] = later[19999] = 1;
  CHECK(h2_memory_rest(&memory) == 5 * MEMORY_PAGE && table[4000] == 1 && later[19999] == 1);
  CHECK(resident(memory.pages) == 1 && buffer[0] == 0);
  table[4000] = 0;
  CHECK(h2_memory_rest(&memory) == 6 * MEMORY_PAGE && resident(memory.pages) == 0);
  table[4095] = 2;
  table = mem.realloc(table, 8192, &memory);
  CHECK(table[4095] == 2 && h2_memory_rest(&memory) == 6 * MEMORY_PAGE);
  CHECK(!mem.calloc(SIZE_MAX / 2, 3, &memory));
  mem.free(table, &memory);
  mem.free(buffer, &memory);
  mem.free(later, &memory);
  mem.free(small, &memory);
  h2_memory_end(&memory);
}
