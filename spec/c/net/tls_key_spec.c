// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_key, net/tls_request and net/tls_sign: what comes under a passphrase, what is empty, and what is no
// key; signatures, PEM and parts of good keys. More of these: spec/policy/keys_spec.lua, spec/bundle_spec.lua.
#include "net/tls_key.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/tls_request.h"
#include "net/tls_sign.h"
#include "unit.h"

/* The words of a file under a passphrase, around 32 bytes of anything. */
#define LOCKED(what)                                                                                         \
  "-----BEGIN " what                                                                                         \
  "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"                \
  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END " what "-----\n"

static void check_refused(struct str pem) {
  struct tls_certificate_facts facts;
  struct buf names = {0};
  char *why = NULL;
  CHECK(!tls_key_read(pem, &why) && why);
  free(why);
  why = NULL;
  CHECK(!tls_request_facts(pem, &facts, &names, &why) && why);
  free(why);
  buf_release(&names);
}

IT("asks nobody for a passphrase, whatever comes under one") {
  int ends[2], input = dup(STDIN_FILENO);
  CHECK(pipe(ends) == 0 && dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
  struct pollfd waiting = {ends[0], POLLIN, 0};
  CHECK(write(ends[1], "secret\nsecret\n", 14) == 14);
  close(ends[1]);
  check_refused(STR(LOCKED("PRIVATE KEY")));
  check_refused(STR(LOCKED("PUBLIC KEY")));
  check_refused(STR(LOCKED("CERTIFICATE")));
  check_refused(STR(LOCKED("CERTIFICATE REQUEST")));
  CHECK(poll(&waiting, 1, 0) == 1 && (waiting.revents & POLLIN)); /* nobody has read it */
  CHECK(dup2(input, STDIN_FILENO) == STDIN_FILENO);
  close(input);
  close(ends[0]);
}

IT("signs with no key of an empty file, and finds none there") {
  char path[UNIT_PATH_BYTES], *why = NULL;
  unsigned char signature[SIGNATURE_BYTES] = {0};
  struct str zeros = {(const char *)signature, sizeof signature};
  unit_temporary(path, "no-key");
  close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  CHECK(!sign_text(path, STR("text"), signature, &why) && strstr(why, "expected a private key of Ed25519"));
  free(why);
  CHECK(!sign_is_by(path, STR("text"), zeros, &why) && strstr(why, "expected a public key of Ed25519"));
  free(why);
  unlink(path);
}

/* --- signatures, PEM and parts --- */

static struct str text_in(const struct buf *buf) { return (struct str){buf_ptr(buf), buf_len(buf)}; }

static void sign_and_verify(const struct tls_key *key, enum key_algorithm algorithm) {
  struct buf signature = {0};
  bool fits = key_algorithm_kind(algorithm) == tls_key_kind(key);
  CHECK(tls_key_sign(key, algorithm, STR("text"), &signature) == fits);
  if (fits) {
    CHECK(tls_key_verify(key, algorithm, STR("text"), text_in(&signature)));
    CHECK(!tls_key_verify(key, algorithm, STR("Text"), text_in(&signature)));
    for (int other = 0; other < KEY_ALGORITHMS; other++)
      if (other != (int)algorithm)
        CHECK(!tls_key_verify(key, (enum key_algorithm)other, STR("text"), text_in(&signature)));
    signature.data[signature.end - 1] ^= 1;
    CHECK(!tls_key_verify(key, algorithm, STR("text"), text_in(&signature)));
  }
  CHECK(!tls_key_verify(key, algorithm, STR("text"), STR("")));
  buf_release(&signature);
}

IT("signs and verifies by the algorithms of its kind, and by no other") {
  for (int kind = 0; kind < KEY_KINDS; kind++) {
    struct tls_key *key = tls_key_generate((enum key_kind)kind);
    CHECK(key && tls_key_is_private(key) && tls_key_kind(key) == (enum key_kind)kind);
    for (int algorithm = 0; algorithm < KEY_ALGORITHMS; algorithm++)
      sign_and_verify(key, (enum key_algorithm)algorithm);
    tls_key_free(key);
  }
}

IT("comes back from its PEM and from its parts, which have no private half") {
  for (int kind = 0; kind < KEY_KINDS; kind++) {
    struct tls_key *key = tls_key_generate((enum key_kind)kind);
    struct buf pem = {0}, public_pem = {0}, again = {0}, room = {0};
    struct key_parts parts = {.n = STR("")};
    const char *reason = NULL;
    char *why = NULL;
    CHECK(tls_key_write(key, true, &pem) && tls_key_write(key, false, &public_pem));
    struct tls_key *copy = tls_key_read(text_in(&pem), &why);
    CHECK(copy && tls_key_is_private(copy) && tls_key_write(copy, false, &again));
    CHECK(str_equal(text_in(&again), text_in(&public_pem)));
    tls_key_parts(key, &room, &parts);
    struct tls_key *public = tls_key_of_parts((enum key_kind)kind, &parts, &reason);
    CHECK(public && !tls_key_is_private(public));
    buf_release(&again);
    CHECK(!tls_key_write(public, true, &again) && tls_key_write(public, false, &again));
    CHECK(str_equal(text_in(&again), text_in(&public_pem)));
    tls_key_free(key);
    tls_key_free(copy);
    tls_key_free(public);
    buf_release(&pem);
    buf_release(&public_pem);
    buf_release(&again);
    buf_release(&room);
  }
}

IT("is none of what is no key: no PEM, no point of the curve, numbers of RSA that are too small") {
  char *why = NULL;
  const char *reason = NULL;
  CHECK(!tls_key_read(STR("nothing"), &why) && why);
  free(why);
  char zeros[66] = {0};
  struct key_parts parts = {.x = {zeros, 32}, .y = {zeros, 32}};
  CHECK(!tls_key_of_parts(KEY_P256, &parts, &reason) && reason);
  parts.x.len = 31;
  reason = NULL;
  CHECK(!tls_key_of_parts(KEY_ED25519, &parts, &reason) && reason);
  memset(zeros, 0xff, sizeof zeros);
  parts = (struct key_parts){.n = {zeros, 64}, .e = STR("\1\0\1")};
  reason = NULL;
  CHECK(!tls_key_of_parts(KEY_RSA, &parts, &reason) && reason);
}
