// SPDX-License-Identifier: Apache-2.0
// steer/log_level: the level is process-wide (base/log); the control worker's timer puts it back.
#include "runtime/steer/log_level.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/log.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/server.h"

static const char *const names[] = {"debug", "info", "warn", "error"};
enum { LEVELS = sizeof names / sizeof *names };

static enum log_level configured(const struct server *s) {
  return (enum log_level)config_number(s->options->config, CONFIG_log_level);
}

/* The line is written while lines of its level are. */
static void change(enum log_level level, const char *text) {
  bool is_opened = level < log_level();
  if (is_opened) log_set_level(level);
  log_info("log level: %s", text);
  if (!is_opened) log_set_level(level);
}

static void put_back(struct server *s, const char *why) {
  char text[80];
  snprintf(text, sizeof text, "%s again%s", names[configured(s)], why);
  change(configured(s), text);
}

static void on_over(struct timer *timer) {
  put_back(CONTAINER_OF(timer, struct server, log_level_back), ": the time is over");
}

const char *steer_log_level_name(void) { return names[log_level()]; }

void steer_log_level_init(struct server *s) { timer_init(&s->log_level_back, s->control.loop, on_over); }

void steer_log_level_end(struct server *s) { timer_stop(&s->log_level_back); }

const char *steer_log_level_describe(const struct server *s, char *room, size_t bytes) {
  enum log_level level = log_level();
  const char *said = names[level], *usual = names[configured(s)];
  unsigned left_s = (unsigned)((timer_left_ms(&s->log_level_back) + 999) / 1000);
  if (level == configured(s))
    *room = '\0';
  else if (timer_is_set(&s->log_level_back) && left_s >= 120)
    snprintf(room, bytes, "%s for %u min more, then %s", said, (left_s + 59) / 60, usual);
  else if (timer_is_set(&s->log_level_back))
    snprintf(room, bytes, "%s for %u s more, then %s", said, left_s, usual);
  else
    snprintf(room, bytes, "%s until the process ends or a command changes it; configured is %s", said, usual);
  return room;
}

static void answer(struct command_client *client) {
  const struct server *s = command_server_of(client);
  char room[160];
  steer_log_level_describe(s, room, sizeof room);
  char *text = *room ? why_text("log level: %s\n", room)
                     : why_text("log level: %s, as configured\n", names[log_level()]);
  command_answer(client, EXIT_FINE, text);
  free(text);
}

static void set(struct server *s, enum log_level level, unsigned for_ms) {
  timer_clear(&s->log_level_back);
  if (level == configured(s)) {
    if (log_level() != level) put_back(s, "");
    return;
  }
  char text[80];
  if (for_ms) timer_set(&s->log_level_back, for_ms);
  if (for_ms)
    snprintf(text, sizeof text, "%s for %u s, by a command", names[level], for_ms / 1000);
  else
    snprintf(text, sizeof text, "%s, by a command", names[level]);
  change(level, text);
}

void steer_log_level(struct command_client *client, const char *line) {
  struct server *s = command_server_of(client);
  char name[16] = "";
  unsigned for_ms = 0;
  int level = 0;
  if (sscanf(line, "%15s %u", name, &for_ms) < 1) {
    answer(client);
    return;
  }
  while (level < LEVELS && strcmp(names[level], name) != 0) level++;
  if (strcmp(name, "default") == 0) level = (int)configured(s);
  if (level == LEVELS) {
    command_refuse(
        client, EXIT_BAD_INPUT,
        why_text("a level is debug, info, warn or error, or 'default' for the configured one, not '%s'",
                 name));
    return;
  }
  set(s, (enum log_level)level, for_ms);
  answer(client);
}
