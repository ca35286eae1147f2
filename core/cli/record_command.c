// SPDX-License-Identifier: Apache-2.0
// record_command: whatever ends a recording, its time, the proxy, a full disk or Ctrl-C, the file has whole frames and
// a last one behind them. So frames are written one at a time, and a part of one that did not fit is cut off again.
#include "cli/record_command.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/safe_file.h"
#include "cli/steer.h"
#include "runtime/process.h"
#include "shared/recording.h"

enum { DEFAULT_MS = 60000, ALL = 10000, DEFAULT_BODY = 64 << 10 };

/* Of whoever holds the mutex: the command, or the thread that Ctrl-C wakes. */
static struct {
  const char *path;
  int fd;
  off_t good, before; /* bytes of whole frames, and without the last of them */
  uint64_t frames;    /* that they are, with the first line as one */
  int error;          /* why no more was written; 0: all was */
  struct buf partial; /* of a frame that has not come whole */
} file = {.fd = -1};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static bool write_all(const char *bytes, size_t length) {
  while (length) {
    ssize_t sent = write(file.fd, bytes, length);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes += sent;
    length -= (size_t)sent;
  }
  return true;
}

static bool end_at(off_t good, uint64_t frames) {
  struct buf end = {0};
  recording_put_end(&end, frames - 2);
  bool fine = ftruncate(file.fd, good) == 0 && lseek(file.fd, good, SEEK_SET) >= 0 &&
              write_all(buf_ptr(&end), buf_len(&end));
  buf_release(&end);
  return fine;
}

/* Cuts a part of a frame off, and ends the file; where there is no room for that, without the last request. The line
 * and the frame with what the recording is are no requests. */
static bool write_end(void) {
  if (file.frames < 2 || end_at(file.good, file.frames)) return true;
  if (file.frames < 3 || !end_at(file.before, file.frames - 1)) return false;
  file.frames--;
  return true;
}

/* Bytes of the frame at the front; 0: it has not come whole. */
static size_t frame_length(struct str bytes) {
  size_t line = str_find(bytes, '\n'), length;
  char kind;
  if (line >= bytes.len) return 0;
  if (file.frames == 0) return line + 1; /* the first line */
  if (sscanf(bytes.ptr, "%c %zu", &kind, &length) != 2) return 0;
  return bytes.len - line - 1 < length + 1 ? 0 : line + 1 + length + 1;
}

static void write_frames(void) {
  size_t length;
  while (!file.error && buf_len(&file.partial) && (length = frame_length(buf_str(&file.partial)))) {
    if (!write_all(buf_ptr(&file.partial), length)) {
      file.error = errno;
      return;
    }
    file.before = file.good;
    file.good += (off_t)length;
    file.frames++;
    buf_consume(&file.partial, length);
  }
}

/* The stream's: bytes from the proxy. An error ends the command. */
static ssize_t take(void *cookie, const char *bytes, size_t length) {
  (void)cookie;
  pthread_mutex_lock(&mutex);
  buf_append(&file.partial, bytes, length);
  buf_append(&file.partial, "", 1); /* sscanf looks no further */
  file.partial.end--;
  write_frames();
  int error = file.error;
  pthread_mutex_unlock(&mutex);
  errno = error;
  return error ? 0 : (ssize_t)length;
}

/* A thread, because a signal's handler may do next to nothing. Ctrl-C: what there is so far is a recording. */
static void *await_interrupt(void *signals) {
  int number;
  while (sigwait(signals, &number) != 0) continue;
  pthread_mutex_lock(&mutex);
  bool fine = write_end();
  fputs("\nperilune: ended; what was recorded so far is in the file\n", stderr);
  _exit(fine ? EXIT_FINE : EXIT_FAILED);
}

static bool watch_interrupts(void) {
  static sigset_t signals;
  pthread_t thread;
  signal(SIGXFSZ, SIG_IGN);
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  return pthread_create(&thread, NULL, await_interrupt, &signals) == 0 && pthread_detach(thread) == 0;
}

static int fail(const char *path, int error) {
  fprintf(stderr, "perilune: cannot write %s: %s\n", path, safe_reason_new(error));
  return EXIT_FAILED;
}

static int close_file(int code, const char *path) {
  bool fine = write_end();
  int error = errno;
  unsigned long long requests = file.frames > 2 ? file.frames - 2 : 0;
  if (file.frames < 2) unlink(path);
  if (file.error || !fine) {
    if (!fine) fail(path, error);
    if (fine)
      fprintf(stderr, "perilune: the recording has ended early; %llu requests are in %s\n", requests, path);
    code = EXIT_FAILED;
  }
  close(file.fd);
  buf_release(&file.partial);
  if (code == EXIT_FINE) printf("written to %s\n", path);
  return code;
}

int record_command(struct arguments *a) {
  static const cookie_io_functions_t functions = {.write = take};
  char line[96];
  if (!a->output) return arguments_refuse(COMMAND_RECORD, "record wants -o FILE");
  if (arguments_has(a, "--share") && !a->look.share)
    return arguments_refuse(COMMAND_RECORD, "--share wants more than 0%%");
  file.fd = open(a->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file.fd < 0) return fail(a->output, errno);
  snprintf(line, sizeof line, "record %u %u %u", arguments_has(a, "--for") ? a->for_ms : DEFAULT_MS,
           arguments_has(a, "--share") ? a->look.share : ALL, (unsigned)DEFAULT_BODY);
  if (!watch_interrupts()) return fail(a->output, EAGAIN);
  FILE *raw = fopencookie(NULL, "w", functions);
  setvbuf(raw, NULL, _IONBF, 0);
  int code = command_fetch(a, line, raw);
  fclose(raw);
  pthread_mutex_lock(&mutex); /* for good: the file is this thread's now */
  return close_file(code, a->output);
}
