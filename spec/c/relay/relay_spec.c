// SPDX-License-Identifier: Apache-2.0
// Units for relay/relay: bodies between two socketpairs, pumped by hand.
#include "relay/relay.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

enum { TEXT_BYTES = 1 << 20, LONG_BYTES = 600000 };

struct line {
  struct ev_loop *loop;
  struct conn from, to;
  int source, sink; /* the other ends */
  struct buf in, copy;
  struct arena arena;
  struct relay relay;
  char *text; /* what has come at the sink */
  size_t length;
};

static void ignore(struct conn *conn) { (void)conn; }
static const struct conn_events events = {ignore, ignore};

static void begin(struct line *l, struct body body, enum framing out, const char *head) {
  int first[2], second[2];
  *l = (struct line){.loop = ev_loop_new(0), .text = malloc(TEXT_BYTES)};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, first) != 0) abort();
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, second) != 0) abort();
  l->source = first[0];
  l->sink = second[0];
  conn_init(&l->from, l->loop, first[1], &events, l);
  conn_init(&l->to, l->loop, second[1], &events, l);
  arena_init(&l->arena);
  relay_begin(&l->relay, body, out, str_of(head), (struct str){0});
  l->relay.from = (struct source){.conn = &l->from, .in = &l->in};
  l->relay.to = (struct sink){.conn = &l->to};
  l->relay.trailers.arena = &l->arena;
}

static void end(struct line *l) {
  if (l->relay.active) relay_stop(&l->relay);
  conn_close(&l->from);
  conn_close(&l->to);
  if (l->source >= 0) close(l->source);
  close(l->sink);
  buf_release(&l->in);
  buf_release(&l->copy);
  arena_free(&l->arena);
  free(l->text);
  ev_loop_destroy(l->loop);
}

static void feed(struct line *l, const char *text) {
  CHECK(write(l->source, text, strlen(text)) == (ssize_t)strlen(text));
}

static void end_source(struct line *l) {
  close(l->source);
  l->source = -1;
}

/* All that has come so far. */
static struct str taken(struct line *l) {
  ssize_t count;
  while ((count = read(l->sink, l->text + l->length, TEXT_BYTES - l->length)) > 0) l->length += (size_t)count;
  return (struct str){l->text, l->length};
}

static const struct body ten = {FRAMING_LENGTH, 10}, chunks = {FRAMING_CHUNKED, 0},
                         to_the_end = {FRAMING_CLOSE, 0};

IT("passes a body of a length on, behind its head, and leaves what is behind it alone") {
  struct line l;
  begin(&l, ten, FRAMING_LENGTH, "HEAD\r\n\r\n");
  feed(&l, "hello");
  CHECK(relay_pump(&l.relay) == RELAY_READING && l.from.wants_read);
  CHECK_STR(taken(&l), "HEAD\r\n\r\nhello");
  feed(&l, "worldGET /next");
  CHECK(relay_pump(&l.relay) == RELAY_DONE && l.relay.done && !l.relay.active);
  CHECK_STR(taken(&l), "HEAD\r\n\r\nhelloworld");
  CHECK(l.relay.bytes == 10);
  end(&l);
}

