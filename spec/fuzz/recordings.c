// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: recordings of requests. The first byte says what the rest is: a file as it is; the bytes of one frame;
// or requests that are made into a file, which is read as it was written, and then cut or changed at a place that the
// input names: then it is refused. What is read is within the file, and written again as one that is read as the same.
#include "shared/recording.h"

#include "fuzz.h"

enum { REQUESTS_MOST = 8 };

static bool is_within(struct str part, struct str whole) {
  return !part.len || (part.ptr >= whole.ptr && part.len <= (size_t)(whole.ptr + whole.len - part.ptr));
}

static void require_same(const struct recorded *a, const struct recorded *b) {
#define X(name) REQUIRE(a->name == b->name);
  RECORDED_NUMBERS(X)
#undef X
#define X(name) REQUIRE(str_equal(a->name, b->name));
  RECORDED_TEXTS(X)
#undef X
}

static void require_request(struct str bytes, const struct recorded *r) {
  struct recorded again;
  struct buf written = {0};
#define X(name) REQUIRE(is_within(r->name, bytes));
  RECORDED_TEXTS(X)
#undef X
  recorded_put(&written, r);
  REQUIRE(recorded_read(buf_str(&written), &again));
  require_same(r, &again);
  buf_release(&written);
}

/* Accepted or not: then a sentence says why, in one line. */
static bool read_all(struct str file, uint64_t *count) {
  struct recording recording;
  struct recorded r;
  char *why = NULL;
  bool fine = recording_of_text(&recording, file, &why);
  REQUIRE(fine == !why && (fine || (*why && !strchr(why, '\n'))));
  *count = 0;
  while (fine && recording_next(&recording, &r)) {
    require_request((struct str){recording.text, recording.length}, &r);
    ++*count;
  }
  REQUIRE(!fine || *count == recording.count);
  recording_close(&recording);
  free(why);
  return fine;
}

static void try_file(struct str text) {
  struct buf file = {0};
  uint64_t count;
  read_all(text, &count);
  buf_append(&file, RECORDING_MAGIC, sizeof RECORDING_MAGIC - 1);
  buf_append_str(&file, text);
  read_all(buf_str(&file), &count);
  buf_release(&file);
}

static void try_frame(struct str bytes) {
  struct recorded r;
  if (recorded_read(bytes, &r)) require_request(bytes, &r);
}

/* A request whose texts are pieces of the input. */
static struct recorded make(struct str piece, uint64_t number) {
  size_t half = piece.len / 2;
  return (struct recorded){.at_ms = number,
                           .status = piece.len,
                           .listener = STR("127.0.0.1:80"),
                           .client = STR("127.0.0.1"),
                           .head = piece,
                           .body = str_from(piece, half),
                           .answer = {piece.ptr, half},
                           .peer = STR(""),
                           .error = STR("")};
}

static uint64_t put_requests(struct buf *file, struct str text) {
  uint64_t count = 0;
  struct str piece;
  buf_append(file, RECORDING_MAGIC, sizeof RECORDING_MAGIC - 1);
  recording_put_frame(file, 'H', 0, STR("began 1\n7\n"));
  while (count < REQUESTS_MOST && str_split(&text, '|', &piece)) {
    struct buf frame = {0};
    struct recorded r = make(piece, count);
    if (!piece.len) continue;
    recorded_put(&frame, &r);
    recording_put_frame(file, 'R', ++count, buf_str(&frame));
    buf_release(&frame);
  }
  recording_put_end(file, count);
  return count;
}

/* The checksum of a frame tells a changed byte; behind the first line all bytes are in frames. */
static void try_requests(struct str text, size_t at, unsigned char change) {
  struct buf file = {0};
  uint64_t count = put_requests(&file, text), found;
  struct str whole = buf_str(&file);
  REQUIRE(read_all(whole, &found) && found == count);
  at %= whole.len;
  REQUIRE(!read_all((struct str){whole.ptr, at}, &found));
  ((char *)whole.ptr)[at] ^= (char)change;
  bool fine = read_all(whole, &found);
  /* In the line of a frame the same number can be written in another way. */
  REQUIRE(!change || !fine || found == count);
  buf_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 4) return 0;
  size_t at = (size_t)data[1] << 8 | data[2];
  struct str input = fuzz_copy(data + 4, size - 4);
  if (data[0] % 3 == 0)
    try_file(input);
  else if (data[0] % 3 == 1)
    try_frame(input);
  else
    try_requests(input, at, data[3]);
  free((char *)input.ptr);
  return 0;
}
