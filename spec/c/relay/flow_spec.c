// SPDX-License-Identifier: Apache-2.0
// Units for relay/flow: relays whose source or sink is no conn, but tells its own end.
#include "relay/flow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/relay.h"
#include "unit.h"

static const struct body ten = {FRAMING_LENGTH, 10}, chunks = {FRAMING_CHUNKED, 0},
                         to_its_end = {FRAMING_CLOSE, 0};

struct memory {
  struct relay relay;
  struct arena arena;
  struct ev_loop *loop;
  struct conn conn;          /* what of source and sink is none of the memory */
  int other;                 /* its other end */
  struct buf wire;           /* read from it */
  struct buf in;             /* of the source */
  size_t used;               /* bytes of it */
  struct headers trailers;   /* of the source, behind its end */
  bool has_ended, is_broken; /* the source */
  bool wants_read, wants_write;
  char out[256];
  size_t length, room; /* of the sink: what it has, and what it takes until it is asked again */
  unsigned writes;
  unsigned ends;
};

static enum io read_memory(struct source *source, struct trailers *trailers) {
  struct memory *m = source->of;
  if (m->is_broken) return IO_ERROR;
  if (buf_len(&m->in) && !m->has_ended) return IO_OK;
  if (m->has_ended) trailers->received = &m->trailers;
  return m->has_ended ? IO_EOF : IO_AGAIN;
}

static void use_memory(struct source *source, size_t bytes) {
  struct memory *m = source->of;
  m->used += bytes;
  buf_consume(&m->in, bytes);
}

static void want_from_memory(struct source *source, bool on) {
  ((struct memory *)source->of)->wants_read = on;
}

static void put(struct memory *m, struct str text, size_t *moved) {
  size_t part = text.len < m->room ? text.len : m->room;
  if (part) memcpy(m->out + m->length, text.ptr, part);
  m->length += part;
  m->room -= part;
  *moved += part;
}

static enum io write_memory(struct sink *sink, const struct str *parts, const struct trailers *end,
                            size_t *moved) {
  struct memory *m = sink->of;
  size_t total = 0;
  *moved = 0;
  CHECK(!m->ends);
  m->writes++;
  for (int i = 0; i < RELAY_PARTS; i++) {
    total += parts[i].len;
    put(m, parts[i], moved);
  }
  if (total && !*moved) return IO_AGAIN;
  m->ends += end && *moved == total;
  for (unsigned i = 0; m->ends && end->fields && i < end->fields->count; i++)
    put(m, end->fields->items[i].value, &(size_t){0});
  return IO_OK;
}

static void want_into_memory(struct sink *sink, bool on) { ((struct memory *)sink->of)->wants_write = on; }

static const struct source_ops memory_source = {read_memory, use_memory, want_from_memory, NULL, NULL};
static const struct sink_ops memory_sink = {write_memory, want_into_memory, NULL};

static size_t room_in_memory(struct sink *sink) { return ((struct memory *)sink->of)->room; }
static const struct sink_ops bounded_sink = {write_memory, want_into_memory, room_in_memory};

static enum io drop(struct sink *sink, const struct str *parts, const struct trailers *end, size_t *moved) {
  struct memory *m = sink->of;
  (void)end;
  *moved = 0;
  for (int i = 0; i < RELAY_PARTS; i++) *moved += parts[i].len;
  m->writes += *moved > 0;
  return IO_OK;
}

static size_t any_room(struct sink *sink) { return sink ? SIZE_MAX : 0; }
static const struct sink_ops dropping_sink = {drop, want_into_memory, any_room};

static void ignore(struct conn *conn) { (void)conn; }
static const struct conn_events events = {ignore, ignore};

static void begin(struct memory *m, struct body body, enum framing out) {
  int ends[2];
  *m = (struct memory){.room = sizeof m->out, .loop = ev_loop_new(0)};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) abort();
  conn_init(&m->conn, m->loop, ends[0], &events, m);
  m->other = ends[1];
  arena_init(&m->arena);
  headers_init(&m->trailers, &m->arena);
  relay_begin(&m->relay, body, out, (struct str){0}, (struct str){0});
  m->relay.trailers.arena = &m->arena;
  m->relay.trailers.allowed = true;
  m->relay.from = (struct source){.conn = &m->conn, .in = &m->wire};
  m->relay.to = (struct sink){.conn = &m->conn};
}

