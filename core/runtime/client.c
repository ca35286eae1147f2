// SPDX-License-Identifier: Apache-2.0
// client: plain blocking code, since this process does nothing else. runtime/running finds the proxy. Its answer is
// shown on a terminal, so it is escaped.
#include "runtime/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/str.h"
#include "runtime/process.h"
#include "runtime/running.h"
#include "runtime/starting.h"

enum { READ_BYTES = 65536, PATIENCE_MS = 3000, PING_MS = 5000 };

static int complain(const char *what, const char *detail) {
  fprintf(stderr, "perilune: %s%s\n", what, detail);
  return EXIT_FAILED;
}

/* --- the answer --------------------------------------------------------------------------------------------- */

struct answer {
  char *text; /* owned */
  size_t length;
};

/* Its socket is there before its first policy has been loaded, and its loop turns only then. */
static bool is_starting(int fd) {
  char text[STARTING_BYTES];
  if (!starting_find(running_peer(fd).pid, text, sizeof text)) return false;
  fputs("perilune: ", stderr);
  running_print(stderr, text, strlen(text));
  fputc('\n', stderr);
  return true;
}

/* Some commands take long; but a proxy whose loop turns answers to this one at once, whatever it answers. */
static bool is_alive(const struct running *running) {
  int fd = running_connect(running);
  bool alive = fd >= 0 && write(fd, "ping\n", 5) == 5 && running_wait(fd, PING_MS);
  if (fd >= 0) close(fd);
  return alive;
}

static bool wait_for_more(const struct running *running, int fd) {
  while (!running_wait(fd, PATIENCE_MS)) {
    if (is_starting(fd)) return false;
    if (is_alive(running)) continue;
    fprintf(
        stderr,
        "perilune: the proxy has not answered for %d s: its control worker does not come back to its loop; "
        "'kill -TERM %d' stops it all the same\n",
        (PATIENCE_MS + PING_MS) / 1000, (int)running_peer(fd).pid);
    return false;
  }
  return true;
}

/* "#LENGTH\n" and so many bytes, for the file. How many bytes that are in all; 0: not all has come. */
static size_t take_raw(const struct answer *answer, size_t at, size_t line, FILE *raw) {
  uint64_t bytes = 0;
  bool is_number = str_to_u64((struct str){answer->text + at + 1, line - 2}, &bytes);
  if (!is_number || answer->length - at - line < bytes) return 0;
  if (raw) fwrite(answer->text + at + line, 1, bytes, raw);
  return line + bytes;
}

/* What stands before the answer is used as it comes, and taken out: "+text" is progress, "=text" output, and "#" bytes
 * for the file. */
static void use_stream(struct answer *answer, FILE *raw) {
  size_t at = 0;
  while (at < answer->length && strchr("+=#", answer->text[at])) {
    const char *begin = answer->text + at, *end = memchr(begin, '\n', answer->length - at);
    size_t bytes = end ? (size_t)(end + 1 - begin) : 0;
    if (bytes && *begin == '#')
      bytes = take_raw(answer, at, bytes, raw);
    else if (bytes)
      running_print(*begin == '+' ? stderr : stdout, begin + 1, bytes - 1);
    if (!bytes) break;
    at += bytes;
  }
  if (at) fflush(stdout);
  answer->length -= at;
  memmove(answer->text, answer->text + at, answer->length);
}

/* Whoever reads our output, as head does, may have had enough: that is no failure of the proxy. */
static void complain_of_output(void) {
  if (errno != EPIPE && errno != EPROTO) complain("cannot write: ", strerror(errno));
}

/* All of it, to the end of the connection. */
static bool read_answer(const struct running *running, int fd, struct answer *answer, FILE *raw) {
  ssize_t got;
  do {
    if (!wait_for_more(running, fd)) return false;
    char *text = realloc(answer->text, answer->length + READ_BYTES + 1);
    if (!text) return false;
    answer->text = text;
    got = read(fd, text + answer->length, READ_BYTES);
    if (got > 0) answer->length += (size_t)got;
    use_stream(answer, raw);
    if (ferror(stdout) || (raw && ferror(raw))) return complain_of_output(), false;
  } while (got > 0 || (got < 0 && errno == EINTR));
  answer->text[answer->length] = '\0';
  return true;
}

/* The first line is the exit code, the rest is for people. */
static int print_answer(const struct answer *answer) {
  char *end = answer->length ? strchr(answer->text, '\n') : NULL;
  if (!end)
    return complain("the proxy closed the connection without an answer: ",
                    "it has ended, or has no memory left; see its log");
  int code = atoi(answer->text);
  if (code != EXIT_FINE) fputs("perilune: ", stderr);
  running_print(code == EXIT_FINE ? stdout : stderr, end + 1,
                answer->length - (size_t)(end + 1 - answer->text));
  return code;
}

/* If the proxy was not named, it is printed: a command that changes something must not go unnoticed to any proxy. */
static void announce(const struct running *running, int fd) {
  if (!running->is_only_one) return;
  fprintf(stderr, "perilune: the proxy that runs is process %d: ", (int)running_peer(fd).pid);
  running_print_summary(stderr, running);
}

/* A proxy that turns us away says why, whether or not it has taken the line. */
int client_stream(const struct client_target *target, const char *line, bool changes, FILE *raw) {
  struct answer answer = {NULL, 0};
  struct running running;
  signal(SIGPIPE, SIG_IGN);
  int code = EXIT_FAILED, fd = running_find(target, &running) ? running_connect(&running) : -1;
  if (fd < 0) return EXIT_FAILED;
  if (changes) announce(&running, fd);
  struct iovec parts[] = {{(char *)line, strlen(line)}, {"\n", 1}};
  ssize_t sent = writev(fd, parts, 2);
  (void)sent;
  if (read_answer(&running, fd, &answer, raw)) code = print_answer(&answer);
  free(answer.text);
  close(fd);
  return code;
}
