// SPDX-License-Identifier: Apache-2.0
// pipe: the calling thread's spare pipes, last given first taken.
#include "net/pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"

static _Thread_local struct {
  struct pipe *spare[PIPES_SPARE]; /* owned */
  unsigned spares;
  unsigned open; /* spare and taken */
  bool unusable;
} pipes;

static struct pipe *open_pipe(void) {
  int ends[2];
  if (pipes.open >= PIPES_MOST || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return NULL;
  fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* or what it has */
  struct pipe *pipe = memory_zalloc(sizeof *pipe);
  *pipe = (struct pipe){.read_end = ends[0], .write_end = ends[1]};
  pipes.open++;
  return pipe;
}

static void close_pipe(struct pipe *pipe) {
  close(pipe->read_end);
  close(pipe->write_end);
  free(pipe);
  pipes.open--;
}

struct pipe *pipe_take(void) {
  if (pipes.unusable) return NULL;
  return pipes.spares ? pipes.spare[--pipes.spares] : open_pipe();
}

void pipe_give(struct pipe *pipe) {
  if (pipe->bytes || pipes.spares == PIPES_SPARE)
    close_pipe(pipe);
  else
    pipes.spare[pipes.spares++] = pipe;
}

void pipe_give_up(void) { pipes.unusable = true; }

void pipe_thread_end(void) {
  while (pipes.spares) close_pipe(pipes.spare[--pipes.spares]);
}
