// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_kept and the list of net/tls_client: what is read once, what is read again, and what
// waits for whom.
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/safe_file.h"
#include "certificates.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "unit.h"

static struct tls_identity *get(const char *certificate, const char *key) {
  char *why = NULL;
  struct tls_files files = {.certificate = str_of(certificate), .key = str_of(key)};
  struct tls_identity *identity = tls_identity_get(&files, &why);
  CHECK(identity && !why);
  return identity;
}

static void copy_file(const char *from, const char *to) {
  char bytes[8192], temporary[160];
  snprintf(temporary, sizeof temporary, "%s.new", to);
  FILE *in = fopen(from, "r"), *out = fopen(temporary, "w");
  size_t length = fread(bytes, 1, sizeof bytes, in);
  fwrite(bytes, 1, length, out);
  fclose(in);
  fclose(out);
  CHECK(rename(temporary, to) == 0);
}

IT("reads an identity once, until one of its files changes") {
  const struct certificates *c = certificates();
  char key[160];
  snprintf(key, sizeof key, "%s.copy", c->key);
  copy_file(c->key, key);
  struct tls_identity *first = get(c->certificate, key), *again = get(c->certificate, key);
  CHECK(first == again);
  copy_file(c->key, key);
  struct tls_identity *fresh = get(c->certificate, key);
  CHECK(fresh != first);
  tls_identity_release(first);
  tls_identity_release(again);
  tls_identity_release(fresh);
  tls_identity_forget_all();
  unlink(key);
}

IT("lets go of an identity that nobody has got between two generations") {
  const struct certificates *c = certificates();
  struct tls_identity *held = get(c->certificate, c->key);
  tls_identity_forget_unused(); /* it was wanted before */
  struct tls_identity *kept = get(c->certificate, c->key);
  CHECK(kept == held);
  tls_identity_forget_unused();
  tls_identity_forget_unused();
  struct tls_identity *fresh = get(c->certificate, c->key);
  CHECK(fresh != held);
  tls_identity_release(held);
  tls_identity_release(kept);
  tls_identity_release(fresh);
  tls_identity_forget_all();
}

static struct tls_context *context_of(const char *ca) {
  char *why = NULL;
  struct tls_context *context = tls_context_client(&(struct tls_client_options){.ca = str_of(ca)}, &why);
  CHECK(context != NULL);
  return context;
}

IT("puts a changed store of trust in force when it is told to, and not before") {
  const struct certificates *c = certificates();
  char ca[160];
  snprintf(ca, sizeof ca, "%s.copy", c->ca);
  copy_file(c->ca, ca);
  struct tls_context *first = context_of(ca);
  CHECK(!tls_refresh_is_due());
  copy_file(c->other_ca, ca);
  CHECK(tls_refresh_is_due());
  tls_refresh_drop(tls_refresh_begin());
  struct tls_context *same = context_of(ca);
  CHECK(same == first && !tls_context_is_outdated(first));
  tls_refresh_commit(tls_refresh_begin());
  struct tls_context *fresh = context_of(ca);
  CHECK(fresh != first && tls_context_is_outdated(first) && !tls_refresh_is_due());
  struct tls_context *newest = tls_context_newest(tls_context_newest(tls_context_hold(first)));
  CHECK(newest == fresh);
  tls_context_release(newest);
  copy_file(c->key,
            ca); /* no certificate: what is there stays, and it is not tried again until it changes again */
  CHECK(tls_refresh_is_due() && tls_refresh_commit(tls_refresh_begin()) == 0);
  CHECK(!tls_refresh_is_due() && !tls_context_is_outdated(fresh));
  copy_file(c->ca, ca);
  CHECK(tls_refresh_is_due());
  tls_context_release(first);
  tls_context_release(same);
  tls_context_release(fresh);
  tls_context_forget_clients();
  unlink(ca);
}

IT("lets go of contexts that nobody holds or has asked for between two generations") {
  const char *ca = certificates()->ca;
  struct tls_context *held = context_of(ca);
  tls_context_forget_unused();
  tls_context_forget_unused();
  struct tls_context *same = context_of(ca);
  CHECK(same == held);
  tls_context_hold(held); /* so that its memory is not used again */
  tls_context_release(same);
  tls_context_release(held);
  tls_context_forget_unused();
  tls_context_forget_unused();
  struct tls_context *still = context_of(ca);
  CHECK(still == held);
  tls_context_release(still);
  tls_context_release(held);
  tls_context_forget_clients();
}

IT("loads a store of trust once for all contexts that are made of it") {
  const char *ca = certificates()->ca;
  char *why = NULL;
  struct tls_context *first = context_of(ca);
  struct tls_context *other =
      tls_context_client(&(struct tls_client_options){.ca = str_of(ca), .oldest = TLS_FROM_1_3}, &why);
  CHECK(other && other != first);
  CHECK(SSL_CTX_get_cert_store(tls_context_ssl(other)) == SSL_CTX_get_cert_store(tls_context_ssl(first)));
  tls_context_release(first);
  tls_context_release(other);
  tls_context_forget_clients();
}

/* Certificates for a good while, of as many as a file may have. */
struct slow {
  char file[160];
  atomic_bool has_ended;
};

static void *load_slowly(void *argument) {
  struct slow *slow = argument;
  tls_context_release(context_of(slow->file));
  atomic_store(&slow->has_ended, true);
  return NULL;
}

static void write_much(const char *file) {
  char bytes[8192];
  FILE *in = fopen(certificates()->ca, "r"), *out = fopen(file, "w");
  size_t length = fread(bytes, 1, sizeof bytes, in);
  for (size_t sum = 0; sum + length < SAFE_READ_MOST; sum += length) fwrite(bytes, 1, length, out);
  fclose(in);
  fclose(out);
}

/* Were others still served when the file had been read, and nothing but read? */
static bool is_overtaken(struct slow *slow) {
  char event[4096];
  pthread_t reader;
  int watch = inotify_init1(IN_CLOEXEC);
  CHECK(inotify_add_watch(watch, slow->file, IN_CLOSE_NOWRITE) >= 0);
  atomic_store(&slow->has_ended, false);
  CHECK(pthread_create(&reader, NULL, load_slowly, slow) == 0);
  CHECK(read(watch, event, sizeof event) > 0);
  for (int i = 0; i < 100; i++) tls_context_release(context_of(certificates()->ca));
  bool is_first = !atomic_load(&slow->has_ended);
  pthread_join(reader, NULL);
  close(watch);
  tls_context_forget_clients();
  return is_first;
}

/* On a busy machine the others may get no time while it is loaded: not each time. */
IT("keeps nobody waiting for a file that somebody else reads") {
  struct slow slow;
  bool is_first = false;
  snprintf(slow.file, sizeof slow.file, "%s.slow", certificates()->ca);
  write_much(slow.file);
  for (int i = 0; i < 50 && !is_first; i++) is_first = is_overtaken(&slow);
  CHECK(is_first);
  unlink(slow.file);
}
