// SPDX-License-Identifier: Apache-2.0
// Units for net/password and net/tls_argon2.
#include "net/password.h"

#include "unit.h"

IT("lets the password fit that libcrypt has made the hash of, and no other") {
  const char *hash = "$2y$04$abcdefghijklmnopqrstuuhiTVLHQPvYzPykOsCOnc5I00eOfh33K";
  CHECK(password_crypt(STR("lovelace"), hash) == PASSWORD_RIGHT);
  CHECK(password_crypt(STR("lovelac"), hash) == PASSWORD_WRONG);
  CHECK(password_crypt(STR("lovelace\0"), hash) == PASSWORD_WRONG);
  CHECK(password_crypt(STR(""), hash) == PASSWORD_WRONG);
  char longest[PASSWORD_MOST + 2];
  memset(longest, 'x', sizeof longest);
  CHECK(password_crypt((struct str){longest, PASSWORD_MOST}, hash) == PASSWORD_WRONG);
  CHECK(password_crypt((struct str){longest, PASSWORD_MOST + 1}, hash) == PASSWORD_WRONG);
}

IT("says of what is no hash that it cannot be computed") {
  CHECK(password_crypt(STR("lovelace"), "$2y$99$abcdefghijklmnopqrstuu") == PASSWORD_FAILED);
  CHECK(password_crypt(STR("lovelace"), "*0") == PASSWORD_FAILED);
  CHECK(!password_crypt_knows("$nothing$x") && password_crypt_knows("$6$salt$"));
}

IT("computes argon2 where the build has it") {
  struct argon2_hash hash = {.kind = ARGON2_OF_ID,
                             .version = 0x13,
                             .memory_kib = 64,
                             .passes = 1,
                             .lanes = 1,
                             .salt = STR("saltsaltsalt"),
                             .digest =
                                 STR("\xb8\xc9\xf8\xb0\x57\x9d\xca\x53\x97\x26\x79\x04\x70\xc1\xdc\xd3"
                                     "\xa4\x2e\xfb\xc8\x57\x4c\xed\x9f\xf6\x14\xff\x06\xa4\x6c\xf0\x4a")};
  bool has = password_has_argon2();
  CHECK(password_argon2(STR("lovelace"), &hash) == (has ? PASSWORD_RIGHT : PASSWORD_FAILED));
  CHECK(password_argon2(STR("Lovelace"), &hash) == (has ? PASSWORD_WRONG : PASSWORD_FAILED));
  hash.memory_kib = 0;
  CHECK(password_argon2(STR("lovelace"), &hash) == PASSWORD_FAILED);
}

IT("stands for a text by the same bytes in one process, and for another by others") {
  unsigned char a[PASSWORD_TAG], b[PASSWORD_TAG], c[PASSWORD_TAG];
  CHECK(password_tag(STR("ada"), a) && password_tag(STR("ada"), b) && password_tag(STR("adb"), c));
  CHECK(memcmp(a, b, sizeof a) == 0 && memcmp(a, c, sizeof a) != 0);
}
