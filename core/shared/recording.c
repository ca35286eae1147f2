// SPDX-License-Identifier: Apache-2.0
// recording: a file is checked whole before anything of it is used: a replay that ends in the middle would say less
// than it seems to.
#include "shared/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/memory.h"
#include "base/why.h"

#define FILE_MOST ((off_t)8 << 30)

/* --- writing -------------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, struct str text) {
  char line[64];
  if (!text.len) return;
  buf_append(out, line, (size_t)snprintf(line, sizeof line, "%s %zu\n", name, text.len));
  buf_append_str(out, text);
  buf_append(out, "\n", 1);
}

static void put_number(struct buf *out, const char *name, uint64_t number) {
  char digits[24];
  if (!number) return;
  int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
  put_text(out, name, (struct str){digits, (size_t)length});
}

void recorded_put(struct buf *out, const struct recorded *r) {
#define X(name) put_number(out, #name, r->name);
  RECORDED_NUMBERS(X)
#undef X
#define X(name) put_text(out, #name, r->name);
  RECORDED_TEXTS(X)
#undef X
}

void recording_put_frame(struct buf *out, char kind, uint64_t index, struct str bytes) {
  char line[RECORDING_FRAME_MORE];
  unsigned long long sum = XXH3_64bits_withSeed(bytes.ptr, bytes.len, index);
  buf_append(out, line, (size_t)snprintf(line, sizeof line, "%c %zu %016llx\n", kind, bytes.len, sum));
  buf_append_str(out, bytes);
  buf_append(out, "\n", 1);
}

void recording_put_end(struct buf *out, uint64_t count) {
  char text[64], digits[24];
  int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
  length = snprintf(text, sizeof text, "count %d\n%s\n", length, digits);
  recording_put_frame(out, 'E', count + 1, (struct str){text, (size_t)length});
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* "<name> <length>\n", so many bytes and "\n", off the front. */
static bool take_member(struct str *rest, struct str *name, struct str *text) {
  struct str line, length;
  uint64_t bytes;
  if (!str_split(rest, '\n', &line) || !str_split(&line, ' ', name)) return false;
  length = line;
  if (!length.ptr || !str_to_u64(length, &bytes) || !rest->ptr || bytes >= rest->len) return false;
  *text = (struct str){rest->ptr, (size_t)bytes};
  if (rest->ptr[bytes] != '\n') return false;
  *rest = str_from(*rest, (size_t)bytes + 1);
  return true;
}

