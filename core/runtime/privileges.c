// SPDX-License-Identifier: Apache-2.0
// privileges: the parent of a daemon waits until the child serves, so that its caller learns of a bad policy by the
// exit code, as without --daemon.
#include "runtime/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"

/* Also without a user, the groups of the user who started the process are dropped. */
static bool become_group(const char *user, const char *group, gid_t fallback, char **why) {
  const struct group *found = group ? getgrnam(group) : NULL;
  if (group && !found) return why_about(why, "group", group, "there is none of that name");
  gid_t id = found ? found->gr_gid : fallback;
  if (user ? initgroups(user, id) != 0 : setgroups(1, &id) != 0)
    return why_about(why, user ? "user" : "group", user ? user : group, strerror(errno));
  if (setresgid(id, id, id) != 0)
    return why_about(why, "group", group ? group : "of the user", strerror(errno));
  return true;
}

/* For good: nothing of what we were can be had back. */
static bool has_become(uid_t uid) {
  uid_t real, effective, saved;
  if (getresuid(&real, &effective, &saved) != 0) return false;
  return real == uid && effective == uid && saved == uid && (uid == 0 || setuid(0) != 0);
}

bool privileges_drop(const char *user, const char *group, char **why) {
  const struct passwd *found = user ? getpwnam(user) : NULL;
  if (!user && !group) return true;
  if (user && !found) return why_about(why, "user", user, "there is none of that name");
  bool is_ours = found && found->pw_uid == geteuid() && !group;
  if (is_ours) return true; /* a successor starts as what its predecessor became */
  if (!become_group(user, group, found ? found->pw_gid : getgid(), why)) return false;
  if (!found) return true;
  uid_t uid = found->pw_uid;
  if (setresuid(uid, uid, uid) != 0) return why_about(why, "user", user, strerror(errno));
  return has_become(uid) || why_about(why, "user", user, "the rights of who started it cannot be given up");
}

void privileges_give(int fd, const char *name, const char *user) {
  const struct passwd *found = fd >= 0 && user ? getpwnam(user) : NULL;
  if (found && geteuid() == 0 && fchown(fd, found->pw_uid, found->pw_gid) != 0)
    log_warn("cannot give %s to %s: %s", name, user, strerror(errno));
}

void privileges_give_socket(const char *path, struct file_identity file, const char *user) {
  const struct passwd *found = path && user ? getpwnam(user) : NULL;
  if (found && geteuid() == 0 && !file_give(path, file, found->pw_uid, found->pw_gid))
    log_warn("cannot give %s to %s: %s", path, user, strerror(errno));
}

/* The child's end closes with it, so a read tells both: a byte, it serves; the end, it has ended. */
static int wait_for(pid_t child, int fd) {
  char byte;
  int status = 0;
  ssize_t got;
  do got = read(fd, &byte, 1);
  while (got < 0 && errno == EINTR);
  close(fd);
  if (got == 1 && byte == '1') return 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

void privileges_use_descriptors(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) log_warn("limit of descriptors: %s", strerror(errno));
}

bool privileges_daemonize(int *code) {
  int ends[2];
  char text[16];
  if (getenv("PERILUNE_READY_FD")) return true; /* a daemon's successor is in the background already */
  if (pipe2(ends, O_CLOEXEC) != 0) {
    *code = 1;
    return false;
  }
  pid_t child = fork();
  if (child > 0) {
    close(ends[1]);
    *code = wait_for(child, ends[0]);
    return false;
  }
  close(ends[0]);
  setsid();
  snprintf(text, sizeof text, "%d", ends[1]);
  setenv("PERILUNE_READY_FD", text, 1);
  return true;
}

void privileges_detach(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, STDIN_FILENO);
  if (isatty(STDOUT_FILENO)) dup2(null, STDOUT_FILENO);
  if (isatty(STDERR_FILENO)) dup2(null, STDERR_FILENO);
  close(null);
}
