// SPDX-License-Identifier: Apache-2.0
// command: the control worker's unix socket, by which `perilune reload`, `stop`, `status` and the like talk to a
// running proxy. A client sends one line; the answer is a line "<exit code>", text for people, and the end of the
// connection. If the line ends in "progress", lines "+<text>" may come before the answer, with the progress of the
// trial that the client waits for. A command that streams (command_stream) sends such lines, lines "=<text>" for the
// client's output, and "#<length>\n" with so many bytes behind it for a file of the client's, before its answer. It is
// the abstract socket @perilune-<pid>, which leaves no file behind and is visible only in the same network namespace,
// and also the file that --socket names. Commands are accepted only from the same user and from root.
#ifndef PERILUNE_RUNTIME_COMMAND_H
#define PERILUNE_RUNTIME_COMMAND_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/str.h"
#include "runtime/socket_file.h"

struct command_client;
struct command_server;
struct server;

#define COMMAND_SOCKET_PREFIX "perilune-"

/* Under this name a successor finds the listening socket, if that is a file's: then it goes on to be heard there. */
#define COMMAND_NAME "command"
/* -1: none, or the abstract one, which is named after the process. */
int command_socket(const struct command_server *c);
/* For the owner of its file to change, and for its removal. */
struct socket_file *command_file(struct command_server *c);

/* What a client waits for; of RELOAD to UPGRADE command_ended tells it. */
enum waits_for {
  WAITS_FOR_LINE,
  WAITS_FOR_RELOAD,
  WAITS_FOR_CANARY,
  WAITS_FOR_SHADOW,
  WAITS_FOR_ABORT,
  WAITS_FOR_UPGRADE,
  WAITS_FOR_END,
  WAITS_FOR_STREAM,
  WAITS_FOR_READER
};

/* Does what a line asks for (commands.h): answers the client at once, or lets it wait. */
typedef void command_obey(struct command_client *client, const char *line);
void command_answer(struct command_client *client, int code, const char *text);
/* The same with a message of one line. Takes over `why`. */
void command_refuse(struct command_client *client, int code, char *why);
void command_wait(struct command_client *client, enum waits_for state);
/* A command that goes on for a while, such as a trace. Its owner sends what it has, and ends it with command_answer. */
struct command_stream {
  void (*gone)(void *owner); /* the client has gone, or the process ends: it is not to be used any more */
};
/* The client streams from now on. False: too many do; it was told. */
bool command_stream(struct command_client *client, const struct command_stream *kind, void *owner);
/* `kind` is '+', '=' or '#'; text is without its line feed. False: the client has not read what there was, and has no
 * room for this: the caller counts it as lost. A client that reads nothing for a minute has gone. Never calls gone. */
bool command_send(struct command_client *client, char kind, struct str bytes);
struct server *command_server_of(const struct command_client *client);
/* Who sends it. */
struct ucred command_peer(const struct command_client *client);

/* `path`: where to listen, NULL for the abstract socket. NULL: *why is a malloc'd message; *is_taken: somebody else
 * listens there. */
struct command_server *command_listen(struct server *server, const char *path, command_obey *obey,
                                      bool *is_taken, char **why);
/* Gives the socket's file to that user. NULL is fine, as for both. */
void command_give(const struct command_server *c, const char *user);
/* What clients wait for has ended. `text` is for people. NULL is fine. */
void command_ended(struct command_server *c, enum waits_for what, bool fine, const char *text);
/* The policy that clients wait for, to be put in force or tried, is not loaded, or not in time. */
void command_load_ended(struct command_server *c, int code, const char *text);
/* How far a canary or a shadow has come: one line without its end. A client that does not read misses it. */
void command_trial_goes_on(struct command_server *c, const char *text);
/* Clients that wait for the end of the process are answered; then everything is closed. NULL is fine. */
void command_close(struct command_server *c);
/* Stops listening, so that commands find the successor instead, and removes its file if that is ours. Clients that
 * wait go on waiting. */
void command_hide(struct command_server *c);

#endif