IT("writes each framing anew: chunks without their extensions, and a body to the end of its connection in "
   "chunks") {
  struct line l;
  begin(&l, chunks, FRAMING_CHUNKED, "");
  feed(&l, "5;a=b\r\nhello\r\n0\r\n\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_DONE);
  CHECK_STR(taken(&l), "5\r\nhello\r\n0\r\n\r\n");
  end(&l);
  begin(&l, to_the_end, FRAMING_CHUNKED, "");
  feed(&l, "hello");
  CHECK(relay_pump(&l.relay) == RELAY_READING);
  end_source(&l);
  CHECK(relay_pump(&l.relay) == RELAY_DONE);
  CHECK_STR(taken(&l), "5\r\nhello\r\n0\r\n\r\n");
  end(&l);
  begin(&l, chunks, FRAMING_CLOSE, "");
  feed(&l, "5\r\nhello\r\n0\r\nX: y\r\n\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_DONE);
  CHECK_STR(taken(&l), "hello");
  end(&l);
}

IT("tells a body that ends short, and never writes the end of it") {
  struct line l;
  begin(&l, ten, FRAMING_LENGTH, "");
  feed(&l, "hello");
  end_source(&l);
  enum relay_result result = relay_pump(&l.relay);
  if (result == RELAY_READING) result = relay_pump(&l.relay);
  CHECK(result == RELAY_TRUNCATED && !l.relay.done);
  end(&l);
  begin(&l, chunks, FRAMING_CHUNKED, "");
  feed(&l, "5\r\nhello\r\n");
  end_source(&l);
  result = relay_pump(&l.relay);
  if (result == RELAY_READING) result = relay_pump(&l.relay);
  CHECK(result == RELAY_TRUNCATED);
  struct str all = taken(&l);
  CHECK(!memmem(all.ptr, all.len, "0\r\n\r\n", 5));
  end(&l);
}

IT("tells a broken framing, and a body beyond its limit") {
  struct line l;
  begin(&l, chunks, FRAMING_CHUNKED, "");
  feed(&l, "xyz\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_MALFORMED);
  CHECK_STR(taken(&l), "");
  end(&l);
  begin(&l, chunks, FRAMING_CHUNKED, "");
  l.relay.limit = 4;
  feed(&l, "4\r\nfour\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_READING);
  feed(&l, "1\r\nX\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_TOO_LARGE);
  end(&l);
}

IT("reads no more while its sink takes nothing, and loses no byte of a long body") {
  struct line l;
  char *sent = malloc(LONG_BYTES);
  int small = 4096;
  for (int i = 0; i < LONG_BYTES; i++) sent[i] = (char)('a' + i % 26);
  begin(&l, (struct body){FRAMING_LENGTH, LONG_BYTES}, FRAMING_LENGTH, "");
  setsockopt(l.to.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  enum relay_result result = RELAY_READING;
  bool was_full = false;
  for (size_t given = 0; result != RELAY_DONE;) {
    ssize_t count = given < LONG_BYTES ? write(l.source, sent + given, LONG_BYTES - given) : 0;
    if (count > 0) given += (size_t)count;
    result = relay_pump(&l.relay);
    if (!CHECK(result == RELAY_READING || result == RELAY_WRITING || result == RELAY_DONE)) break;
    if (result == RELAY_WRITING) {
      was_full = true;
      CHECK(l.to.wants_write && !l.from.wants_read);
      CHECK(relay_pump(&l.relay) == RELAY_WRITING); /* nothing has changed */
      taken(&l);
    }
  }
  CHECK(was_full);
  struct str all = taken(&l);
  CHECK(all.len == LONG_BYTES && memcmp(all.ptr, sent, LONG_BYTES) == 0);
  free(sent);
  end(&l);
}

IT("keeps a copy up to its limit, and begins again with it at another sink") {
  struct line l;
  begin(&l, chunks, FRAMING_CHUNKED, "FIRST ");
  l.relay.copy.to = &l.copy;
  l.relay.copy.limit = 8;
  feed(&l, "5\r\nhello\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_READING);
  CHECK_STR(buf_str(&l.copy), "hello");
  taken(&l);
  l.length = 0;
  relay_restart(&l.relay, FRAMING_CHUNKED, STR("AGAIN "), buf_str(&l.copy));
  feed(&l, "3\r\n, y\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_READING && !l.relay.copy.overflowed);
  feed(&l, "3\r\nou!\r\n0\r\n\r\n");
  CHECK(relay_pump(&l.relay) == RELAY_DONE && l.relay.copy.overflowed);
  CHECK_STR(taken(&l), "AGAIN 5\r\nhello\r\n3\r\n, y\r\n3\r\nou!\r\n0\r\n\r\n");
  end(&l);
}

/* --- filters ---------------------------------------------------------------------------------------------- */

struct loud {
  struct relay_filter filter;
  bool waits, fails;
  unsigned calls, last_calls;
  char text[64];
};

static struct str upper(struct loud *loud, struct str chunk) {
  for (size_t i = 0; i < chunk.len; i++) loud->text[i] = (char)toupper((unsigned char)chunk.ptr[i]);
  return (struct str){loud->text, chunk.len};
}

static enum relay_result run(struct relay_filter *filter, struct str *chunk, bool is_last) {
  struct loud *loud = (struct loud *)filter;
  loud->calls++;
  loud->last_calls += is_last;
  if (loud->fails) return RELAY_FILTER_FAILED;
  *chunk = upper(loud, *chunk);
  return loud->waits ? RELAY_FILTERING : RELAY_READING;
}

IT("passes each piece through its filter, and the end once") {
  struct line l;
  struct loud loud = {.filter.run = run};
  begin(&l, ten, FRAMING_CHUNKED, "");
  l.relay.filter = &loud.filter;
  feed(&l, "hello");
  CHECK(relay_pump(&l.relay) == RELAY_READING);
  feed(&l, "world");
  CHECK(relay_pump(&l.relay) == RELAY_DONE);
  CHECK_STR(taken(&l), "5\r\nHELLO\r\n5\r\nWORLD\r\n0\r\n\r\n");
  CHECK(loud.calls == 2 && loud.last_calls == 1);
  end(&l);
}

IT("waits for a filter, reading nothing meanwhile, and fails with it") {
  struct line l;
  struct loud loud = {.filter.run = run, .waits = true};
  begin(&l, ten, FRAMING_CHUNKED, "");
  l.relay.filter = &loud.filter;
  feed(&l, "helloworld");
  CHECK(relay_pump(&l.relay) == RELAY_FILTERING && l.relay.filtering);
  CHECK_STR(taken(&l), "");
  relay_filtered(&l.relay, STR("ok"));
  CHECK(relay_pump(&l.relay) == RELAY_DONE);
  CHECK_STR(taken(&l), "2\r\nok\r\n0\r\n\r\n");
  end(&l);
  loud = (struct loud){.filter.run = run, .fails = true};
  begin(&l, ten, FRAMING_CHUNKED, "");
  l.relay.filter = &loud.filter;
  feed(&l, "helloworld");
  CHECK(relay_pump(&l.relay) == RELAY_FILTER_FAILED);
  CHECK_STR(taken(&l), "");
  end(&l);
}
