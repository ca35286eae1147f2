// SPDX-License-Identifier: Apache-2.0
// exposition_codings: what was encoded for clients and decoded for the policy.
#include "base/ticks.h"
#include "exchange/codings.h"
#include "runtime/observe/exposition.h"
#include "shared/metrics.h"

typedef unsigned long long number;

static void put_each_coding(FILE *out, const char *name, const char *help, const cell *counts) {
  exposition_put_family(out, name, "counter", help);
  for (enum coding coding = 0; coding < CODING_IDENTITY; coding++) {
    struct str value = coding_name(coding);
    fprintf(out, "perilune_%s{coding=\"%.*s\"} %llu\n", name, STR_ARG(value),
            (number)cell_get(&counts[coding]));
  }
}

void exposition_put_codings(FILE *out, const struct tally *t) {
  put_each_coding(out, "compressed_total", "Bodies that were compressed for clients, by coding.",
                  t->compressed);
  put_each_coding(out, "decompressed_total", "Bodies that were decompressed for the policy, by coding.",
                  t->decompressed);
  exposition_put_family(out, "compress_bytes_total", "counter",
                        "Bytes of bodies that were compressed: in before, out behind it.");
  fprintf(out, "perilune_compress_bytes_total{direction=\"in\"} %llu\n", (number)cell_get(&t->compress_in));
  fprintf(out, "perilune_compress_bytes_total{direction=\"out\"} %llu\n", (number)cell_get(&t->compress_out));
  exposition_put_family(out, "compress_seconds_total", "counter",
                        "Time that compressing and decompressing has taken.");
  fprintf(out, "perilune_compress_seconds_total %.6f\n",
          (double)ticks_to_us(cell_get(&t->compress_ticks)) / 1e6);
  exposition_put_family(out, "compress_skipped_total", "counter",
                        "Responses that went as they were although the listener compresses, by the reason.");
  for (unsigned reason = 1; codings_skip_name(reason); reason++)
    fprintf(out, "perilune_compress_skipped_total{reason=\"%s\"} %llu\n", codings_skip_name(reason),
            (number)cell_get(&t->compress_skipped[reason]));
}
