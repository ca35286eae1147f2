// SPDX-License-Identifier: Apache-2.0
// descriptors: the limit, the number that was open at the start, and the shares.
#include "net/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reserved: so many, and for each worker so many; at most a quarter of the limit. */
enum { RESERVE = 32, RESERVE_OF_WORKER = 4 };

static _Atomic unsigned share = UINT_MAX;

/* The number that the next one would have. All that is open for long was opened one after another. */
static unsigned in_use(void) {
  int fd = open("/", O_RDONLY | O_CLOEXEC | O_PATH);
  if (fd < 0) return 0;
  close(fd);
  return (unsigned)fd;
}

static unsigned smaller(rlim_t a, rlim_t b) { return (unsigned)(a < b ? a : b); }

void descriptors_begin(unsigned workers) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= UINT_MAX || workers == 0) return;
  unsigned reserve = smaller(RESERVE + RESERVE_OF_WORKER * workers, files.rlim_cur / 4);
  unsigned taken = in_use() + reserve;
  unsigned left = files.rlim_cur > taken ? (unsigned)files.rlim_cur - taken : 0;
  unsigned each = left / workers;
  atomic_store(&share, each > 2 ? each : 2); /* a client and its peer, in any case */
}

unsigned descriptors_share(void) { return atomic_load_explicit(&share, memory_order_relaxed); }

bool descriptors_want(int code) {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}
