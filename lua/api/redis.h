// SPDX-License-Identifier: Apache-2.0
// redis: the one connection of a worker's VM to a Redis server, which all its tasks use at the same time.
//
// The path of a command. A task calls redis:call in lua/perilune/redis.lua, which calls redis_call in redis.c. The
// command is written into a buffer of the link (`out`, or `held` while there is no connection), gets its place at the
// end of the queue, and the task parks. The server answers in order: a complete reply (net/resp.h) belongs
// to the first command of the queue. Its task is woken and makes Lua values directly from the bytes (redis_reply.c);
// then the bytes are consumed.
//
// Ownership. The link belongs to its handle, and ends with it: when the handle is collected or its VM ends. A command
// belongs to the link from the moment it is queued. Its task is borrowed: when its time is over, or its exchange has
// ended, the command has no task any more, and stays in the queue until its reply has come and was dropped. So a
// reply never goes to another command. When the connection is lost, all queued commands fail, and none is sent again,
// because nobody knows which of them were done.
//
// The breaker. After some commands in a row without a reply in time, or a connection that cannot be made, the link is
// tripped: commands fail at once. The link goes on trying to connect, with growing pauses; a PING that is answered in
// time ends this state. Commands that were sent before stay in the queue meanwhile, since their replies are the first
// sign that the server works again. If nobody has used a server that is down for a minute, it is not tried any more,
// and the next command connects again. What this machine lacks (descriptors, memory, ports) is no fault of the server
// and trips nothing: the link tries again every few milliseconds, commands wait for that as long as a connection may
// take, and then fail.
//
// redis_link.c has the connection and the breaker, redis_queue.c the commands and their replies.
//
// Words. link: the connection, while there is one and while there is none. command: one command, or several that are
// one unit. held: not sent, since the link is not ready. greeting: what is sent first: HELLO, AUTH, SELECT, PING.
#ifndef PERILUNE_LUA_REDIS_H
#define PERILUNE_LUA_REDIS_H

#include <lua.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "lua/api/metrics.h"
#include "net/addr.h"
#include "net/connect.h"
#include "net/reaper.h"
#include "net/resp.h"
#include "net/timer.h"

struct task;
struct vm;

enum redis_state {
  REDIS_IDLE, /* the next command connects */
  REDIS_CONNECTING,
  REDIS_GREETING,
  REDIS_READY,
  REDIS_PAUSED /* until the next try */
};

enum redis_outcome {
  REDIS_OK,
  REDIS_ERROR, /* the server's own: counted apart, told as REDIS_OK with its reply */
  REDIS_TIMEOUT,
  REDIS_DOWN,    /* it is not tried, or could not be connected */
  REDIS_BUSY,    /* as many wait as may */
  REDIS_CLOSED,  /* the connection was lost on the way */
  REDIS_LONG,    /* a reply of more bytes than allowed */
  REDIS_DROPPED, /* its task had ended before */
  REDIS_OUTCOMES
};

/* What is logged, each kind at most once in REDIS_FAULT_MS: outcomes, and these errors of the server. */
#define REDIS_CODES(X)                                                                                       \
  X(LOADING)                                                                                                 \
  X(READONLY)                                                                                                \
  X(OOM) X(MISCONF) X(MASTERDOWN) X(CLUSTERDOWN) X(MOVED) X(ASK) X(NOAUTH) X(NOPERM) X(BUSY) X(NOREPLICAS)
enum redis_code {
#define X(code) REDIS_CODE_##code,
  REDIS_CODES(X)
#undef X
      REDIS_CODE_COUNT
};
enum { REDIS_FAULT_MS = 10000, REDIS_FAULTS = REDIS_OUTCOMES + REDIS_CODE_COUNT };

struct redis_command {
  struct list link; /* in the queue, or in link->spare */
  struct redis_link *owner;
  struct task *task;  /* borrowed; NULL: nobody waits any more */
  struct timer timer; /* its time */
  uint64_t begun_us;
  unsigned replies; /* that belong to it */
  bool is_probe;    /* a PING of the breaker */
  bool is_long;     /* its reply is thrown away as it comes */
};

struct redis_options {
  struct str sni, verify_name, ca;
  unsigned timeout_ms; /* in which a PING must be answered */
  unsigned connect_ms, retry_ms, retry_most_ms;
  unsigned failures; /* in a row, until it is down */
  unsigned queue;    /* commands */
  size_t queue_bytes, reply_bytes;
  enum resolver_family family;
  bool tls, no_verify;
};

/* What the task that is being woken, or has not even waited, is told. */
struct redis_told {
  struct task *task; /* borrowed; NULL: nobody */
  enum redis_outcome outcome;
  struct str reply; /* in link->in */
};

