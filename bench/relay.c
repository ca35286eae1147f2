// SPDX-License-Identifier: Apache-2.0
// relay: the floor of the bench. Bytes of a client go to the origin and back as they come, read once and
// written once: no parsing, no pool, no policy. What it costs is what the kernel takes from any proxy that
// reads and writes.
//   relay PORT ORIGIN_PORT
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER_BYTES = 65536, FDS = 1 << 16 };

/* One side of a pair. */
struct side {
  int other;  /* its file descriptor; 0: closed */
  char *rest; /* owned: what the other side could not take yet */
  size_t rest_bytes;
};

static struct side sides[FDS];
static int poll_fd, origin_port;
static char buffer[BUFFER_BYTES];

static struct sockaddr_in local(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static void watch(int fd, unsigned events, int operation) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(poll_fd, operation, fd, &event);
}

static void close_pair(int fd) {
  int other = sides[fd].other;
  free(sides[fd].rest);
  free(sides[other].rest);
  sides[fd] = sides[other] = (struct side){0};
  close(fd);
  close(other);
}

static void accept_all(int listener) {
  struct sockaddr_in origin = local(origin_port);
  int one = 1;
  for (int client; (client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(server, (struct sockaddr *)&origin, sizeof origin) != 0) {
      close(server);
      close(client);
      continue;
    }
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sides[client].other = server;
    sides[server].other = client;
    watch(client, EPOLLIN, EPOLL_CTL_ADD);
    watch(server, EPOLLIN, EPOLL_CTL_ADD);
  }
}

/* What does not fit is kept, and its source is not read until it is gone. */
static void keep_rest(int fd, int to, const char *bytes, size_t count) {
  struct side *side = &sides[fd];
  side->rest = malloc(count);
  if (!side->rest) abort();
  side->rest_bytes = count;
  __builtin_memcpy(side->rest, bytes, count);
  watch(fd, 0, EPOLL_CTL_MOD);
  watch(to, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void move(int fd) {
  int to = sides[fd].other;
  ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  ssize_t sent = got > 0 ? send(to, buffer, (size_t)got, MSG_DONTWAIT) : -1;
  if (sent < 0 && got > 0 && errno == EAGAIN) sent = 0;
  if (sent < 0)
    close_pair(fd);
  else if (sent < got)
    keep_rest(fd, to, buffer + sent, (size_t)(got - sent));
}

static void send_rest(int to) {
  int from = sides[to].other;
  struct side *side = &sides[from];
  ssize_t sent = send(to, side->rest, side->rest_bytes, MSG_DONTWAIT);
  if (sent < 0 && errno == EAGAIN) return;
  if (sent < 0) {
    close_pair(to);
    return;
  }
  side->rest_bytes -= (size_t)sent;
  __builtin_memmove(side->rest, side->rest + sent, side->rest_bytes);
  if (side->rest_bytes) return;
  free(side->rest);
  side->rest = NULL;
  watch(to, EPOLLIN, EPOLL_CTL_MOD);
  watch(from, EPOLLIN, EPOLL_CTL_MOD);
}

static int listen_on(int port) {
  struct sockaddr_in address = local(port);
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 8192) == 0) return fd;
  perror("relay");
  exit(1);
}

int main(int argc, char **argv) {
  struct epoll_event events[EVENTS];
  struct rlimit files;
  if (argc != 3) return 2;
  signal(SIGPIPE, SIG_IGN);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max < FDS ? files.rlim_max : FDS;
  setrlimit(RLIMIT_NOFILE, &files);
  origin_port = atoi(argv[2]);
  poll_fd = epoll_create1(0);
  int listener = listen_on(atoi(argv[1]));
  watch(listener, EPOLLIN, EPOLL_CTL_ADD);
  for (;;) {
    int count = epoll_wait(poll_fd, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener)
        accept_all(listener);
      else if (sides[fd].other && events[i].events & EPOLLOUT && sides[sides[fd].other].rest)
        send_rest(fd);
      else if (sides[fd].other && !sides[fd].rest)
        move(fd);
      else if (sides[fd].other && events[i].events & (EPOLLHUP | EPOLLERR))
        close_pair(fd);
    }
  }
}
