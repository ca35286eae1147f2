// SPDX-License-Identifier: Apache-2.0
// tls_key_parts: a key as OpenSSL has it, for those files of net/tls that sign with it, and for no other file.
#ifndef PERILUNE_NET_TLS_KEY_PARTS_H
#define PERILUNE_NET_TLS_KEY_PARTS_H

#include <openssl/evp.h>

#include "net/tls_key.h"

struct tls_key {
  EVP_PKEY *pkey; /* owned */
  enum key_kind kind;
  bool is_private; /* has its private half */
};

#endif
