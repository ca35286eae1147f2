// SPDX-License-Identifier: Apache-2.0
// policy: the interface of a script for the runtime: a vtable. lua/vm/policy.c implements it with a Lua VM per worker,
// core/runtime/forward.c with plain C for `perilune proxy`.
//
// Life: load (for every worker, several at the same time; opens nothing, changes nothing that others see) ->
// listeners are read -> bind -> start -> ... -> retire -> close. A policy that is refused goes from load to close,
// one that is only tried from bind to retire.
#ifndef PERILUNE_RUNTIME_POLICY_H
#define PERILUNE_RUNTIME_POLICY_H

#include <stdatomic.h>

#include "base/str.h"
#include "net/tls_context.h"
#include "exchange/access_log.h"
#include "exchange/hooks.h"
#include "exchange/settings.h"

struct clock;
struct config;
struct ev_loop;
struct metrics;
struct profile;
struct proxy;
struct registry;

/* One perilune.listen of the script. Text is owned by the policy. */
struct policy_listener {
  struct str address;            /* "0.0.0.0:6188", ":80", "[::1]:80", "unix:/path" */
  struct tls_server_options tls; /* neither certificates nor asking for them: plain HTTP */
  struct str access_log;         /* as sink_open takes it; NULL: the process's; empty, but not NULL: none */
  enum access_format access_log_format;
  bool has_log_format;         /* the policy has said it: it holds for the process's log, too */
  struct tls_context *context; /* reference, of the instance; NULL: plain HTTP, or not loaded so far */
  struct str unreadable; /* which file of its certificates cannot be read; empty: none, as far as is known */
  char *fault; /* owned by the instance: why its certificates could not be loaded; NULL: nothing is wrong */
  struct settings settings;
  const struct hooks *hooks; /* valid while the policy lives */
  struct str place;          /* "policy.lua:12", for messages */
};

/* Where a policy runs. All borrowed, all outlive the policy. */
struct policy_host {
  struct ev_loop *loop;      /* both NULL while it loads: see bind */
  struct proxy *proxy;       /* this worker's */
  struct registry *registry; /* shared objects; per process */
  struct metrics *metrics;   /* NULL for `check` */
  unsigned worker;           /* 0..workers-1; the control worker is `workers` */
  unsigned workers;
  bool is_control; /* background work runs here */
  bool is_check;   /* what is loaded will not serve */
  bool is_first;   /* the first run of the process: `workers`, which `worker` equals, may be set by it */
  struct policy_use *use;     /* counts what of it is under way; NULL: nobody asks */
  struct config *config;      /* what perilune.configure adds to; NULL: it is checked and forgotten */
  const struct clock *clock;  /* of shared objects; NULL: the system's */
  struct policy_debug *debug; /* NULL: nobody debugs it */
  /* The policy is to be loaded again: its script's state was given up, or has no memory left. In the worker's thread;
   * it may come again and again. `policy` is whose. NULL: nobody cares. */
  void (*on_lost)(const struct policy_host *host, const void *policy);
};

enum { POLICY_LOADING = ~0u >> 1 }; /* no worker has that number */

/* What is told of the debugger (--break, runtime/debugging.h), in the worker's thread. */
enum stop_news {
  STOP_BEGINS,     /* something is stopped, under that number; the text says what */
  STOP_AFTER_STEP, /* the same, where a step has ended */
  STOP_ANSWERS,    /* what was asked of it; it is stopped still */
  STOP_ENDS,       /* it is not stopped any more; the text says why, or is empty where that was asked for */
  STOP_REMARK      /* of nothing that is stopped */
};

/* One line of a file of the policy. */
struct breakpoint {
  char *path; /* owned: as realpath has it */
  char *text; /* owned: as it was given, "policy.lua:12" */
  unsigned line;
};

/* What all workers look for, and who is told. In any thread; begun and ended with the process. */
struct policy_debug {
  const struct policy_kind *kind;
  const struct breakpoint *points; /* borrowed */
  unsigned count;
  atomic_bool is_off;  /* nobody sits at the terminal any more: nothing stops */
  atomic_uint stopped; /* so many are, now */
  atomic_ulong last;   /* the number that was given last */
  void (*tell)(struct policy_debug *debug, unsigned worker, enum stop_news news, unsigned long number,
               const char *text);
};

