// SPDX-License-Identifier: Apache-2.0
// turns: load for several proxies that run side by side, which it visits in turn, a window of some milliseconds each,
// with connections that stay. What disturbs the machine for longer than a window disturbs all of them alike, so the
// ratio of two windows that follow each other is steady where the ratio of two long runs is not.
//   turns WINDOWS MILLISECONDS PATH PORT:CONNECTIONS:FIELDS:PID[,PID...]...
// FIELDS are sent with each request besides Host and appid, and the line that TURNS_FIELD is. The CPU time is that of
// all threads of the PIDs, as the scheduler counts it. A line of JSON for each window: the target's number, requests,
// seconds, CPU and latency in us.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  HEAD_BYTES = 8192,
  MOST_PIDS = 32,
  EVENTS = 512,
  MOST_SAMPLES = 1 << 16,
  WARM_UP = 3,
  STUCK_MS = 10000
};
#define IN_CHUNKS LONG_MAX /* a body's bytes that are left, where its head does not say it */

struct connection {
  int fd;
  size_t head_bytes; /* of the response, so far */
  long left;         /* of its body; -1: the head is not here yet */
  double asked;      /* when, in us */
  int status;
  bool closes;
  char *head; /* owned */
};

struct target {
  int port, pids[MOST_PIDS], pid_count, connection_count, poll_fd;
  struct connection *connections; /* owned */
  char *request;                  /* owned */
  size_t request_bytes;
};

struct window {
  double ends;
  long requests, other_statuses, errors, waiting;
  double latencies[MOST_SAMPLES];
};

static struct window window;
static char bulk[1 << 20];

static int visited; /* the port */

static void give_up(const char *what) {
  fprintf(stderr, "turns: port %d: %s: %s\n", visited, what, strerror(errno));
  exit(1);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* --- what the proxies have used ------------------------------------------------------------------------------- */

static double cpu_of_thread(const char *pid, const char *thread) {
  char path[300], text[128] = "";
  snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, thread);
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  return got > 0 ? strtod(text, NULL) / 1e3 : 0;
}

static double cpu_us(const struct target *target) {
  double sum = 0;
  for (int i = 0; i < target->pid_count; i++) {
    char pid[16], path[64];
    snprintf(pid, sizeof pid, "%d", target->pids[i]);
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
      if (entry->d_name[0] != '.') sum += cpu_of_thread(pid, entry->d_name);
    if (directory) closedir(directory);
  }
  return sum;
}

/* --- connections ---------------------------------------------------------------------------------------------- */

static void reach(struct target *target, struct connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)target->port)};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  int one = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) give_up("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 || epoll_ctl(target->poll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
    give_up("epoll");
}

static void reach_again(struct target *target, struct connection *c) {
  close(c->fd);
  reach(target, c);
}

static void ask(struct target *target, struct connection *c) {
  c->head_bytes = 0;
  c->left = -1;
  c->closes = false;
  c->asked = now_us();
  if (send(c->fd, target->request, target->request_bytes, MSG_NOSIGNAL) != (ssize_t)target->request_bytes) {
    reach_again(target, c); /* it was closed while it rested */
    if (send(c->fd, target->request, target->request_bytes, MSG_NOSIGNAL) < 0) give_up("send");
  }
  window.waiting++;
}

/* The bytes of the last chunk are taken for it wherever a piece ends with them: content does that once in 2^40. */
static void look_for_end(struct connection *c, const char *bytes, size_t count) {
  static const char last[] = "0\r\n\r\n";
  if (count >= 5 && memcmp(bytes + count - 5, last, 5) == 0) c->left = 0;
}

/* The head ends before `body`, of which some may be there. What is spent here the origin lacks, and the proxy waits. */
static void read_head(struct connection *c, char *body) {
  body[-1] = '\0'; /* so that the body is not searched */
  const char *length = strcasestr(c->head, "\r\ncontent-length:");
  bool is_chunked = !length && strcasestr(c->head, "\r\ntransfer-encoding: chunked");
  if (strncmp(c->head, "HTTP/1.", 7) != 0 || (!length && !is_chunked)) {
    errno = EPROTO;
    give_up("a response without a length");
  }
  c->status = (int)strtol(c->head + 8, NULL, 10);
  c->closes = strcasestr(c->head, "\r\nconnection: close") != NULL;
  long got = (long)(c->head + c->head_bytes - body);
  c->left = is_chunked ? IN_CHUNKS : strtol(length + 17, NULL, 10) - got;
  if (is_chunked) look_for_end(c, body, (size_t)got);
}

/* Of a head, no more than there is room for. */
static void take(struct connection *c, const char *bytes, size_t count) {
  if (c->left == IN_CHUNKS) {
    look_for_end(c, bytes, count);
    return;
  }
  if (c->left >= 0) {
    c->left -= (long)count;
    return;
  }
  memcpy(c->head + c->head_bytes, bytes, count);
  c->head_bytes += count;
  c->head[c->head_bytes] = '\0';
  char *end = strstr(c->head, "\r\n\r\n");
  if (end) read_head(c, end + 4);
}

