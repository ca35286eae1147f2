// SPDX-License-Identifier: Apache-2.0
// tls_tickets: three keys, the newest first. With a key, all sessions whose tickets it made can be decrypted (those
// of TLS 1.2 also later), so a key is used for some hours only, and never leaves memory.
#include "net/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { KEYS = 3, ROTATE_S = 6 * 3600, NAME_BYTES = 16 };

struct key {
  int64_t made_s; /* of now_s, with which a successor goes on counting; 0: there is none */
  unsigned char name[NAME_BYTES], cipher[32], mac[32];
};
_Static_assert(sizeof(struct key) * KEYS == TLS_TICKETS_BYTES, "the keys are handed on as they are");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for a copy */
static struct key keys[KEYS];                            /* guarded by `lock` */
static EVP_CIPHER *cipher;                               /* fetched once: a fetch costs more than its use */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* By a clock that all processes have in common and nobody sets. */
static int64_t now_s(void) { return 1 + (int64_t)(clock_now_ms(&clock_system) / 1000); }

static void rotate(void) {
  memmove(keys + 1, keys, sizeof *keys * (KEYS - 1));
  keys[0].made_s = now_s();
  if (RAND_priv_bytes(keys[0].name, sizeof *keys - offsetof(struct key, name)) != 1) abort();
}

static void begin(void) {
  cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
  if (!cipher) abort();
}

/* A predecessor of an older version counted by the time of day, so its key may seem to be of the future. Then it is
 * replaced. */
static struct key newest(void) {
  pthread_mutex_lock(&lock);
  int64_t age_s = now_s() - keys[0].made_s;
  if (!keys[0].made_s || age_s < 0 || age_s >= ROTATE_S) rotate();
  struct key key = keys[0];
  pthread_mutex_unlock(&lock);
  return key;
}

/* The number of the key, -1: its tickets are no longer good. */
static int find(const unsigned char name[NAME_BYTES], struct key *key) {
  int found = -1;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < KEYS && found < 0; i++)
    if (keys[i].made_s && memcmp(keys[i].name, name, NAME_BYTES) == 0) found = i;
  if (found >= 0) *key = keys[found];
  pthread_mutex_unlock(&lock);
  return found;
}

static bool set_mac(EVP_MAC_CTX *mac, struct key *key) {
  OSSL_PARAM with[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, with) == 1;
}

static int make_ticket(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *context, EVP_MAC_CTX *mac) {
  struct key key = newest();
  memcpy(name, key.name, NAME_BYTES);
  bool ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher)) == 1 &&
            EVP_EncryptInit_ex(context, cipher, NULL, key.cipher, iv) == 1 && set_mac(mac, &key);
  OPENSSL_cleanse(&key, sizeof key);
  return ok ? 1 : -1;
}

/* 0: a new session; 1: resumed; 2: resumed, and the client gets a new ticket. With TLS 1.3 it always gets one, as
 * it uses each only once (RFC 8446 appendix C.4). */
static int read_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *context,
                       EVP_MAC_CTX *mac) {
  struct key key;
  int index = find(name, &key);
  if (index < 0) return 0;
  bool ok = set_mac(mac, &key) && EVP_DecryptInit_ex(context, cipher, NULL, key.cipher, iv) == 1;
  OPENSSL_cleanse(&key, sizeof key);
  if (!ok) return -1;
  return index == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *context,
                     EVP_MAC_CTX *mac, int makes) {
  return makes ? make_ticket(name, iv, context, mac) : read_ticket(ssl, name, iv, context, mac);
}

void tls_tickets_use(SSL_CTX *ssl) {
  pthread_once(&once, begin);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket);
  SSL_CTX_set_timeout(ssl, (KEYS - 1) * ROTATE_S);
}

void tls_tickets_copy(unsigned char bytes[TLS_TICKETS_BYTES]) {
  pthread_mutex_lock(&lock);
  memcpy(bytes, keys, TLS_TICKETS_BYTES);
  pthread_mutex_unlock(&lock);
}

void tls_tickets_adopt(const unsigned char bytes[TLS_TICKETS_BYTES]) {
  pthread_mutex_lock(&lock);
  memcpy(keys, bytes, TLS_TICKETS_BYTES);
  pthread_mutex_unlock(&lock);
}
