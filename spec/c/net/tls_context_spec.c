// SPDX-License-Identifier: Apache-2.0
// Units for net/tls_context: what cannot be loaded is named, and peers share what they can.
#include "net/tls_context.h"
#include "net/tls_identity.h"

#include <stdio.h>
#include <stdlib.h>

#include "certificates.h"
#include "shared/threads.h"
#include "unit.h"

static void check_server_refused(const char *certificate, const char *key, const char *subject,
                                 const char *reason) {
  char *why = NULL, start[128];
  CHECK(!tls_context_server(
      &(struct tls_server_options){
          .certificates = &(struct tls_files){.certificate = str_of(certificate), .key = str_of(key)},
          .count = 1},
      &why));
  if (!CHECK(why)) return;
  snprintf(start, sizeof start, "%s: ", subject);
  CHECK(str_starts_with(str_of(why), str_of(start)));
  CHECK(strstr(why, reason));
  free(why);
}

IT("names the certificate or key that cannot be loaded") {
  const struct certificates *files = certificates();
  char subject[160];
  check_server_refused("/none/c.pem", files->key, "certificate /none/c.pem", "No such file or directory");
  check_server_refused(files->certificate, "/none/k.pem", "key /none/k.pem", "No such file or directory");
  snprintf(subject, sizeof subject, "certificate %s", files->key);
  check_server_refused(files->key, files->key, subject, "no start line");
  snprintf(subject, sizeof subject, "key %s", files->other_key);
  check_server_refused(files->certificate, files->other_key, subject, "it does not belong to ");
}

IT("refuses a key under a passphrase instead of asking for it") {
  const struct certificates *files = certificates();
  char subject[160];
  snprintf(subject, sizeof subject, "key %s", files->locked_key);
  check_server_refused(files->certificate, files->locked_key, subject, "");
}

IT("names a CA file that cannot be loaded") {
  char *why = NULL;
  CHECK(!tls_context_client(&(struct tls_client_options){.ca = STR("/none/ca.pem")}, &why));
  CHECK_STR(str_of(why), "CA file /none/ca.pem: No such file or directory");
  free(why);
}

IT("gives peers with equal trust the same context, until it is forgotten") {
  struct str ca = str_of(certificates()->ca);
  char *why = NULL;
  struct tls_context *first = tls_context_client(&(struct tls_client_options){.ca = ca}, &why);
  tls_context_release(first);
  struct tls_context *again = tls_context_client(&(struct tls_client_options){.ca = ca}, &why);
  CHECK(first == again);
  struct tls_context *unverified =
      tls_context_client(&(struct tls_client_options){.ca = ca, .no_verify = true}, &why);
  struct tls_context *system = tls_context_client(&(struct tls_client_options){.ca = STR("")}, &why);
  CHECK(unverified && unverified != again && !tls_context_verifies(unverified));
  CHECK(system && system != again && tls_context_verifies(system));

  tls_context_forget_clients();
  struct tls_context *fresh = tls_context_client(&(struct tls_client_options){.ca = ca}, &why);
  CHECK(fresh && fresh != again); /* `again` is still held, so its memory cannot have been used again */
  tls_context_release(again);
  tls_context_release(unverified);
  tls_context_release(system);
  tls_context_release(fresh);
  tls_context_forget_clients();
}

IT("keeps a context as long as somebody holds it") {
  char *why = NULL;
  struct tls_context *context =
      tls_context_client(&(struct tls_client_options){.ca = str_of(certificates()->ca)}, &why);
  CHECK(tls_context_hold(context) == context);
  tls_context_forget_clients();
  tls_context_release(context);
  CHECK(tls_context_verifies(context));
  tls_context_release(context);
  tls_context_release(NULL);
}

static void get_and_forget(void *argument, unsigned index) {
  for (int i = 0; i < 200; i++) {
    char *why = NULL;
    struct tls_context *context =
        tls_context_client(&(struct tls_client_options){.ca = str_of(argument)}, &why);
    CHECK(context && tls_context_verifies(context));
    if (index == 0) tls_context_forget_clients();
    tls_context_release(context);
  }
}

IT("gives threads whole contexts while one of them makes it forget") {
  threads_run(get_and_forget, (void *)certificates()->ca);
  tls_context_forget_clients();
}
