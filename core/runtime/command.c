// SPDX-License-Identifier: Apache-2.0
// command: serves one line per connection. A client is in one of three states: its line is being read, it waits for a
// result, or its answer is being written. A client that does not send its line, or does not read its answer, is
// closed after a few seconds; if there are too many clients, the one that has been silent for longest is closed.
#include "runtime/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/conn.h"
#include "runtime/deploy/inherited.h"
#include "runtime/privileges.h"
#include "runtime/server.h"

enum { LINE_BYTES = 4096, MOST_CLIENTS = 64, MOST_STREAMS = 8, SILENT_MS = 5000 };
enum { STREAM_BYTES = 1 << 20, STALLED_MS = 60000 };

struct command_client {
  struct conn conn;
  struct reaped reaped;
  struct list link;
  struct timer timer;           /* while it is its turn: to send its line, to read its answer */
  struct command_server *owner; /* borrowed */
  enum waits_for state;
  bool wants_progress;
  const struct command_stream *stream; /* borrowed; NULL: it does not stream */
  void *streamer;                      /* borrowed: its owner */
  struct buf out;                      /* of the answer: what is to be sent yet */
  size_t length;
  char line[LINE_BYTES];
};

struct command_server {
  struct listener listener;
  struct listener by_number; /* beside a file: under our process id; fd -1: there is none */
  struct list clients;
  unsigned count;
  struct server *server; /* borrowed */
  command_obey *obey;
  struct socket_file file;
};

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static const struct conn_events events = {on_readable, on_writable};

/* --- clients -------------------------------------------------------------------------------------------- */

static void free_client(struct reaped *reaped) {
  struct command_client *client = CONTAINER_OF(reaped, struct command_client, reaped);
  buf_release(&client->out);
  free(client);
}

/* Whoever sends to it is told first. */
static void end_stream(struct command_client *client) {
  const struct command_stream *stream = client->stream;
  client->stream = NULL;
  if (stream) stream->gone(client->streamer);
}

static void drop(struct command_client *client) {
  end_stream(client);
  timer_stop(&client->timer);
  conn_close(&client->conn);
  list_remove(&client->link);
  client->owner->count--;
  reaper_add(&client->owner->server->control.proxy.reaper, &client->reaped, free_client);
}

/* Writes what the socket takes; the end of an answer is the end of the client. */
static void push(struct command_client *client) {
  size_t before = buf_len(&client->out);
  enum io result = conn_write_all(&client->conn, &client->out);
  conn_want_write(&client->conn, result == IO_AGAIN);
  if (client->stream && buf_len(&client->out) < before) timer_set(&client->timer, STALLED_MS);
  if (client->stream && result == IO_OK) timer_clear(&client->timer);
  if (result == IO_AGAIN || (result == IO_OK && client->state != WAITS_FOR_READER)) return;
  conn_shutdown(&client->conn);
  drop(client);
}

static void on_silent(struct timer *timer) { drop(CONTAINER_OF(timer, struct command_client, timer)); }

static void on_writable(struct conn *conn) { push(conn->owner); }

void command_answer(struct command_client *client, int code, const char *text) {
  char head[16];
  CHECK(client->state != WAITS_FOR_READER);
  client->state = WAITS_FOR_READER;
  client->stream = NULL;
  timer_set(&client->timer, SILENT_MS);
  buf_append(&client->out, head, (size_t)sprintf(head, "%d\n", code));
  buf_append(&client->out, text, strlen(text));
  push(client);
}

void command_wait(struct command_client *client, enum waits_for state) { client->state = state; }

/* --- streams -------------------------------------------------------------------------------------------- */

bool command_stream(struct command_client *client, const struct command_stream *kind, void *owner) {
  unsigned streams = 0;
  LIST_EACH(node, &client->owner->clients) {
    streams += LIST_ENTRY(node, struct command_client, link)->stream != NULL;
  }
  if (streams >= MOST_STREAMS) {
    command_answer(client, EXIT_FAILED,
                   "too many traces and other long commands are under way already; end one\n");
    return false;
  }
  client->state = WAITS_FOR_STREAM;
  client->stream = kind;
  client->streamer = owner;
  return true;
}

