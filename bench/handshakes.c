// SPDX-License-Identifier: Apache-2.0
// handshakes: the load of the bench for TLS connections that are not kept. Each slot connects, shakes hands, asks once
// and reads until the server ends the connection, again and again; says in one line how often, and how long it took.
// Certificates are not looked at: what a client thinks of them costs the server nothing.
//   handshakes PORT SLOTS SECONDS full|resumed PATH
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS_MOST = 1024, SAMPLES_MOST = 1 << 20, HEAD_BYTES = 512 };

/* One connection after another. */
struct slot {
  SSL *ssl;             /* owned; NULL: between two connections */
  SSL_SESSION *session; /* owned; the newest that the server gave */
  double began_s;
  char status[16]; /* how the response begins */
  size_t status_bytes;
  bool offers_session, has_asked, closed_cleanly;
};

static struct slot slots[SLOTS_MOST];
static float samples_us[SAMPLES_MOST];
static long done, errors, other_statuses;
static int poll_fd, port;
static bool resumes;
static SSL_CTX *context;
static char head[HEAD_BYTES];

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
  struct slot *slot = SSL_get_app_data(ssl);
  if (!resumes) return 0;
  SSL_SESSION_free(slot->session);
  slot->session = session;
  return 1;
}

static void begin(struct slot *slot) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool ok =
      fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
  slot->ssl = SSL_new(context);
  if (!ok || !slot->ssl || SSL_set_fd(slot->ssl, fd) != 1) {
    perror("handshakes");
    exit(1);
  }
  SSL_set_app_data(slot->ssl, slot);
  SSL_set_tlsext_host_name(slot->ssl, "one.one.one.one");
  slot->offers_session = slot->session && SSL_set_session(slot->ssl, slot->session) == 1;
  SSL_set_connect_state(slot->ssl);
  slot->began_s = now_s();
  slot->status_bytes = 0;
  slot->has_asked = slot->closed_cleanly = false;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = slot};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* What was expected: a session of the kind that is measured, and a whole 200. */
static void count(const struct slot *slot) {
  if (done < SAMPLES_MOST) samples_us[done] = (float)((now_s() - slot->began_s) * 1e6);
  done++;
  if (!slot->closed_cleanly || slot->status_bytes < 12)
    errors++;
  else if (memcmp(slot->status + 9, "200", 3) != 0)
    other_statuses++;
  else if (slot->offers_session != (bool)SSL_session_reused(slot->ssl))
    errors++;
}

static void end(struct slot *slot) {
  int fd = SSL_get_fd(slot->ssl);
  SSL_shutdown(slot->ssl);
  SSL_free(slot->ssl);
  slot->ssl = NULL;
  close(fd);
}

static bool ask(struct slot *slot) {
  if (SSL_do_handshake(slot->ssl) != 1) return false;
  slot->has_asked = SSL_write(slot->ssl, head, (int)strlen(head)) > 0;
  return slot->has_asked;
}

/* True: the connection is at its end. */
static bool go_on(struct slot *slot) {
  char bytes[16384];
  int got = slot->has_asked || ask(slot) ? 1 : -1;
  while (got > 0 && (got = SSL_read(slot->ssl, bytes, sizeof bytes)) > 0) {
    size_t room = sizeof slot->status - slot->status_bytes, take = (size_t)got < room ? (size_t)got : room;
    memcpy(slot->status + slot->status_bytes, bytes, take);
    slot->status_bytes += take;
  }
  int why = SSL_get_error(slot->ssl, got);
  slot->closed_cleanly = why == SSL_ERROR_ZERO_RETURN;
  return why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
}

static int compare(const void *left, const void *right) {
  float a = *(const float *)left, b = *(const float *)right;
  return a < b ? -1 : a > b;
}

static void report(double seconds) {
  long count = done < SAMPLES_MOST ? done : SAMPLES_MOST;
  qsort(samples_us, (size_t)count, sizeof *samples_us, compare);
  printf("{\"requests\": %ld, \"rps\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %ld, "
         "\"other_statuses\": %ld}\n",
         done, (double)done / seconds, count ? samples_us[count / 2] : 0,
         count ? samples_us[count * 99 / 100] : 0, errors, other_statuses);
}

static void run(int count_of_slots, double seconds) {
  struct epoll_event events[SLOTS_MOST];
  double began_s = now_s(), until_s = began_s + seconds, now;
  for (int i = 0; i < count_of_slots; i++) begin(&slots[i]);
  while ((now = now_s()) < until_s) {
    int ready = epoll_wait(poll_fd, events, SLOTS_MOST, (int)((until_s - now) * 1000) + 1);
    for (int i = 0; i < ready; i++) {
      struct slot *slot = events[i].data.ptr;
      if (!slot->ssl || !go_on(slot)) continue;
      count(slot);
      end(slot);
      begin(slot);
    }
  }
  report(now_s() - began_s);
}

int main(int argc, char **argv) {
  if (argc != 6 || atoi(argv[2]) > SLOTS_MOST) return 2;
  signal(SIGPIPE, SIG_IGN);
  port = atoi(argv[1]);
  resumes = strcmp(argv[4], "resumed") == 0;
  snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: bench\r\nappid: 1\r\nConnection: close\r\n\r\n",
           argv[5]);
  context = SSL_CTX_new(TLS_client_method());
  if (!context) return 1;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  poll_fd = epoll_create1(0);
  run(atoi(argv[2]), atof(argv[3]));
  return 0;
}
