// SPDX-License-Identifier: Apache-2.0
// pipe: the calling thread's spare pipes; the last one returned is used first. The hard problem is that pipes use
// shared resources: descriptors, which connections need more urgently, and the user's share of pipe buffers. Beyond
// that share the kernel gives pipes of two pages (pipe(7)), which are slower than copying.
#include "net/pipe.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

enum { LEAST_BYTES = 65536, PAUSE = 1000 };

static _Thread_local struct {
  struct pipe *spare[PIPES_SPARE]; /* owned */
  unsigned spares;
  unsigned open;  /* spare and taken */
  unsigned pause; /* so many calls of pipe_take do not try to open one: the last time it was in vain */
  bool unusable;
} pipes;

static _Atomic unsigned open_everywhere; /* of all threads */

/* Two descriptors each, and no more than a sixteenth of all in pipes. */
static bool may_open(void) {
  struct rlimit files;
  if (pipes.open >= PIPES_MOST || getrlimit(RLIMIT_NOFILE, &files) != 0) return false;
  return atomic_load_explicit(&open_everywhere, memory_order_relaxed) < files.rlim_cur / 32;
}

static bool is_large(int end) {
  int bytes = fcntl(end, F_SETPIPE_SZ, PIPE_BYTES);
  if (bytes < 0) bytes = fcntl(end, F_GETPIPE_SZ);
  return bytes >= LEAST_BYTES;
}

static struct pipe *open_pipe(void) {
  int ends[2];
  if (!may_open() || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return NULL;
  if (!is_large(ends[0])) {
    close(ends[0]);
    close(ends[1]);
    return NULL;
  }
  struct pipe *pipe = memory_alloc(sizeof *pipe);
  *pipe = (struct pipe){.read_end = ends[0], .write_end = ends[1]};
  pipes.open++;
  atomic_fetch_add_explicit(&open_everywhere, 1, memory_order_relaxed);
  return pipe;
}

static void close_pipe(struct pipe *pipe) {
  close(pipe->read_end);
  close(pipe->write_end);
  free(pipe);
  pipes.open--;
  atomic_fetch_sub_explicit(&open_everywhere, 1, memory_order_relaxed);
}

struct pipe *pipe_take(void) {
  if (pipes.unusable) return NULL;
  if (pipes.spares) return pipes.spare[--pipes.spares];
  if (pipes.pause) {
    pipes.pause--;
    return NULL;
  }
  struct pipe *pipe = open_pipe();
  if (!pipe) pipes.pause = PAUSE;
  return pipe;
}

void pipe_give(struct pipe *pipe) {
  pipes.pause = 0;
  if (pipe->bytes || pipes.spares == PIPES_SPARE)
    close_pipe(pipe);
  else
    pipes.spare[pipes.spares++] = pipe;
}

void pipe_give_up(int error) {
  log_info("splice: %s; long bodies are copied from now on", strerror(error));
  pipes.unusable = true;
}

void pipe_thread_end(void) {
  while (pipes.spares) close_pipe(pipes.spare[--pipes.spares]);
}
