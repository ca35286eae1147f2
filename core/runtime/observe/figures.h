// SPDX-License-Identifier: Apache-2.0
// figures: what `perilune top` draws, as lines of words with tabs between them. Any table is lines of one form, so that
// the command need not know what is in it:
//   fact <name> <text>
//   second <requests> <none> <1xx> ... <5xx> <p50 us> <p90> <p99> <received> <sent>     oldest first
//   table <name> <column>...      a column is its title and, behind ':', what its cells are: t text, n number,
//                                 c a count that grows, u microseconds, b bytes
//   row <cell>...                 of the table before it; the first cells that are text name the row
#ifndef PERILUNE_RUNTIME_FIGURES_H
#define PERILUNE_RUNTIME_FIGURES_H

struct server;

/* Malloc'd; in the control worker's thread. */
char *figures_text(const struct server *server);

#endif
