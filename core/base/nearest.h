// SPDX-License-Identifier: Apache-2.0
// nearest: "did you mean ...?": which valid word is the most similar to a misspelt one.
//
//   struct nearest n = nearest_to("relaod");
//   nearest_offer(&n, "run");
//   nearest_offer(&n, "reload");
//   n.found  // "reload"; NULL: none is near enough to be worth a suggestion
#ifndef PERILUNE_BASE_NEAREST_H
#define PERILUNE_BASE_NEAREST_H

struct nearest {
  const char *word;  /* borrowed */
  const char *found; /* borrowed: the best that was offered; of equals the first */
  unsigned distance; /* its edits, or one more than may be; only a better one is taken */
};

struct nearest nearest_to(const char *word);
/* `candidate` must live as long as `n->found` is used. */
void nearest_offer(struct nearest *n, const char *candidate);

#endif
