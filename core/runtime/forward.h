// SPDX-License-Identifier: Apache-2.0
// forward: the policy of `perilune proxy`: plain forwarding to a list of peers, round robin, in C without any
// script.
#ifndef PERILUNE_RUNTIME_FORWARD_H
#define PERILUNE_RUNTIME_FORWARD_H

#include "runtime/policy.h"

struct forward_options {
  struct str listen; /* one address */
  struct str to;     /* "ADDR,ADDR,..." */
};

/* Its source is a struct forward_options. */
extern const struct policy_kind forward_policy;

#endif