struct redis_health {
  bool is_tripped;
  bool heard;        /* a reply came since the last look at a silent server */
  bool is_stale;     /* answers READONLY: it is connected again, which may lead to another server */
  unsigned failures; /* in a row */
  unsigned pause_ms; /* the next */
  uint64_t asked_ms; /* when somebody wanted it last */
  uint64_t tripped_ms, renewed_ms;
  uint64_t short_until_ms; /* this machine lacks something: commands wait until then; 0: it lacks nothing */
  struct {
    uint64_t logged_ms;
    unsigned more; /* since then */
  } faults[REDIS_FAULTS];
};

struct redis_queue {
  struct list commands; /* owned: struct redis_command, in order; the first `sent` of them were sent */
  struct list failing;  /* owned: of a connection that is lost, while their tasks are told */
  struct list spare;    /* owned */
  unsigned count, sent;
  unsigned collected; /* replies of the first that have come */
  unsigned spare_count;
  struct buf out, held;
};

#define REDIS_LINK_MAGIC 0x4ed15001u

struct redis_link {
  OBJ_MAGIC;
  struct vm *vm; /* borrowed */
  enum redis_state state;
  struct conn conn;
  struct connect connect;
  struct addr addr;
  struct tls_context *tls; /* owned reference; NULL: plain */
  struct arena arena;      /* texts of the options, and these: */
  struct str name;         /* the address, for messages; terminated */
  struct str greeting;
  unsigned greeting_replies, greeting_left;
  struct redis_options options;
  struct buf in;
  struct resp_scan scan; /* of `in` */
  struct redis_queue queue;
  struct redis_told told;
  struct redis_health health;
  struct timer pace; /* of the greeting, of a pause, of the next look at a silent server */
  struct timer soon; /* what was queued in this turn goes out; or the connection has broken */
  uint64_t random;
  unsigned session; /* changes whenever the connection ends */
  bool is_broken;   /* writing failed */
  bool is_ended;
  char why[200]; /* the last failure */
  struct metric_numbers results[REDIS_OUTCOMES], seconds, down, connects;
  struct reaped reaped;
};

/* --- redis_link.c --- */

/* Without the texts of the options. The caller fills in address, name, greeting, TLS and numbers. */
struct redis_link *redis_link_new(struct vm *vm, const struct redis_options *options);
/* The task of each command is told; freed at the next safe point of the loop. */
void redis_link_free(struct redis_link *l);
/* Somebody wants to send. False: it is down. */
bool redis_link_wanted(struct redis_link *l);
/* What was added to queue.out goes out, at once or with what follows in this turn. */
void redis_link_send(struct redis_link *l);
/* Does this machine lack something that a connection needs? */
bool redis_link_is_short(const struct redis_link *l);
/* A command was answered in time, or was not. */
void redis_link_well(struct redis_link *l);
void redis_link_missed(struct redis_link *l);
/* What came is no answer: the connection ends, and the link is tripped. */
void redis_link_fail(struct redis_link *l, const char *why);
/* A reply of the greeting. */
void redis_link_greeted(struct redis_link *l, struct str reply);
/* Nothing that was sent is unanswered: time for what has to wait for that. */
void redis_link_quiet(struct redis_link *l);
/* Logs a line, unless the last of the kind (an outcome, or REDIS_OUTCOMES + a code) was just now. */
void redis_link_fault(struct redis_link *l, unsigned kind, const char *text);

/* --- redis_queue.c --- */

/* Queues `bytes` for the running task, which parks then (task_wait with redis_queue_cancel); or NULL, and link->told
 * says why not. */
struct redis_command *redis_queue_add(struct redis_link *l, struct task *task, struct str bytes,
                                      unsigned replies, unsigned timeout_ms);
/* A PING that nobody waits for. */
void redis_queue_probe(struct redis_link *l);
/* What was held is sent from now on. */
void redis_queue_release(struct redis_link *l);
/* Takes what is whole in link->in. False: the connection, or the link, has ended by it. */
bool redis_queue_take(struct redis_link *l);
/* All fail: those that were sent as REDIS_CLOSED, the others as REDIS_DOWN. The state is set before: a task that is
 * told may send at once. */
void redis_queue_fail(struct redis_link *l);
/* The end of the link. */
void redis_queue_free(struct redis_link *l);
/* For task_wait: its task waits no more. */
void redis_queue_cancel(void *command);

/* --- redis_reply.c --- */

/* The value of a whole reply: nil for null, or nil, the text and the code of an error. -0 +1 | -0 +3 */
int redis_push_reply(lua_State *L, struct str reply);
/* The replies of a unit as a list, with null and errors as values of their own. -0 +1 */
void redis_push_replies(lua_State *L, struct str replies, unsigned count);
/* The command from the stack's values `from` to `to`, into vm->scratch; raises where one is no text. -0 +0 */
void redis_write_command(lua_State *L, int from, int to);
/* The same of a list of commands at `index`. How many they are. -0 +0 */
unsigned redis_write_list(lua_State *L, int index);
/* Sets core.redis_error, the metatable of errors in replies, in the table on top. -0 +0 */
void redis_open_replies(lua_State *L);

#endif