/* What evaluate has come to; the text, which passes over, is what it has said, or the error. */
enum evaluated { EVALUATED, EVALUATED_WITH_ERROR, EVALUATED_IN_PART /* it is the begin of a longer text */ };
typedef void policy_evaluated(void *owner, enum evaluated how, char *text);

struct policy_kind {
  /* Runs the script. Called in a thread of its own, for every worker; everything from bind on in its worker's own.
   * NULL: *why is a malloc'd message that names file and line. */
  void *(*load)(const void *source, const struct policy_host *host, char **why);
  /* Of one that has loaded, in the thread that has loaded it: mistakes that would show only once a request comes that
   * way. But for `check` it takes little time. Lines, malloc'd; NULL: none. *doubts: what may be one, likewise.
   * NULL (the function): nothing is known. */
  char *(*faults)(void *policy, char **doubts);
  /* What the first run of the process has loaded is to be the control worker's, whose host `host` is. False: it was
   * told another number of workers, and is to be loaded again. NULL (the function): it may always be. */
  bool (*adopt)(void *policy, const struct policy_host *host);
  /* The process is about to fork, and goes on as the child; and then (`is_over`) it does. Threads of the kind end and
   * begin again. NULL (the function): it has none. */
  void (*fork)(const void *source, bool is_over);
  /* What it listens on: same in every worker. The runtime opens what they name, and notes it in them. */
  struct policy_listener *(*listeners)(void *policy, unsigned *count);
  /* Gives it what `host` had not: its hooks may run from now on. Once. NULL (the function): it needs neither. */
  void (*bind)(void *policy, struct ev_loop *loop, struct proxy *proxy);
  /* Lets background tasks and timers begin, once all workers have loaded and all listeners are open. */
  void (*start)(void *policy);
  /* Another generation is in force, or the worker ends: no new background work; what is under way (counted in the
   * host's use) goes on, as do exchanges that run on it. Harmless when repeated. */
  void (*retire)(void *policy);
  /* Ends background work that is under way, wherever it waits. NULL (the function): it has none. */
  void (*cut)(void *policy);
  /* The files it was made from, one per line, malloc'd, in the thread that loaded it; NULL (the function
   * too): none. */
  char *(*files)(void *policy);
  /* Called when nothing of it runs any more. */
  void (*close)(void *policy);
  /* Nobody wants what is being loaded any more: scripts that load are interrupted, now and until it is said to be
   * otherwise. Thread-safe. NULL (the function): loading takes no time. */
  void (*hurry)(bool hurries);
  /* Bytes of memory that its script holds, in its worker's thread; NULL (the function): it has none. */
  size_t (*memory)(void *policy);
  /* "stuck in request_filter at policy.lua:14 for 7 s", of what runs in a worker beyond its budget; else "". Of
   * POLICY_LOADING what is being loaded: "the main chunk at policy.lua:3". In any thread; NULL (the function): nothing
   * can be. */
  void (*doing)(unsigned worker, char *text, size_t bytes);
  /* Tells the profile, which is borrowed, where its time goes, from now on until end_profile, or until it closes; both
   * in its worker's thread. NULL, or why not: a static sentence. NULL (the functions): it has no code. */
  const char *(*profile)(void *policy, struct profile *profile);
  void (*end_profile)(struct profile *profile);
  /* For a replay: on_line is told each line of the policy before it runs, "policy.lua:12", until it is NULL. */
  void (*lines)(void *policy, void (*on_line)(void *owner, const char *place), void *owner);
  /* For a replay: the policy draws what follows from `seed`. */
  void (*reseed)(void *policy, uint64_t seed);
  /* For what is stopped in this thread under that number: does what the line asks for, and tells of it. `line` NULL:
   * all that is stopped in this thread goes on. NULL (the function): nothing of it can be stopped. */
  void (*debug)(unsigned long number, const char *line);
  /* Runs Lua text in its worker's thread, within hook_time and for at most some seconds of waiting; on_end is called
   * once, at once or from the loop. NULL (the function): it has no Lua. */
  void (*evaluate)(void *policy, const char *text, policy_evaluated *on_end, void *owner);
};

/* A policy to run: the kind and what it loads (a script's path, a list of addresses). */
struct policy_source {
  const struct policy_kind *kind;
  const void *source; /* borrowed for the life of the process */
  const char *name;   /* for messages: the script's path, "proxy" */
};

#endif
