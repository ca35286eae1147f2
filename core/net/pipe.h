// SPDX-License-Identifier: Apache-2.0
// pipe: bytes on their way from one plain conn to another inside the kernel, by splice(2): they are never copied to us.
// A relay takes a pipe, lets one conn fill it (conn_splice_in) and the other empty it (conn_splice_out), and returns
// it. Each thread keeps a few empty ones. If no pipe is available, bytes are copied.
#ifndef PERILUNE_NET_PIPE_H
#define PERILUNE_NET_PIPE_H

#include <stddef.h>

/* What a pipe is asked to hold. The kernel counts in buffers, of which a packet may need one each: one may hold less.
 * How many a thread may have, and how many empty ones it keeps. */
enum { PIPE_BYTES = 262144, PIPES_MOST = 128, PIPES_SPARE = 16 };

struct pipe {
  int read_end, write_end; /* owned */
  size_t bytes;            /* that are in it */
};

/* An empty one; NULL: no more are to be had. */
struct pipe *pipe_take(void);
/* Back to the calling thread, which took it. One with bytes in it is closed, and they are lost. */
void pipe_give(struct pipe *pipe);
/* splice(2) does not work here, as `error` says: the calling thread gets none any more. Logged. */
void pipe_give_up(int error);
/* Closes the empty ones the calling thread keeps. Call it before a thread ends. */
void pipe_thread_end(void);

#endif
