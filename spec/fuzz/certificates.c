// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: certificates in PEM, as a server's own (net/tls_identity) and as an answer of a certificate authority
// (net/tls_request). Facts that are read have whole names, and texts that end.
#include "net/tls_identity.h"
#include "net/tls_request.h"

#include "base/buf.h"
#include "fuzz.h"

static void require_facts(const struct tls_certificate_facts *facts, struct str names) {
  struct str name;
  REQUIRE(facts->count >= 1);
  REQUIRE(strlen(facts->subject) < sizeof facts->subject && strlen(facts->issuer) < sizeof facts->issuer);
  REQUIRE(strlen(facts->serial) < sizeof facts->serial && strlen(facts->authority) < sizeof facts->authority);
  REQUIRE(!names.len || names.ptr[names.len - 1] == '\n');
  while (names.len && str_split(&names, '\n', &name)) {
    REQUIRE(name.len);
    for (size_t i = 0; i < name.len; i++) REQUIRE(name.ptr[i]);
  }
}

static void read_facts(struct str pem) {
  struct tls_certificate_facts facts;
  struct buf names = {0};
  char *why = NULL;
  bool is_read = tls_request_facts(pem, &facts, &names, &why);
  REQUIRE(is_read || (why && *why));
  if (is_read) require_facts(&facts, buf_len(&names) ? buf_str(&names) : STR(""));
  buf_release(&names);
  free(why);
}

static void read_identity(struct str pem) {
  struct tls_files files = {.certificate = pem, .key = pem};
  char *why = NULL;
  if (!tls_is_text(pem)) return; /* a file's name */
  struct tls_identity *identity = tls_identity_load(&files, &why);
  REQUIRE(identity || (why && *why));
  tls_identity_release(identity);
  free(why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str pem = fuzz_copy(data, size);
  read_facts(pem);
  read_identity(pem);
  free((char *)pem.ptr);
  return 0;
}
