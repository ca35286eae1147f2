// SPDX-License-Identifier: Apache-2.0
// certificates: a certificate authority of the units' own, as PEM files in a directory of its own that is
// removed at exit. Made once, on first use.
#ifndef PERILUNE_SPEC_CERTIFICATES_H
#define PERILUNE_SPEC_CERTIFICATES_H

#define CERTIFICATE_PATH_BYTES 128

struct certificates {
  char ca[CERTIFICATE_PATH_BYTES], other_ca[CERTIFICATE_PATH_BYTES]; /* certificates of two authorities */
  char certificate[CERTIFICATE_PATH_BYTES],
      key[CERTIFICATE_PATH_BYTES];         /* by `ca`, for good.example, *.wild.example and 127.0.0.1 */
  char locked_key[CERTIFICATE_PATH_BYTES]; /* `key` under a passphrase */
  char other_key[CERTIFICATE_PATH_BYTES];  /* belongs to no certificate here but other_ca */
};

const struct certificates *certificates(void);

#endif
