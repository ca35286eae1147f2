// SPDX-License-Identifier: Apache-2.0
// name_server: see name_server.h. Messages are those of RFC 1035 section 4.
#include "name_server.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 12, TYPE_A = 1, TYPE_AAAA = 28, TYPE_SRV = 33 };

static const unsigned char good[] = "\4good\4test", slow[] = "\4slow\4test", half[] = "\4half\4test";
static const unsigned char corp[] = "\2db\4corp\4test";
static const unsigned char records[] = {0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1,
                                        0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2};

/* 1 5 a.test:8080 and 2 0 b.test:81, between them one of "." and of another type. */
static const unsigned char services[] = {
    0xc0, HEADER, 0, 33,  0,   1,   0,   0,    0,      60,     0,      14,  0,   1,   0, 5, 0x1f, 0x90,
    1,    'a',    4, 't', 'e', 's', 't', 0,    0xc0,   HEADER, 0,      33,  0,   1,   0, 0, 0,    9,
    0,    7,      0, 1,   0,   5,   0,   80,   0,      0xc0,   HEADER, 0,   1,   0,   1, 0, 0,    0,
    9,    0,      4, 1,   2,   3,   4,   0xc0, HEADER, 0,      33,     0,   1,   0,   0, 0, 30,   0,
    14,   0,      2, 0,   0,   0,   81,  1,    'b',    4,      't',    'e', 's', 't', 0};

/* Turns the question in `message` into its answer; returns the length, 0: no answer. */
static size_t answer(const struct name_server *server, unsigned char *message, size_t length) {
  if (length < HEADER + 1 + 4 || server->is_silent) return 0;
  unsigned char *name = message + HEADER, *end = name + strlen((char *)name) + 1;
  bool is_half = memcmp(name, half, sizeof half) == 0, is_a = end[1] == TYPE_A;
  if (memcmp(name, slow, sizeof slow) == 0 || (is_half && end[1] == TYPE_AAAA)) return 0;
  bool is_good = memcmp(name, good, sizeof good) == 0 || is_half || memcmp(name, corp, sizeof corp) == 0;
  message[2] = 0x81;                  /* a response, recursion desired */
  message[3] = is_good ? 0x80 : 0x83; /* recursion available; NXDOMAIN */
  if (server->fails) message[3] = 0x82;
  memset(message + 6, 0, 6); /* no records, above all no OPT */
  bool is_srv = end[1] == TYPE_SRV;
  end += 4;
  if (is_good && is_srv) {
    message[7] = 4;
    memcpy(end, services, sizeof services);
    return (size_t)(end - message) + sizeof services;
  }
  if (!is_good || !is_a || server->fails) return (size_t)(end - message);
  message[7] = 2;
  memcpy(end, records, sizeof records);
  end[9] = end[25] = server->ttl_s;
  return (size_t)(end - message) + sizeof records;
}

static void on_question(struct ev_loop *loop, ev_io *watcher, int events) {
  struct name_server *server = watcher->data;
  unsigned char message[1024] = {0};
  struct sockaddr_in from;
  socklen_t from_length = sizeof from;
  (void)loop, (void)events;
  ssize_t got = recvfrom(server->fd, message, sizeof message - sizeof services - 8, 0,
                         (struct sockaddr *)&from, &from_length);
  if (got <= 0) return;
  server->questions++;
  size_t length = answer(server, message, (size_t)got);
  if (length) sendto(server->fd, message, length, 0, (struct sockaddr *)&from, from_length);
}

void name_server_start(struct name_server *server, struct ev_loop *loop) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof here;
  *server = (struct name_server){
      .loop = loop, .ttl_s = 60, .fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (bind(server->fd, (struct sockaddr *)&here, length) != 0) abort();
  if (getsockname(server->fd, (struct sockaddr *)&here, &length) != 0) abort();
  snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(here.sin_port));
  ev_io_init(&server->watcher, on_question, server->fd, EV_READ);
  server->watcher.data = server;
  ev_io_start(loop, &server->watcher);
}

void name_server_stop(struct name_server *server) {
  ev_io_stop(server->loop, &server->watcher);
  close(server->fd);
}
