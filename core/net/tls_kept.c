// SPDX-License-Identifier: Apache-2.0
// tls_kept: keeps loaded identities, by the names of their files. The hard problem is a key that only root may read:
// once the process has become another user, a reload must use what was loaded before, as long as the file has not
// changed; if it has, the message says what to do. So an identity is also found if its files cannot be examined any
// more. Files are read without the lock.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "net/tls_identity.h"
#include "net/tls_parts.h"

enum { FILES = 3, KEPT_MOST = 4096 };

struct kept {
  struct list link;              /* in `all`: the newest first */
  char *names[FILES];            /* owned; "" for none */
  struct stat files[FILES];      /* as they were before they were read */
  struct tls_identity *identity; /* reference */
  bool was_wanted;               /* since the last tls_identity_forget_unused */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all}; /* owned; guarded by `lock`, as `count` */
static unsigned count;

static void free_kept(struct kept *kept) {
  list_remove(&kept->link);
  count--;
  for (int i = 0; i < FILES; i++) free(kept->names[i]);
  tls_identity_release(kept->identity);
  free(kept);
}

static struct kept *new_kept(const struct tls_files *from) {
  struct kept *kept = memory_zalloc(sizeof *kept);
  const struct str names[FILES] = {from->certificate, from->key, from->ocsp};
  list_init(&kept->link);
  for (int i = 0; i < FILES; i++) kept->names[i] = str_to_cstring(names[i]);
  return kept;
}

static void free_unlisted(struct kept *kept) {
  count++; /* which free_kept takes back */
  free_kept(kept);
}

/* A file that is not there, or cannot be looked at, is all zeros; false: it cannot be looked at. */
static bool look(const char *name, struct stat *info) {
  memset(info, 0, sizeof *info);
  if (!*name || stat(name, info) == 0) return true;
  memset(info, 0, sizeof *info);
  return errno != EACCES;
}

static struct kept *find(const struct kept *wanted) {
  LIST_EACH(node, &all) {
    struct kept *kept = LIST_ENTRY(node, struct kept, link);
    bool same = true;
    for (int i = 0; i < FILES && same; i++) same = strcmp(kept->names[i], wanted->names[i]) == 0;
    if (same) return kept;
  }
  return NULL;
}

/* A reference to the one kept, if it will do; under the lock. `seen[i]`: could the file be looked at? */
static struct tls_identity *get_kept(const struct kept *now, const bool seen[FILES]) {
  struct kept *kept = find(now);
  if (!kept || !tls_identity_is_current(kept->identity)) return NULL;
  for (int i = 0; i < FILES; i++)
    if (seen[i] && !file_is_unchanged(&kept->files[i], &now->files[i])) return NULL;
  kept->was_wanted = true;
  return tls_identity_hold(kept->identity);
}

/* Takes over `kept`. */
static void keep(struct kept *kept) {
  pthread_mutex_lock(&lock);
  struct kept *old = find(kept);
  if (old) free_kept(old);
  list_push_front(&all, &kept->link);
  if (++count > KEPT_MOST) free_kept(LIST_ENTRY(all.prev, struct kept, link));
  pthread_mutex_unlock(&lock);
}

/* Makes `why` say what to do about a file that the user that the process has become may not read. */
static char *advise(char *why, const struct kept *now) {
  bool is_refused = false;
  for (int i = 0; i < FILES; i++)
    is_refused = is_refused || (*now->names[i] && access(now->names[i], R_OK) != 0 && errno == EACCES);
  if (!is_refused || geteuid() == 0) return why;
  char *text = why_text(
      "%s (the process runs as another user by now: let that user read the file, or start anew)", why);
  free(why);
  return text;
}

struct tls_identity *tls_identity_get(const struct tls_files *files, char **why) {
  if (tls_is_text(files->certificate) || tls_is_text(files->key)) return tls_identity_load(files, why);
  struct kept *now = new_kept(files);
  bool seen[FILES];
  for (int i = 0; i < FILES; i++) seen[i] = look(now->names[i], &now->files[i]);
  pthread_mutex_lock(&lock);
  struct tls_identity *identity = get_kept(now, seen);
  pthread_mutex_unlock(&lock);
  bool is_new = !identity && (identity = tls_identity_load(files, why));
  if (!identity) *why = advise(*why, now);
  if (!is_new) {
    free_unlisted(now);
    return identity;
  }
  now->identity = tls_identity_hold(identity);
  now->was_wanted = true;
  keep(now);
  return identity;
}

static bool has_file(const struct kept *kept, const char *name, const struct stat *info, bool is_seen) {
  for (int i = 0; i < FILES; i++)
    if (strcmp(kept->names[i], name) == 0 && (!is_seen || file_is_unchanged(&kept->files[i], info)))
      return true;
  return false;
}

bool tls_is_kept(struct str file) {
  char *name = str_to_cstring(file);
  struct stat info;
  bool is_seen = look(name, &info), found = false;
  pthread_mutex_lock(&lock);
  LIST_EACH(node, &all) found = found || has_file(LIST_ENTRY(node, struct kept, link), name, &info, is_seen);
  pthread_mutex_unlock(&lock);
  free(name);
  return found;
}

static void forget(bool everything) {
  pthread_mutex_lock(&lock);
  LIST_EACH(node, &all) {
    struct kept *kept = LIST_ENTRY(node, struct kept, link);
    if (everything || !kept->was_wanted)
      free_kept(kept);
    else
      kept->was_wanted = false;
  }
  pthread_mutex_unlock(&lock);
}

void tls_identity_forget_unused(void) { forget(false); }
void tls_identity_forget_all(void) { forget(true); }
