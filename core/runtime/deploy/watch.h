// SPDX-License-Identifier: Apache-2.0
// watch: `--watch`: reloads when a file of the policy changes on disk (inotify). Folders are watched,
// since editors replace files; changes within a moment are one reload. A symbolic link in the path of a file
// counts, too.
#ifndef PERILUNE_RUNTIME_WATCH_H
#define PERILUNE_RUNTIME_WATCH_H

struct server;
struct watch;

/* NULL: *why is a malloc'd message. */
struct watch *watch_new(struct server *server, char **why);
/* The files are other ones now: lines of text, borrowed for the call. NULL: none. */
void watch_files(struct watch *watch, const char *lines);
/* The files on disk do not load: until watch_files every Lua file beside those that are watched may be one
 * of theirs. */
void watch_doubt(struct watch *watch);
/* NULL is fine. */
void watch_free(struct watch *watch);

#endif
