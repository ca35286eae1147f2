// SPDX-License-Identifier: Apache-2.0
// certificates: a certificate authority of the units' own, as PEM files in a directory of its own that is
// removed at exit. Made once, on first use.
#ifndef PERILUNE_SPEC_CERTIFICATES_H
#define PERILUNE_SPEC_CERTIFICATES_H

struct certificates {
  char ca[64], other_ca[64];     /* certificates of two authorities */
  char certificate[64], key[64]; /* by `ca`, for good.example, *.wild.example and 127.0.0.1 */
  char locked_key[64];           /* `key` under a passphrase */
  char other_key[64];            /* belongs to no certificate here but other_ca */
};

const struct certificates *certificates(void);

#endif
