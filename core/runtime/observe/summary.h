// SPDX-License-Identifier: Apache-2.0
// summary: a proxy in one line, by which people tell it from others.
#ifndef PERILUNE_RUNTIME_SUMMARY_H
#define PERILUNE_RUNTIME_SUMMARY_H

struct server;

/* "hello.lua on 127.0.0.1:8080, up 2 h", malloc'd, with a line's end. */
char *summary_text(const struct server *server);

#endif
