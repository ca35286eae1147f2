// SPDX-License-Identifier: Apache-2.0
// Units for base/safe_file: files that are ours alone, and a path that may name another by now. What only root may:
// paths_spec.lua.
#include "base/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "unit.h"

struct place {
  char file[UNIT_PATH_BYTES], other[UNIT_PATH_BYTES];
  int held; /* of `file`, as whoever knows a file by its identity has it open: no other can get the same */
};

static void make(const char *path) { close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); }

static void begin(struct place *p) {
  unit_temporary(p->file, "file");
  unit_temporary(p->other, "other");
  make(p->file);
  make(p->other);
  p->held = open(p->file, O_RDONLY | O_CLOEXEC);
}

static void end(const struct place *p) {
  close(p->held);
  unlink(p->file);
  unlink(p->other);
}

/* `other` takes the place of `file`, itself or by a link to it. */
static void replace(const struct place *p, bool by_link) {
  unlink(p->file);
  CHECK((by_link ? symlink(p->other, p->file) : link(p->other, p->file)) == 0);
}

static bool is_there(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

static int code_of(const char *path) {
  errno = 0;
  int fd = safe_open_own(path, O_RDWR, 0);
  if (fd >= 0) close(fd);
  return fd >= 0 ? 0 : errno;
}

IT("opens as its own a regular file of one name, and no link, second name or pipe") {
  struct place p;
  begin(&p);
  CHECK(code_of(p.file) == 0);
  replace(&p, true);
  CHECK(code_of(p.file) == ELOOP);
  replace(&p, false);
  CHECK(code_of(p.file) == EMLINK);
  unlink(p.file);
  CHECK(mkfifo(p.file, 0600) == 0);
  CHECK(code_of(p.file) == ENOTSUP);
  end(&p);
}

IT("leaves what it opens to no program that is started") {
  struct place p;
  begin(&p);
  int own = safe_open_own(p.file, O_RDWR, 0), any = safe_open(p.other, O_RDWR, 0);
  CHECK(fcntl(own, F_GETFD) == FD_CLOEXEC && fcntl(any, F_GETFD) == FD_CLOEXEC);
  close(own);
  close(any);
  end(&p);
}

IT("removes a file, and not what has taken its place") {
  for (int by_link = 0; by_link < 2; by_link++) {
    struct place p;
    begin(&p);
    struct file_identity file = file_identity_of(p.file);
    CHECK(file_is_at(p.file, file));
    replace(&p, by_link);
    CHECK(!file_is_at(p.file, file));
    file_remove(p.file, file);
    CHECK(is_there(p.file) && is_there(p.other));
    file_remove(p.file, file_identity_of(p.file));
    CHECK(!is_there(p.file) && is_there(p.other));
    end(&p);
  }
}

IT("gives a file to somebody, and not what has taken its place, nor what a link there leads to") {
  for (int by_link = 0; by_link < 2; by_link++) {
    struct place p;
    begin(&p);
    struct file_identity file = file_identity_of(p.file);
    CHECK(file_give(p.file, file, geteuid(), getegid()));
    replace(&p, by_link);
    CHECK(!file_give(p.file, file, geteuid(), getegid()));
    end(&p);
  }
}

IT("sees a file that was written, or that is another one, as changed") {
  struct place p;
  struct stat before, now;
  begin(&p);
  CHECK(stat(p.file, &before) == 0 && stat(p.file, &now) == 0);
  CHECK(file_is_unchanged(&before, &now));
  CHECK(truncate(p.file, 7) == 0 && stat(p.file, &now) == 0);
  CHECK(!file_is_unchanged(&before, &now));
  CHECK(stat(p.other, &now) == 0);
  CHECK(!file_is_unchanged(&before, &now));
  end(&p);
}

static bool replace_often(const char *path, char letter) {
  char text[4096];
  memset(text, letter, sizeof text);
  for (int i = 0; i < 50; i++)
    if (!safe_replace(path, (struct str){text, sizeof text})) return false;
  return true;
}

IT("replaces a file that another process replaces at the same time: whole, and by each of them") {
  struct place p;
  struct buf text = {0};
  int status = -1;
  begin(&p);
  pid_t child = fork();
  if (child == 0) _exit(replace_often(p.file, 'b') ? 0 : 1);
  CHECK(replace_often(p.file, 'a'));
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(safe_read(p.file, SAFE_READ_MOST, &text) && buf_len(&text) == 4096);
  CHECK(buf_ptr(&text)[0] == buf_ptr(&text)[4095]);
  buf_release(&text);
  end(&p);
}
