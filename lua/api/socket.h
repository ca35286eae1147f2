// SPDX-License-Identifier: Apache-2.0
// socket: a connection of the policy's own, with its buffers and the tasks that wait for it. lua/api/tcp.c makes
// sockets for Lua, lua/api/http_client.c reads HTTP from them, lua/api/socket_pool.c keeps spare ones.
//
// A reader decides how much is read: it examines what has arrived and says whether that is enough.
#ifndef PERILUNE_LUA_SOCKET_H
#define PERILUNE_LUA_SOCKET_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "http/decoder.h"
#include "http/parser.h"
#include "lua/vm/handle.h"
#include "net/connect.h"
#include "net/reaper.h"
#include "net/resp.h"

struct h2_session;
struct socket;
struct socket_binding;
struct socket_handle;
struct socket_options;
struct socket_pool;
struct task;
struct tls_identity;
struct vm;

enum enough {
  ENOUGH_NOT,   /* more is needed */
  ENOUGH_WHOLE, /* s->piece is what was wanted, the first s->used bytes of the input hold it */
  ENOUGH_LONG,  /* more than s->limit */
  ENOUGH_BAD    /* not what it should be */
};
/* Looks at s->in; s->eof: nothing follows. */
typedef enum enough socket_reader(struct socket *s);

enum outcome {
  OUTCOME_NONE,
  OUTCOME_OK,
  OUTCOME_TIMEOUT,
  OUTCOME_CLOSED,
  OUTCOME_LONG,
  OUTCOME_BAD,
  OUTCOME_FAILED
};

/* One direction. */
struct socket_wait {
  struct task *task;  /* borrowed: parked until it is done */
  struct timer timer; /* of the whole call */
  unsigned timeout_ms;
  enum outcome outcome;
  size_t bytes; /* of what is sent */
};

/* Of receive_until. */
struct socket_until {
  struct str mark; /* borrowed from Lua's stack */
  size_t piece_bytes;
  bool is_inclusive, is_at_mark;
};

/* Of an HTTP response, for lua/api/http_client.c. */
struct socket_response {
  struct arena arena; /* of its head */
  struct head_scan scan;
  struct decoder decoder;
  unsigned lenient; /* of http/lenient.h */
};

#define SOCKET_MAGIC 0x50c4e721u

struct socket {
  OBJ_MAGIC;
  struct conn conn;
  struct connect connect;
  struct addr addr;
  struct vm *vm;                 /* borrowed */
  struct tls_context *tls;       /* owned reference; NULL: plain */
  struct tls_identity *identity; /* owned reference; who we are, for a server that asks; NULL: nobody */
  struct arena arena;            /* text of the options */
  struct str key;                /* arena: equal for sockets that can stand for each other */
  struct reaped reaped;
  struct list link;                            /* in vm->spare_sockets, or in the queue of its pool */
  struct socket_pool *pool;                    /* owned reference; NULL: there may be any number like it */
  struct socket_handle *handle;                /* borrowed; that of a socket in a queue */
  struct socket_binding *binding;              /* arena of an exchange; NULL: it belongs to none */
  const struct socket_options *wanted_options; /* arena; of lua/api/tcp.c */
  void (*begin)(struct socket *s);             /* connects */
  struct socket_wait reading, writing;
  struct buf in, out;
  socket_reader *reader; /* of the read under way */
  struct str piece;      /* what it found */
  size_t used, wanted, limit;
  struct socket_until until;
  unsigned reused; /* how often it came out of the pool */
  uint64_t owner;  /* script->token of the exchange that alone may use it (lua/api/cosocket.c); 0: anybody */
  bool connecting, is_spare, eof;
  bool is_queued;          /* waits for room in its pool */
  bool is_shaking;         /* start_tls is under way */
  bool is_upgraded;        /* TLS has begun after it was connected */
  bool is_named;           /* its key is what the policy says */
  bool one_way;            /* what is sent gets no answer */
  bool cut;                /* a send ended early: what follows would make no sense */
  const char *outstanding; /* why an answer to the present user may still come; NULL: none will; static */
  bool is_broken;          /* a receive has failed: which answer is whose is not known any more */
  const char *kind;        /* of the failure to connect: its name in the table of errors; static */
  char why[160];           /* of OUTCOME_FAILED */
  struct socket_response response;
  struct h2_session
      *h2; /* owned; of a connection that is between two requests of lua/api/h2_client.c; else NULL */
  struct resp_scan reply; /* of `in`, for lua/api/redis.c */
};

/* What Lua holds. */
struct socket_handle {
  struct handle handle;
  struct socket *socket; /* owned; NULL: closed */
};

struct socket *socket_new(struct vm *vm);
/* For conn_adopt, once it is connected. */
const struct conn_events *socket_events(void);
/* Closes and frees, at the next safe point of the loop. Tasks that wait for it are woken. */
void socket_free(struct socket *s);

/* For the parts of waiting calls (handle_add_waiting). Argument 1 is the handle; they raise where another task
 * is at it. `start` parks the task unless it is done at once. -0 +0 (yields) */
int socket_read(lua_State *L, socket_reader *reader, const char *call);
/* Sends what is in s->out. */
int socket_write(lua_State *L, const char *call);
/* The socket of argument 1; raises or gives NULL where it is closed. */
struct socket *socket_check(lua_State *L);
/* nil and what went wrong, as a sentence. -0 +2 */
int socket_push_failure(lua_State *L, const struct socket *s, enum outcome outcome);

/* lua/api/socket_pool.c */
/* A new one begins to connect; with a `most` and a `backlog` it may have to wait for room in the pool of its key: then
 * is_queued is set, and its time for that runs; or there is none even for that, which it fails with. */
void socket_pool_enter(struct socket *s, unsigned most, unsigned backlog, unsigned wait_ms);
/* It closes with the exchange that the running task belongs to, if there is one and it is not put by before: a place in
 * a pool with a cap is not left to the collector. */
void socket_bind(struct socket *s);
/* One that closes. */
void socket_pool_leave(struct socket *s);
/* A spare one with this key, NULL where there is none. */
struct socket *socket_pool_take(struct vm *vm, struct str key);
/* Why it must not be kept, so that nobody is given an answer to another one's question; NULL: it may. */
const char *socket_pool_refusal(struct socket *s);
/* Takes it over; at most `most` of its key are kept. */
void socket_pool_put(struct socket *s, unsigned idle_ms, unsigned most);
void pool_free(struct vm *vm);

#endif
