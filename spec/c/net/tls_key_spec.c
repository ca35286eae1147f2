// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_key, net/tls_request and net/tls_sign: what comes under a passphrase, and what is empty. What they
// do with good keys: spec/policy/keys_spec.lua, spec/bundle_spec.lua.
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
