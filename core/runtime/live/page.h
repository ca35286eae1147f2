// SPDX-License-Identifier: Apache-2.0
// live/page: the page /traces of the admin listener: recent failures, and the slowest call of each hook.
#ifndef PERILUNE_RUNTIME_LIVE_PAGE_H
#define PERILUNE_RUNTIME_LIVE_PAGE_H

struct server;

/* HTML, malloc'd. */
char *live_page(const struct server *server);

#endif
