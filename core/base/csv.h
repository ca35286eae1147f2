// SPDX-License-Identifier: Apache-2.0
// csv: reads rows of text with separators between their fields (RFC 4180). A field may be quoted: then separators and
// line ends in it are text, and a quote is written twice.
#ifndef PERILUNE_BASE_CSV_H
#define PERILUNE_BASE_CSV_H

#include "base/buf.h"
#include "base/str.h"

enum { CSV_FIELDS_MOST = 256, CSV_ROW_MOST = 1 << 20 };

struct csv {
  struct str rest; /* borrowed: what is not read yet */
  char separator;
  unsigned line; /* where the row begins that was read last, from 1 */
  unsigned next_line;
  struct buf text;                    /* owned: of that row */
  struct str fields[CSV_FIELDS_MOST]; /* slices of it */
  unsigned count;
};

/* A byte order mark at the start of the text is passed over. */
void csv_begin(struct csv *csv, struct str text, char separator);
void csv_end(struct csv *csv);
/* The next row; lines that are empty are passed over. False: there is none, or *why says what is wrong in csv->line. */
bool csv_next(struct csv *csv, const char **why);

#endif
