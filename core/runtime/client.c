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
#include <unistd.h>

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

/* Lines "+text" before the answer: shown as they come, and taken out. */
static void show_progress(struct answer *answer) {
  char *end;
  while (answer->length && *answer->text == '+' && (end = memchr(answer->text, '\n', answer->length))) {
    size_t bytes = (size_t)(end + 1 - answer->text);
    running_print(stderr, answer->text + 1, bytes - 1);
    answer->length -= bytes;
    memmove(answer->text, end + 1, answer->length);
  }
}

/* All of it, to the end of the connection. */
static bool read_answer(const struct running *running, int fd, struct answer *answer) {
  ssize_t got;
  do {
    if (!wait_for_more(running, fd)) return false;
    char *text = realloc(answer->text, answer->length + READ_BYTES + 1);
    if (!text) return false;
    answer->text = text;
    got = read(fd, text + answer->length, READ_BYTES);
    if (got > 0) answer->length += (size_t)got;
    show_progress(answer);
  } while (got > 0 || (got < 0 && errno == EINTR));
  answer->text[answer->length] = '\0';
  return true;
}

/* The first line is the exit code, the rest is for people. */
static int print_answer(const struct answer *answer) {
  char *end = answer->length ? strchr(answer->text, '\n') : NULL;
  if (!end) return complain("the proxy ended without an answer", "");
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
int client_command(const struct client_target *target, const char *line, bool changes) {
  struct answer answer = {NULL, 0};
  struct running running;
  char text[256];
  signal(SIGPIPE, SIG_IGN);
  int code = EXIT_FAILED, fd = running_find(target, &running) ? running_connect(&running) : -1;
  if (fd < 0) return EXIT_FAILED;
  if (changes) announce(&running, fd);
  size_t length = (size_t)snprintf(text, sizeof text, "%s\n", line);
  ssize_t sent = write(fd, text, length);
  (void)sent;
  if (read_answer(&running, fd, &answer)) code = print_answer(&answer);
  free(answer.text);
  close(fd);
  return code;
}