static void finish(struct target *target, struct connection *c) {
  if (window.requests < MOST_SAMPLES) window.latencies[window.requests] = now_us() - c->asked;
  window.requests++;
  window.waiting--;
  window.other_statuses += c->status < 200 || c->status > 299;
  if (c->closes) reach_again(target, c);
}

static void on_readable(struct target *target, struct connection *c) {
  size_t room = c->left < 0 ? HEAD_BYTES - 1 - c->head_bytes : sizeof bulk;
  ssize_t got = recv(c->fd, bulk, room, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0) {
    take(c, bulk, (size_t)got);
    if (c->left != 0) return;
    finish(target, c);
  } else {
    bool rested = c->left == 0; /* then it may close */
    reach_again(target, c);
    c->left = 0;
    if (rested) return;
    window.errors++;
    window.waiting--;
  }
  if (now_us() < window.ends) ask(target, c);
}

/* --- a window ------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static long samples(void) { return window.requests < MOST_SAMPLES ? window.requests : MOST_SAMPLES; }

/* Of sorted latencies. */
static double percentile(double share) {
  return samples() ? window.latencies[(long)(share * (double)(samples() - 1))] : 0;
}

static void visit(struct target *target, int index, double us, bool counts) {
  struct epoll_event events[EVENTS];
  visited = target->port;
  double used = cpu_us(target), began = now_us();
  window.ends = began + us;
  window.requests = window.other_statuses = window.errors = window.waiting = 0;
  for (int i = 0; i < target->connection_count; i++) ask(target, &target->connections[i]);
  while (window.waiting) {
    int count = epoll_wait(target->poll_fd, events, EVENTS, STUCK_MS);
    if (count == 0) errno = ETIMEDOUT;
    if (count <= 0) give_up("waiting for responses");
    for (int i = 0; i < count; i++) on_readable(target, events[i].data.ptr);
  }
  double seconds = (now_us() - began) / 1e6;
  usleep(200); /* it goes to sleep */
  used = cpu_us(target) - used;
  if (!counts) return;
  qsort(window.latencies, (size_t)samples(), sizeof *window.latencies, ascending);
  printf("{\"target\": %d, \"requests\": %ld, \"seconds\": %.6f, \"cpu_us\": %.3f, \"p50_us\": %.1f, "
         "\"p99_us\": %.1f, "
         "\"other_statuses\": %ld, \"errors\": %ld}\n",
         index, window.requests, seconds, used, percentile(.5), percentile(.99), window.other_statuses,
         window.errors);
}

/* --- the command line ----------------------------------------------------------------------------------------- */

static char *new_request(const char *path, int port, int fields, size_t *bytes) {
  char *text;
  FILE *out = open_memstream(&text, bytes);
  fprintf(out, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nappid: 1\r\n", path, port);
  const char *further = getenv("TURNS_FIELD");
  if (further && *further) fprintf(out, "%s\r\n", further);
  for (int i = 0; i < fields; i++) fprintf(out, "X-Field-%d: 0123456789abcdef\r\n", i);
  fputs("\r\n", out);
  fclose(out);
  return text;
}

static void open_target(struct target *target, const char *text, const char *path) {
  int fields, at;
  if (sscanf(text, "%d:%d:%d:%n", &target->port, &target->connection_count, &fields, &at) != 3) {
    errno = EINVAL;
    give_up(text);
  }
  for (const char *pid = text + at; *pid && target->pid_count < MOST_PIDS; pid += *pid == ',')
    target->pids[target->pid_count++] = (int)strtol(pid, (char **)&pid, 10);
  visited = target->port;
  target->request = new_request(path, target->port, fields, &target->request_bytes);
  target->poll_fd = epoll_create1(0);
  target->connections = calloc((size_t)target->connection_count, sizeof *target->connections);
  for (int i = 0; i < target->connection_count; i++) {
    struct connection *c = &target->connections[i];
    c->head = malloc(HEAD_BYTES);
    reach(target, c);
  }
}

int main(int argc, char **argv) {
  int targets = argc - 4;
  if (targets < 1) return 2;
  struct target *all = calloc((size_t)targets, sizeof *all);
  for (int i = 0; i < targets; i++) open_target(&all[i], argv[4 + i], argv[3]);
  for (int w = -WARM_UP; w < atoi(argv[1]); w++)
    for (int i = 0; i < targets; i++) {
      int index = w & 1 ? targets - 1 - i : i; /* none comes always behind the same one */
      visit(&all[index], index, atof(argv[2]) * 1000, w >= 0);
    }
  return 0;
}
