// SPDX-License-Identifier: Apache-2.0
// password: does a password fit a hash that was made to be slow? A check takes 50 to 300 ms of a core, and megabytes of
// memory: it belongs in a thread of core/net/offload. What a hash may cost is bounded by who reads it
// (lua/perilune/password.lua). Nothing of a password is left in memory that is given back here.
#ifndef PERILUNE_NET_PASSWORD_H
#define PERILUNE_NET_PASSWORD_H

#include "base/str.h"

/* What libcrypt takes at most. */
enum { PASSWORD_MOST = 511 };

enum password_result {
  PASSWORD_WRONG,
  PASSWORD_RIGHT,
  PASSWORD_FAILED /* no memory, or nothing that computes it */
};

/* A hash of libcrypt: bcrypt, SHA-crypt, yescrypt; see crypt(5). Blocks. */
enum password_result password_crypt(struct str password, const char *hash);
/* Does this libcrypt know the method of the hash, and are its parameters good? */
bool password_crypt_knows(const char *hash);

enum argon2_kind { ARGON2_OF_D, ARGON2_OF_I, ARGON2_OF_ID };
enum { ARGON2_DIGEST_MOST = 64 };
struct argon2_hash {
  enum argon2_kind kind;
  unsigned version; /* 0x10 or 0x13 */
  unsigned memory_kib, passes, lanes;
  struct str salt, digest; /* borrowed */
};

/* RFC 9106, by OpenSSL 3.2 or libargon2. Blocks. */
enum password_result password_argon2(struct str password, const struct argon2_hash *hash);
/* Writes the digest, of hash->digest.len bytes. False: it cannot be computed. Blocks. */
bool password_argon2_digest(struct str password, const struct argon2_hash *hash, unsigned char *digest);
/* Was it built with one of them? */
bool password_has_argon2(void);

/* How a new hash is made. */
enum password_method { PASSWORD_YESCRYPT, PASSWORD_BCRYPT, PASSWORD_ARGON2ID };
enum { PASSWORD_HASH_BYTES = 384, BCRYPT_PASSWORD_MOST = 72 }; /* bcrypt looks at no more of a password */
/* A hash with a new salt, as text. False: there are no random bytes, or this build does not know the method. */
bool password_make(enum password_method method, struct str password, char hash[PASSWORD_HASH_BYTES]);

/* Stands for a text in this process: an HMAC under a secret of its own, so that a copy of what is remembered tells
 * nothing of passwords. False: there are no random bytes. */
enum { PASSWORD_TAG = 32 };
bool password_tag(struct str text, unsigned char out[PASSWORD_TAG]);

#endif
