// SPDX-License-Identifier: Apache-2.0
// bundle_state: what is known of the bundle that the policy comes as. There is one for the process. In the control
// worker's thread, once the process runs.
#ifndef PERILUNE_RUNTIME_BUNDLE_STATE_H
#define PERILUNE_RUNTIME_BUNDLE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

/* Files, NULL where there is none. */
struct bundle_access {
  const char *ca;                /* whose certificates its server may show; NULL: the system's authorities */
  const char *token_file;        /* what is sent as a bearer token */
  const char *certificate, *key; /* who we are; both or none */
};

struct bundle_settings {
  const char *url, *keys, *folder, *node; /* borrowed for the life of the process, as what follows */
  struct bundle_access access;
  unsigned every_ms;
};

enum { BUNDLE_WHY_BYTES = 400 };

struct bundle_state {
  uint64_t running;        /* version; 0: none so far */
  uint64_t wanted;         /* the newest that is signed and whole; 0: none so far */
  uint64_t seen;           /* what ran last before the start; 0: none. No older one is taken */
  uint64_t refused;        /* the last one that was tried and not taken */
  struct moment good;      /* when the source last answered; 0: never */
  uint64_t failures;       /* of asking it, and of what it gave */
  bool is_trying, is_down; /* a version is loaded, or on trial; the source, or what it gave, is not good */
  bool is_damaged; /* the files of the version that was to be loaded last are not those that were signed */
  char why[BUNDLE_WHY_BYTES];     /* it is down, and what was wrong at the start */
  char refusal[BUNDLE_WHY_BYTES]; /* why the refused one was */
};

/* `settings` is copied; NULL: the policy is no bundle (any more). */
void bundle_set(const struct bundle_settings *settings);
/* NULL: the policy is a file of this machine. */
const struct bundle_settings *bundle_settings(void);
struct bundle_state *bundle_state(void);

/* The source has answered as it should; or it has not. */
void bundle_note_good(void);
void bundle_note_failure(struct str why);
/* In one line, cut where it is too long. */
void bundle_copy(char to[BUNDLE_WHY_BYTES], struct str text);

#endif
