// SPDX-License-Identifier: Apache-2.0
// batch: small sends to many sockets by one system call, an io_uring's (io_uring_enter(2)): the way into the kernel and
// back, a tenth of a small send and more on virtual machines, is paid once for all. Each thread has a ring of its own,
// from the first time that it pays. Where there is none to be had (an old kernel, a sandbox), each is sent by a call of
// its own as ever.
#ifndef PERILUNE_NET_BATCH_H
#define PERILUNE_NET_BATCH_H

/* At most so many at once. Fewer than the least are sent by themselves: they are not worth the detour. */
enum { BATCH_MOST = 64, BATCH_LEAST = 3 };

struct send_call {
  int socket;       /* non-blocking */
  int flags;        /* of send(2) */
  const char *text; /* borrowed until batch_send returns */
  unsigned bytes;
  int result; /* how many bytes were taken, or an errno value made negative */
};

/* Tries each once, in their order, and fills in its result. Waits for nothing. */
void batch_send(struct send_call *calls, unsigned count);
/* Closes the calling thread's ring. Call it before a thread ends. */
void batch_thread_end(void);

#endif