static void from_memory(struct memory *m) {
  m->relay.from = (struct source){.ops = &memory_source, .of = m, .in = &m->in};
}

static void to_memory(struct memory *m) { m->relay.to = (struct sink){.ops = &memory_sink, .of = m}; }

static struct str got(struct memory *m) { return (struct str){m->out, m->length}; }

static void feed(struct memory *m, const char *text) {
  CHECK(write(m->other, text, strlen(text)) == (ssize_t)strlen(text));
}

static void end(struct memory *m) {
  if (m->relay.active) relay_stop(&m->relay);
  conn_close(&m->conn);
  close(m->other);
  buf_release(&m->wire);
  buf_release(&m->in);
  arena_free(&m->arena);
  ev_loop_destroy(m->loop);
}

IT("takes a body from a source that is no conn, to the end that the source tells, and writes it as chunks") {
  struct memory m;
  begin(&m, to_its_end, FRAMING_CHUNKED);
  from_memory(&m);
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.wants_read);
  buf_append_str(&m.in, STR("hello"));
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.used == 5);
  CHECK(m.relay.received == 5 && m.relay.bytes == 5);
  headers_add(&m.trailers, STR("X-Sum"), STR("9"));
  m.has_ended = true;
  CHECK(relay_pump(&m.relay) == RELAY_DONE);
  char text[64];
  ssize_t length = read(m.other, text, sizeof text);
  CHECK(length > 0);
  CHECK_STR(((struct str){text, (size_t)length}), "5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n");
  end(&m);
}

IT("gives a source its bytes back only when they were written, and fails where it breaks") {
  struct memory m;
  begin(&m, to_its_end, FRAMING_CLOSE);
  from_memory(&m);
  to_memory(&m);
  m.room = 3;
  buf_append_str(&m.in, STR("hello"));
  CHECK(relay_pump(&m.relay) == RELAY_WRITING && m.wants_write && !m.wants_read);
  CHECK_STR(got(&m), "hel");
  CHECK(m.used == 0 && relay_pump(&m.relay) == RELAY_WRITING && m.used == 0);
  m.room = 16;
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.used == 5 && m.wants_read && !m.wants_write);
  CHECK_STR(got(&m), "hello");
  m.is_broken = true;
  CHECK(relay_pump(&m.relay) == RELAY_SOURCE_ERROR && m.ends == 0);
  end(&m);
}

/* The whole of a message has come before the relay begins. */
static void send_early(const char *text, struct body body) {
  struct memory m;
  begin(&m, body, FRAMING_CHUNKED);
  from_memory(&m);
  to_memory(&m);
  if (*text) buf_append_str(&m.in, str_of(text));
  m.has_ended = true;
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1 && m.writes == 1);
  CHECK_STR(got(&m), text);
  end(&m);
}

IT("takes the end of a source with its last bytes, so that both go on together") {
  struct memory m;
  send_early("hello", to_its_end);
  send_early("", to_its_end);
  send_early("helloworld", ten);
  begin(&m, to_its_end, FRAMING_CHUNKED);
  from_memory(&m);
  to_memory(&m);
  buf_append_str(&m.in, STR("hello"));
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.writes >= 1 && m.ends == 0);
  m.writes = 0;
  buf_append_str(&m.in, STR("world"));
  m.has_ended = true;
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1);
  CHECK_STR(got(&m), "helloworld");
  end(&m);
}

IT("finds a body cut that ends before its length, whatever came with the end") {
  struct memory m;
  begin(&m, ten, FRAMING_LENGTH);
  from_memory(&m);
  to_memory(&m);
  buf_append_str(&m.in, STR("hello"));
  m.has_ended = true;
  CHECK(relay_pump(&m.relay) == RELAY_TRUNCATED && m.ends == 0);
  end(&m);
}