/* Written from the loop, not here: a failure would end the client in the middle of its owner's work. */
bool command_send(struct command_client *client, char kind, struct str bytes) {
  char head[32];
  CHECK(client->state == WAITS_FOR_STREAM);
  if (buf_len(&client->out) + bytes.len + sizeof head > STREAM_BYTES) return false;
  int length = kind == '#' ? sprintf(head, "#%zu\n", bytes.len) : sprintf(head, "%c", kind);
  buf_append(&client->out, head, (size_t)length);
  buf_append(&client->out, bytes.ptr, bytes.len);
  if (kind != '#') buf_append(&client->out, "\n", 1);
  conn_want_write(&client->conn, true);
  if (!timer_is_set(&client->timer)) timer_set(&client->timer, STALLED_MS);
  return true;
}

/* --- clients: their line -------------------------------------------------------------------------------- */

struct server *command_server_of(const struct command_client *client) {
  return client->owner->server;
}

void command_refuse(struct command_client *client, int code, char *why) {
  char *text = why_text("%s\n", why);
  command_answer(client, code, text);
  free(text);
  free(why);
}

/* Cuts " progress" off. */
static bool takes_progress(char *line) {
  static const char word[] = " progress";
  size_t length = strlen(line), bytes = sizeof word - 1;
  if (length < bytes || strcmp(line + length - bytes, word) != 0) return false;
  line[length - bytes] = '\0';
  return true;
}

static void on_readable(struct conn *conn) {
  struct command_client *client = conn->owner;
  size_t moved = 0;
  enum io result = conn_read(conn, client->line + client->length, LINE_BYTES - client->length, &moved);
  if (result == IO_AGAIN) return;
  if (result != IO_OK) {
    drop(client);
    return;
  }
  client->length += moved;
  char *end = memchr(client->line, '\n', client->length);
  if (client->state != WAITS_FOR_LINE || (!end && client->length == LINE_BYTES))
    drop(client);
  else if (end) {
    *end = '\0';
    client->length = 0;
    timer_clear(&client->timer); /* now it is our turn */
    client->wants_progress = takes_progress(client->line);
    client->owner->obey(client, client->line);
  }
}

static bool find_peer(int fd, struct ucred *who) {
  socklen_t length = sizeof *who;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &length) == 0;
}

struct ucred command_peer(const struct command_client *client) {
  struct ucred who = {0};
  find_peer(client->conn.fd, &who);
  return who;
}

static bool is_trusted(int fd) {
  struct ucred who;
  if (!find_peer(fd, &who)) return false;
  return who.uid == 0 || who.uid == geteuid();
}

/* To a client that is not admitted. Best effort: one that does not read does not get it. */
static void turn_away(int fd, const char *why) {
  char text[160];
  int length = snprintf(text, sizeof text, "%d\n%s\n", EXIT_FAILED, why);
  ssize_t sent = send(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)sent;
  shutdown(fd, SHUT_RDWR);
  close(fd);
}

/* The oldest of those whose line has not come, or whose answer is not read. */
static bool make_room(struct command_server *c) {
  LIST_EACH(node, &c->clients) {
    struct command_client *client = LIST_ENTRY(node, struct command_client, link);
    if (client->state != WAITS_FOR_LINE && client->state != WAITS_FOR_READER) continue;
    drop(client);
    return true;
  }
  return false;
}

static void accept_client(struct command_server *c, int fd) {
  if (!is_trusted(fd)) {
    turn_away(fd, "commands are heard from the user that the proxy runs as, and from root");
    return;
  }
  if (c->count == MOST_CLIENTS && !make_room(c)) {
    turn_away(fd, "too many commands wait for their outcome already");
    return;
  }
  struct command_client *client = memory_zalloc(sizeof *client);
  client->owner = c;
  conn_init(&client->conn, c->server->control.loop, fd, &events, client);
  timer_init(&client->timer, c->server->control.loop, on_silent);
  timer_set(&client->timer, SILENT_MS);
  list_push_back(&c->clients, &client->link);
  c->count++;
  conn_want_read(&client->conn, true);
}

static void on_accept(struct listener *l, int fd, const struct sockaddr *from, socklen_t length) {
  (void)from, (void)length;
  accept_client(CONTAINER_OF(l, struct command_server, listener), fd);
}

static void on_accept_by_number(struct listener *l, int fd, const struct sockaddr *from, socklen_t length) {
  (void)from, (void)length;
  accept_client(CONTAINER_OF(l, struct command_server, by_number), fd);
}

/* --- life ----------------------------------------------------------------------------------------------- */

enum { ADDRESS_BYTES = 256 };

/* Of the file, or without a path of the name with our process id. */
static void write_address(const char *path, char text[ADDRESS_BYTES]) {
  if (path)
    snprintf(text, ADDRESS_BYTES, "unix:%s", path);
  else
    snprintf(text, ADDRESS_BYTES, "unix:@" COMMAND_SOCKET_PREFIX "%d", (int)getpid());
}