bool recorded_read(struct str rest, struct recorded *r) {
  struct str name, text;
  *r = (struct recorded){0};
#define X(member) r->member = STR("");
  RECORDED_TEXTS(X)
#undef X
  while (rest.len) {
    if (!take_member(&rest, &name, &text)) return false;
#define X(member)                                                                                            \
  if (str_equal(name, STR(#member)) && !str_to_u64(text, &r->member)) return false;
    RECORDED_NUMBERS(X)
#undef X
#define X(member)                                                                                            \
  if (str_equal(name, STR(#member))) r->member = text;
    RECORDED_TEXTS(X)
#undef X
  }
  return r->head.len > 0;
}

enum frame_state { FRAME_FINE, FRAME_CUT, FRAME_FORGED };

struct frame {
  char kind;
  struct str bytes;
};

/* The frame at r->at, which moves behind it. */
static enum frame_state take_frame(struct recording *r, struct frame *f, bool checks) {
  const char *at = r->text + r->at, *end = r->text + r->length, *feed = memchr(at, '\n', (size_t)(end - at));
  char line[RECORDING_FRAME_MORE];
  size_t length;
  unsigned long long sum;
  int used = 0;
  if (!feed) return end - at < RECORDING_FRAME_MORE ? FRAME_CUT : FRAME_FORGED;
  if (feed - at >= RECORDING_FRAME_MORE) return FRAME_FORGED;
  snprintf(line, sizeof line, "%.*s", (int)(feed - at),
           at); /* sscanf would look for the end of the whole file */
  if (sscanf(line, "%c %zu %16llx%n", &f->kind, &length, &sum, &used) != 3 || line[used]) return FRAME_FORGED;
  if (length > r->length || (size_t)(end - feed) < length + 2) return FRAME_CUT;
  f->bytes = (struct str){feed + 1, length};
  if (feed[1 + length] != '\n') return FRAME_FORGED;
  if (checks && XXH3_64bits_withSeed(f->bytes.ptr, length, r->index) != sum) return FRAME_FORGED;
  r->at = (size_t)(feed + length + 2 - r->text);
  r->index++;
  return FRAME_FINE;
}

static bool read_end(struct recording *r, const struct frame *f, char **why) {
  struct str rest = f->bytes, name, text;
  uint64_t count;
  bool fine = take_member(&rest, &name, &text) && str_to_u64(text, &count) && count == r->index - 2;
  if (fine && r->at == r->length) {
    r->count = count;
    return true;
  }
  return why_say(why, fine ? "there is something behind its end"
                           : "its end does not count the requests that it has");
}

/* Of the first frame: when it began. */
static void read_head(struct recording *r, struct str rest) {
  struct str name, text;
  while (rest.len && take_member(&rest, &name, &text))
    if (str_equal(name, STR("began"))) str_to_u64(text, &r->began_s);
}

static bool refuse(enum frame_state state, uint64_t index, char **why) {
  unsigned long long number = index;
  if (state == FRAME_CUT)
    return why_say(why,
                   "it was cut short in its request %llu: the recording, or a copy, did not come to its end",
                   number);
  return why_say(why, "its request %llu is not as it was recorded: the file is damaged, or was changed",
                 number);
}

enum { MAGIC_BYTES = sizeof RECORDING_MAGIC - 1 };

static bool has_magic(struct str begin, char **why) {
  if (begin.len >= MAGIC_BYTES && memcmp(begin.ptr, RECORDING_MAGIC, MAGIC_BYTES) == 0) return true;
  return why_say(why, "it is no recording of 'perilune record', or of another version");
}

/* All frames, once. */
static bool check(struct recording *r, char **why) {
  struct recorded recorded;
  struct frame f;
  if (!has_magic((struct str){r->text, r->length}, why)) return false;
  r->at = MAGIC_BYTES;
  for (;;) {
    uint64_t index = r->index;
    if (r->at == r->length) return refuse(FRAME_CUT, index, why);
    enum frame_state state = take_frame(r, &f, true);
    if (state == FRAME_FINE && f.kind == 'H') read_head(r, f.bytes);
    if (state == FRAME_FINE && f.kind == 'E' && index > 0) return read_end(r, &f, why);
    bool is_known = index == 0 ? f.kind == 'H'
                               : f.kind == 'R' && state == FRAME_FINE && recorded_read(f.bytes, &recorded);
    if (state != FRAME_FINE || !is_known)
      return refuse(state == FRAME_FINE ? FRAME_FORGED : state, index, why);
  }
}

/* One byte more, a zero, for the functions of C that read numbers. No recording: not read, for it may be large. */
static bool read_file(struct recording *r, int fd, char **why) {
  struct stat stat;
  char begin[MAGIC_BYTES];
  if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) return why_say(why, "it is no file");
  if (stat.st_size > FILE_MOST) return why_say(why, "it is larger than 8 GiB");
  ssize_t first = pread(fd, begin, sizeof begin, 0);
  if (!has_magic((struct str){begin, first > 0 ? (size_t)first : 0}, why)) return false;
  r->text = memory_zalloc((size_t)stat.st_size + 1);
  while (r->length < (size_t)stat.st_size) {
    ssize_t got = read(fd, r->text + r->length, (size_t)stat.st_size - r->length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return why_say(why, "%s", strerror(errno));
    if (got == 0) break;
    r->length += (size_t)got;
  }
  return true;
}

bool recording_open(struct recording *r, const char *path, char **why) {
  *r = (struct recording){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return why_say(why, "%s", strerror(errno));
  bool fine = read_file(r, fd, why) && check(r, why);
  close(fd);
  recording_rewind(r);
  return fine;
}

bool recording_of_text(struct recording *r, struct str text, char **why) {
  *r = (struct recording){.text = memory_zalloc(text.len + 1), .length = text.len};
  if (text.len) memcpy(r->text, text.ptr, text.len);
  bool fine = check(r, why);
  recording_rewind(r);
  return fine;
}

void recording_rewind(struct recording *r) {
  r->at = MAGIC_BYTES;
  r->index = 0;
}

bool recording_next(struct recording *r, struct recorded *recorded) {
  struct frame f;
  while (r->at < r->length && take_frame(r, &f, false) == FRAME_FINE)
    if (f.kind == 'R') return recorded_read(f.bytes, recorded);
  return false;
}

void recording_close(struct recording *r) {
  free(r->text);
  r->text = NULL;
}
