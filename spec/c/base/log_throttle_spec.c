// SPDX-License-Identifier: Apache-2.0
// Units for base/log_throttle, by the log that uses it. Its clock is a fake one; what is written is caught
// by an output.
#include "base/log_throttle.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "unit.h"

static char written[200000];
static size_t length;
static unsigned lines;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct clock_fake now;

static void take(void *self, enum log_level level, const char *line, size_t bytes) {
  (void)self, (void)level;
  pthread_mutex_lock(&turn);
  lines++;
  if (length + bytes < sizeof written) memcpy(written + length, line, bytes), length += bytes;
  written[length] = '\0';
  pthread_mutex_unlock(&turn);
}

static const struct log_output output = {take, NULL, true};

static void forget(void) {
  lines = 0;
  length = 0;
  written[0] = '\0';
}

static void begin(void) {
  clock_fake_init(&now, 1000);
  log_set_clock(&now.clock);
  log_set_thread("t");
  log_to(&output);
  forget();
}

static void end(void) {
  log_to(NULL);
  log_set_clock(NULL);
  log_set_thread("main");
}

static void say(int number) { log_warn("number %d", number); }

IT("writes the first lines of a kind at once, and says later how many more there were, and of which") {
  begin();
  for (int i = 1; i <= 8832; i++) say(i);
  CHECK(lines == LOG_THROTTLE_LINES);
  forget();
  now.ms += LOG_THROTTLE_MS - 1;
  log_tend();
  CHECK(lines == 0);
  now.ms += 1;
  log_tend();
  CHECK_STR(str_of(written), "t: 8,827 more in 10 s: number 6\n");
  log_tend();
  CHECK(lines == 1);
  end();
}

IT("lets lines pass again once their time is over, behind the count of those left out") {
  begin();
  for (int i = 1; i <= LOG_THROTTLE_LINES + 2; i++) say(i);
  forget();
  now.ms += 12000;
  say(23);
  CHECK_STR(str_of(written), "t: 2 more in 12 s: number 6\nt: number 23\n");
  end();
}

IT("says at the end what was left out so far") {
  begin();
  for (int i = 1; i <= LOG_THROTTLE_LINES + 1; i++) say(i);
  forget();
  now.ms += 2500;
  log_flush();
  CHECK_STR(str_of(written), "t: 1 more in 2.5 s: number 6\n");
  end();
}

IT("shows of the lines left out the first with all that was said, to the end of its first line") {
  char id[65], wanted[400];
  memset(id, 'f', sizeof id - 1);
  id[sizeof id - 1] = '\0';
  begin();
  for (int i = 0; i <= LOG_THROTTLE_LINES; i++)
    log_warn(
        "request_filter failed: /etc/perilune/gateway/policy.lua:5: no luck today, and none is to be expected"
        " before the backend is up again (GET /orders/1 of client 203.0.113.100:54321, request id %s)\nmore",
        id);
  forget();
  log_flush();
  snprintf(wanted, sizeof wanted, "request id %s)\n", id);
  CHECK(strstr(written, wanted) && !strstr(written, "more)"));
  forget();
  for (int i = 0; i <= LOG_THROTTLE_LINES; i++) log_warn("%0400d request id 7f3a %0200d", 0, 0);
  forget();
  log_flush();
  CHECK(strstr(written, " request id 7f3a 0") && strstr(written, "0...\n"));
  end();
}

IT("throttles each kind by itself, and each subject of a kind") {
  begin();
  for (int i = 0; i < 100; i++) say(i);
  forget();
  log_warn("another kind");
  CHECK(lines == 1);
  for (int i = 0; i < 100; i++) log_about(LOG_WARN, STR("a"), "peer %s", "a");
  forget();
  log_about(LOG_WARN, STR("b"), "peer %s", "b");
  CHECK_STR(str_of(written), "t: peer b\n");
  end();
}

IT("keeps its memory bounded by random subjects, and loses no line uncounted") {
  enum { SUBJECTS = 20000 };
  begin();
  for (unsigned i = 0; i < SUBJECTS; i++) {
    char subject[32];
    snprintf(subject, sizeof subject, "subject %u", i);
    log_about(LOG_INFO, str_of(subject), "%s", subject);
  }
  CHECK(lines <= LOG_THROTTLE_KEYS + LOG_THROTTLE_LINES);
  unsigned long passed = lines, more = 0;
  log_flush();
  for (char *at = written; (at = strstr(at, " more in ")); at++) {
    char *from = at;
    while (from[-1] != ' ') from--;
    unsigned long count = 0;
    for (; from < at; from++)
      if (*from != ',') count = count * 10 + (unsigned long)(*from - '0');
    more += count;
  }
  CHECK(passed + more == SUBJECTS);
  /* Their places are free once their time is over. */
  now.ms += LOG_THROTTLE_MS;
  forget();
  for (int i = 0; i < LOG_THROTTLE_LINES + 2; i++) log_about(LOG_INFO, STR("a"), "%s", "a");
  CHECK(lines == LOG_THROTTLE_LINES);
  end();
}

IT("does not let one kind with many subjects hide other kinds") {
  begin();
  for (unsigned i = 0; i < 20000; i++) {
    char subject[32];
    snprintf(subject, sizeof subject, "client %u", i);
    log_about(LOG_INFO, str_of(subject), "%s", subject);
  }
  forget();
  log_info("ready");
  log_about(LOG_WARN, STR("a"), "peer %s", "a");
  CHECK_STR(str_of(written), "t: ready\nt: peer a\n");
  end();
}

IT("leaves debug lines and those of a policy alone") {
  begin();
  log_set_level(LOG_DEBUG);
  for (int i = 0; i < 100; i++) log_debug("debug %d", i);
  log_set_level(LOG_INFO);
  for (int i = 0; i < 100; i++) log_unthrottled(LOG_INFO, "%s", "by a policy");
  CHECK(lines == 200);
  end();
}

IT("reports a traceback by its first line, and at the highest level of what was left out") {
  begin();
  for (int i = 0; i < LOG_THROTTLE_LINES + 2; i++)
    log_text_about(LOG_ERROR, STR(""), "hook failed\nstack traceback:\nmore");
  forget();
  log_flush();
  CHECK_STR(str_of(written), "t: 2 more in 0 s: hook failed\n");
  end();
}

enum { THREADS = 4, EACH = 20000 };

static void *shout(void *argument) {
  (void)argument;
  for (int i = 0; i < EACH; i++) log_warn("from a thread");
  return NULL;
}

IT("counts exactly what several threads write at once") {
  pthread_t threads[THREADS];
  begin();
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, shout, NULL);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  CHECK(lines == LOG_THROTTLE_LINES);
  forget();
  log_flush();
  CHECK_STR(str_of(written), "t: 79,995 more in 0 s: from a thread\n");
  end();
}