/* By the abstract name, commands find us with a process id or a pid file, and a search for the only proxy counts us.
 * If that name is taken, for instance by another process 1 in the same network namespace, the file is enough. */
static void listen_by_number(struct command_server *c) {
  char text[ADDRESS_BYTES];
  struct addr addr;
  const char *reason = NULL;
  int fd = -1;
  write_address(NULL, text);
  if (addr_parse(str_of(text), &addr, &reason) && listener_open(&addr, &fd, 1, &reason))
    listener_start(&c->by_number, c->server->control.loop, fd, on_accept_by_number);
  else
    log_info("commands are heard at the socket alone: %s: %s", text + sizeof "unix:" - 1, reason);
}

struct command_server *command_listen(struct server *server, const char *path, command_obey *obey,
                                      bool *is_taken, char **why) {
  char text[ADDRESS_BYTES];
  struct addr addr;
  const char *reason = NULL;
  int fd = -1;
  enum socket_owner owner = OWNER_US;
  write_address(path, text);
  bool fine = addr_parse(str_of(text), &addr, &reason);
  if (!fine ||
      (!inherited_take(STR(COMMAND_NAME), &addr, &fd, 1, &owner) && !listener_open(&addr, &fd, 1, &reason))) {
    *is_taken = fine && errno == EADDRINUSE;
    why_say(why, "%s", reason);
    return NULL;
  }
  struct command_server *c = memory_zalloc(sizeof *c);
  c->server = server;
  c->obey = obey;
  socket_file_note(&c->file, &addr, owner);
  list_init(&c->clients);
  listener_start(&c->listener, server->control.loop, fd, on_accept);
  c->by_number.fd = -1;
  if (path) listen_by_number(c);
  return c;
}

int command_socket(const struct command_server *c) { return c && c->file.path[0] ? c->listener.fd : -1; }

struct socket_file *command_file(struct command_server *c) {
  return &c->file;
}

void command_ended(struct command_server *c, enum waits_for what, bool fine, const char *text) {
  if (!c) return;
  LIST_EACH(node, &c->clients) {
    struct command_client *client = LIST_ENTRY(node, struct command_client, link);
    if (client->state == what) command_answer(client, fine ? EXIT_FINE : EXIT_FAILED, text);
  }
}

void command_load_ended(struct command_server *c, int code, const char *text) {
  LIST_EACH(node, &c->clients) {
    struct command_client *client = LIST_ENTRY(node, struct command_client, link);
    if (client->state == WAITS_FOR_RELOAD || client->state == WAITS_FOR_CANARY ||
        client->state == WAITS_FOR_SHADOW || client->state == WAITS_FOR_ABORT)
      command_answer(client, code, text);
  }
}

void command_trial_goes_on(struct command_server *c, const char *text) {
  LIST_EACH(node, &c->clients) {
    struct command_client *client = LIST_ENTRY(node, struct command_client, link);
    bool waits = client->state == WAITS_FOR_CANARY || client->state == WAITS_FOR_SHADOW;
    if (!waits || !client->wants_progress || buf_len(&client->out)) continue;
    buf_append(&client->out, "+", 1);
    buf_append(&client->out, text, strlen(text));
    buf_append(&client->out, "\n", 1);
    push(client);
  }
}

void command_give(const struct command_server *c, const char *user) {
  if (c && c->file.path[0] && c->file.owner != OWNER_MANAGER)
    privileges_give_socket(c->file.path, c->file.identity, user);
}

void command_hide(struct command_server *c) {
  socket_file_remove(&c->file);
  listener_stop(&c->listener);
  if (c->by_number.fd >= 0) listener_stop(&c->by_number);
}

void command_close(struct command_server *c) {
  if (!c) return;
  command_hide(c);
  bool is_last = !c->server->ancestors.are_awaited;
  LIST_EACH(node, &c->clients) {
    struct command_client *client = LIST_ENTRY(node, struct command_client, link);
    if (client->state == WAITS_FOR_END)
      command_answer(
          client, is_last ? EXIT_FINE : EXIT_FAILED,
          is_last ? "stopped\n"
                  : "stopped, but an older process, which an upgrade has left, still answers what it has\n");
    else if (client->state == WAITS_FOR_STREAM) {
      end_stream(client);
      command_answer(client, EXIT_FAILED, "the proxy has ended\n");
    } else
      drop(client);
  }
  free(c);
}