IT("tells a sink that is no conn the end with the last piece, with the trailers that may go on, and no "
   "chunks") {
  struct memory m;
  struct str fields = STR("X-Sum: 9\r\nContent-Length: 1\r\n\r\n");
  begin(&m, chunks, FRAMING_CHUNKED);
  to_memory(&m);
  feed(&m, "5\r\nhello\r\n");
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.ends == 0);
  feed(&m, "2\r\nyo\r\n0\r\n");
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.ends == 0);
  feed(&m, fields.ptr);
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1);
  CHECK_STR(got(&m), "helloyo9");
  CHECK(m.relay.trailers.fields && m.relay.trailers.fields->count == 1);
  end(&m);
  begin(&m, ten, FRAMING_LENGTH);
  to_memory(&m);
  feed(&m, "helloworld");
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1);
  CHECK_STR(got(&m), "helloworld");
  end(&m);
  begin(&m, (struct body){FRAMING_NONE, 0}, FRAMING_NONE);
  to_memory(&m);
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1 && m.length == 0);
  end(&m);
}

IT("does not end a message at such a sink whose trailers must not be written") {
  struct memory m;
  struct headers bad;
  begin(&m, ten, FRAMING_CHUNKED);
  to_memory(&m);
  headers_init(&bad, &m.arena);
  headers_add(&bad, STR("X-Bad"), STR("a\r\nb"));
  m.relay.trailers.fields = &bad;
  feed(&m, "helloworld");
  CHECK(relay_pump(&m.relay) == RELAY_UNSAFE && m.ends == 0);
  end(&m);
}

IT("reads no more than a sink by ops has room for, and nothing where it has none and more is known to come") {
  struct memory m;
  begin(&m, ten, FRAMING_LENGTH);
  m.relay.to = (struct sink){.ops = &bounded_sink, .of = &m};
  m.room = 4;
  feed(&m, "helloworld");
  CHECK(relay_pump(&m.relay) == RELAY_WRITING && m.wants_write);
  CHECK_STR(got(&m), "hell");
  CHECK(m.relay.received == 4 && !m.wire.data);
  m.room = 100;
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1);
  CHECK_STR(got(&m), "helloworld");
  end(&m);
}

IT("finds the end of chunks, with what is behind them, though the sink has no room left") {
  struct memory m;
  begin(&m, chunks, FRAMING_CHUNKED);
  m.relay.to = (struct sink){.ops = &bounded_sink, .of = &m};
  m.room = 5;
  feed(&m, "5\r\nhello\r\n");
  CHECK(relay_pump(&m.relay) == RELAY_READING && m.room == 0);
  feed(&m, "0\r\n\r\n");
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.ends == 1);
  end(&m);
}

IT("takes little of chunks to which the end is not near, where the sink has no room") {
  struct memory m;
  char chunk[4096];
  begin(&m, chunks, FRAMING_CHUNKED);
  m.relay.to = (struct sink){.ops = &bounded_sink, .of = &m};
  m.room = 0;
  memset(chunk, 'x', sizeof chunk);
  feed(&m, "1000\r\n");
  CHECK(write(m.other, chunk, sizeof chunk) == sizeof chunk);
  CHECK(relay_pump(&m.relay) == RELAY_WRITING);
  CHECK(m.relay.received == RELAY_LOOK && m.wire.cap <= RELAY_LOOK);
  end(&m);
}

IT("takes a large piece of a source that has filled a buffer before, as the one of its head") {
  struct memory m;
  static char body[3 * RELAY_BUFFER];
  begin(&m, (struct body){FRAMING_LENGTH, sizeof body}, FRAMING_LENGTH);
  m.relay.to = (struct sink){.ops = &dropping_sink, .of = &m};
  buf_append(&m.wire, body, RELAY_BUFFER);
  CHECK(write(m.other, body, 2 * RELAY_BUFFER) == 2 * RELAY_BUFFER);
  CHECK(relay_pump(&m.relay) == RELAY_DONE && m.writes == 2);
  end(&m);
}
