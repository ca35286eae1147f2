// SPDX-License-Identifier: Apache-2.0
// starting: a name is made, and names are read from the kernel's list. Both ends cut and clean what is a path.
#include "runtime/starting.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/running.h"

#define PREFIX "perilune-starting-"

/* Fewer bytes than an address has room for; and so many may look before the process serves. */
enum { NAME_BYTES = 100, LOOKS_MOST = 1000 };

static int marker = -1;
static atomic_bool is_under_way;

/* --- the process that starts ------------------------------------------------------------------------------ */

/* By the clock that all processes have in common and nobody sets. */
static long long seconds_now(void) { return (long long)(clock_now_ms(&clock_system) / 1000); }

/* The end of a long path says more than its beginning. */
static void write_name(char name[NAME_BYTES], const char *policy) {
  int length = snprintf(name, NAME_BYTES, "@" PREFIX "%d-%lld ", (int)getpid(), seconds_now());
  size_t room = NAME_BYTES - 1 - (size_t)length, bytes = strlen(policy);
  snprintf(name + length, room + 1, "%s", bytes > room ? policy + bytes - room : policy);
  for (char *c = name + length; *c; c++)
    if ((unsigned char)*c < ' ') *c = '?'; /* a name is a line of the list */
}

static void close_marker(void) {
  if (marker >= 0) close(marker);
  marker = -1;
}

void starting_begin(const char *policy) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  char name[NAME_BYTES];
  starting_end();
  atomic_store(&is_under_way, true);
  write_name(name, policy);
  memcpy(addr.sun_path + 1, name + 1,
         strlen(name + 1)); /* behind the NUL that an abstract name begins with */
  socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
  marker = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool fine = marker >= 0 && bind(marker, (struct sockaddr *)&addr, bytes) == 0;
  if (!fine || listen(marker, LOOKS_MOST) != 0) close_marker();
}

void starting_end(void) {
  close_marker();
  atomic_store(&is_under_way, false);
}

bool starting_is_under_way(void) { return atomic_load(&is_under_way); }

/* --- who looks for one ------------------------------------------------------------------------------------ */

/* "@perilune-starting-12-4072 /etc/policy.lua" */
static bool describe(const char *name, int wanted, char *text, size_t bytes) {
  int pid, at = 0;
  long long since;
  if (sscanf(name, "@" PREFIX "%d-%lld %n", &pid, &since, &at) != 2 || !at) return false;
  if ((wanted && pid != wanted) || running_pid_at(name) != pid) return false;
  long long seconds = seconds_now() - since;
  snprintf(text, bytes,
           "process %d is still loading its first policy, %s, for %lld s; it answers once it serves, and "
           "'kill %d' ends it",
           pid, name + at, seconds > 0 ? seconds : 0, pid);
  return true;
}

bool starting_find(int pid, char *text, size_t bytes) {
  char line[512];
  bool found = false;
  FILE *file = fopen("/proc/net/unix", "re");
  while (file && !found && fgets(line, sizeof line, file)) {
    char *name = strstr(line, "@" PREFIX);
    if (!name) continue;
    name[strcspn(name, "\n")] = '\0';
    found = describe(name, pid, text, bytes);
  }
  if (file) fclose(file);
  return found;
}
