// SPDX-License-Identifier: Apache-2.0
// exposition: all metrics in Prometheus' text format, version 0.0.4.
#ifndef PERILUNE_RUNTIME_EXPOSITION_H
#define PERILUNE_RUNTIME_EXPOSITION_H

#include <stdio.h>

#include "base/str.h"

struct registry;
struct server;
struct tally;

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Malloc'd; in the control worker's thread. */
char *exposition_text(const struct server *server);

/* Between its own files: the policy's metrics, those of content codings, peers and traces; the lines before a metric,
 * name="value", a metric that is one number, and a line of one that has a label. */
void exposition_put_policy(FILE *out, struct registry *registry);
void exposition_put_codings(FILE *out, const struct tally *tally);
void exposition_put_peer_figures(FILE *out);
void exposition_put_tracing(FILE *out, struct registry *registry);
void exposition_put_family(FILE *out, const char *name, const char *type, const char *help);
void exposition_put_label(FILE *out, const char *name, struct str value);
void exposition_put_single(FILE *out, const char *name, const char *type, const char *help,
                           unsigned long long value);
void exposition_put_labelled(FILE *out, const char *name, const char *label, struct str value,
                             unsigned long long count);
/* exposition_backends.c */
void exposition_put_backends(FILE *out, struct registry *registry);

#endif
