// SPDX-License-Identifier: Apache-2.0
// Units for shared/sink, with files in a directory of their own.
#include "shared/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "threads.h"
#include "unit.h"

static char directory[UNIT_PATH_BYTES], path[UNIT_PATH_BYTES + 8];

static const char *in_directory(const char *name) {
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return path;
}

static void make_directory(void) {
  unit_temporary(directory, "perilune-sink-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
}

static void remove_directory(void) {
  static const char *const names[] = {"a", "b", "fifo", "socket"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_directory(names[i]));
  CHECK(rmdir(directory) == 0);
}

static struct sink *open_sink(const char *name, unsigned lanes) {
  char *why = NULL;
  struct sink *sink = sink_open(in_directory(name), lanes, true, &why);
  CHECK(sink != NULL);
  free(why);
  return sink;
}

static void put(struct sink *sink, unsigned lane, const char *line) {
  sink_write(sink, lane, SINK_INFO, line, strlen(line));
}

static void end(struct sink *sink) {
  sink_finish(sink, 5000);
  sink_free(sink);
}

static struct str content(const char *name) {
  static char text[1 << 20];
  int fd = open(in_directory(name), O_RDONLY);
  ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
  if (fd >= 0) close(fd);
  return (struct str){text, length > 0 ? (size_t)length : 0};
}

IT("writes lines to a file, and all of them before its end") {
  make_directory();
  struct sink *sink = open_sink("a", 1);
  put(sink, 0, "one\n");
  put(sink, 0, "two\n");
  end(sink);
  sink = open_sink("a", 1);
  put(sink, 0, "three\n");
  end(sink);
  CHECK_STR(content("a"), "one\ntwo\nthree\n");
  remove_directory();
}

IT("says why a file cannot be opened") {
  char *why = NULL;
  CHECK(sink_open("/no/such/directory/log", 1, true, &why) == NULL);
  CHECK(why && strstr(why, "/no/such/directory/log: its folder does not exist"));
  free(why);
}

enum { LINES = 5000 };

static void write_many(void *sink, unsigned self) {
  char line[64];
  for (unsigned i = 0; i < LINES; i++) {
    snprintf(line, sizeof line, "%u %04u abcdefghijklmnopqrstuvwxyz\n", self, i);
    put(sink, self, line);
    if (i % 100 == 0) usleep(200);
  }
}

IT("keeps lines of several threads whole, and each thread's in order, around the end of the ring") {
  make_directory();
  struct sink *sink = open_sink("a", THREADS);
  threads_run(write_many, sink);
  CHECK(sink_dropped(sink) == 0);
  end(sink);
  unsigned next[THREADS] = {0}, lines = 0;
  struct str rest = content("a"), line;
  while (str_split(&rest, '\n', &line) && rest.ptr) {
    unsigned self = THREADS, number = 0;
    CHECK(line.len == 33);
    CHECK(sscanf(line.ptr, "%u %u", &self, &number) == 2 && self < THREADS && number == next[self]++);
    lines++;
  }
  CHECK(lines == THREADS * LINES);
  remove_directory();
}

IT("drops and counts what a pipe that nobody reads does not take, and neither waits nor hangs at its end") {
  make_directory();
  CHECK(mkfifo(in_directory("fifo"), 0600) == 0);
  struct sink *sink = open_sink("fifo", 1);
  char line[1001];
  memset(line, 'x', sizeof line);
  line[999] = '\n';
  line[1000] = '\0';
  for (int i = 0; i < 2000; i++) put(sink, 0, line);
  CHECK(sink_dropped(sink) > 1000);
  sink_finish(sink, 50);
  sink_free(sink);
  remove_directory();
}

IT("goes on in a new file once it is told to, losing nothing") {
  make_directory();
  char to[128];
  struct sink *sink = open_sink("a", 1);
  put(sink, 0, "before\n");
  for (int i = 0; i < 500 && content("a").len == 0; i++) usleep(10000);
  strcpy(to, in_directory("b"));
  CHECK(rename(in_directory("a"), to) == 0);
  sink_reopen(sink);
  for (int i = 0; i < 500 && access(in_directory("a"), F_OK) != 0; i++) usleep(10000);
  put(sink, 0, "after\n");
  end(sink);
  CHECK_STR(content("b"), "before\n");
  CHECK_STR(content("a"), "after\n");
  remove_directory();
}

IT("drops whole lines where a file may not grow, and goes on with a line of its own when it may") {
  make_directory();
  struct rlimit before, small;
  getrlimit(RLIMIT_FSIZE, &before);
  small = (struct rlimit){.rlim_cur = 10, .rlim_max = before.rlim_max};
  struct sink *sink = open_sink("a", 1);
  int standard_error = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
  dup2(nowhere,
       STDERR_FILENO); /* a file as well, perhaps: what is logged meanwhile would end in its middle */
  setrlimit(RLIMIT_FSIZE, &small); /* SIGXFSZ is blocked in its thread */
  put(sink, 0, "123456\n");
  put(sink, 0, "abcdef\n");
  for (int i = 0; i < 500 && sink_dropped(sink) == 0; i++) usleep(10000);
  setrlimit(RLIMIT_FSIZE, &before);
  dup2(standard_error, STDERR_FILENO);
  close(standard_error);
  close(nowhere);
  CHECK(sink_dropped(sink) >= 1);
  put(sink, 0, "next\n");
  end(sink);
  CHECK_STR(content("a"), "123456\nabc\nnext\n");
  remove_directory();
}

static int open_syslog(void) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  strcpy(addr.sun_path, in_directory("socket"));
  CHECK(bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0);
  return fd;
}

IT("sends syslog a packet for each line, with its priority") {
  make_directory();
  char target[160], packet[512], *why = NULL;
  int fd = open_syslog();
  snprintf(target, sizeof target, "syslog:%s", in_directory("socket"));
  struct sink *sink = sink_open(target, 1, false, &why);
  CHECK(sink && sink_is_syslog(sink));
  sink_write(sink, 0, SINK_ERROR, "first\n", 6);
  sink_write(sink, 0, SINK_DEBUG, "second\n", 7);
  ssize_t length = recv(fd, packet, sizeof packet - 1, 0);
  packet[length > 0 ? length : 0] = '\0';
  CHECK(strncmp(packet, "<27>", 4) == 0 && strstr(packet, " perilune[") && strstr(packet, "]: first"));
  CHECK(!strchr(packet, '\n'));
  length = recv(fd, packet, sizeof packet - 1, 0);
  packet[length > 0 ? length : 0] = '\0';
  CHECK(strncmp(packet, "<31>", 4) == 0 && strstr(packet, "]: second"));
  close(fd);
  unlink(in_directory("socket"));
  put(sink, 0, "nobody hears\n");
  for (int i = 0; i < 500 && sink_dropped(sink) == 0; i++) usleep(10000);
  CHECK(sink_dropped(sink) == 1);
  fd = open_syslog(); /* it was started anew */
  put(sink, 0, "third\n");
  length = recv(fd, packet, sizeof packet - 1, 0);
  packet[length > 0 ? length : 0] = '\0';
  CHECK(strstr(packet, "]: third") != NULL);
  close(fd);
  end(sink);
  remove_directory();
}
