// SPDX-License-Identifier: Apache-2.0
// dns_client: a question goes to the servers in the order of their health, then in that of the list. Each has TRY_S to
// answer, then the next one is asked as well, in rounds that take twice as long; the first answer ends the question. A
// server that does not answer a try is avoided for AVOID_S: it is asked after the others. After that, the next
// question is sent to it and to the best server, so that its recovery is noticed without anybody waiting for it.
//
// c-ares calls back during any call of it, when no channel may be freed. So a question that has ended is put into
// `ended`, and the loop delivers it; owners may do anything then. A try outlives its question, since c-ares cannot
// cancel it: its result then only tells something about the server's health.
#include "net/dns_client.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/dns_address.h"
#include "net/dns_channel.h"

#define TRY_S      0.4
#define QUESTION_S 5.0
#define AVOID_S    30.0
enum { QUESTION_MOST_MS = 30000 };
#define DNS_SERVERS_MAGIC  0xd45e7e75u
#define DNS_QUESTION_MAGIC 0xd459e571u

struct server {
  struct dns_channel *channel; /* owned; NULL until it is asked: c-ares takes 75 KB for one */
  ev_tstamp avoid_until;       /* 0: it answers */
  char address[DNS_ADDRESS_TEXT];
};

struct dns_servers {
  OBJ_MAGIC;
  struct list link;             /* in the list of those that are retired */
  struct ev_loop *loop;         /* borrowed */
  struct dns_counts *counts;    /* borrowed */
  struct list questions, ended; /* owned: struct dns_question, under way and to be delivered */
  ev_timer delivery;            /* never started, only fed */
  bool is_retired;
  struct dns_options options;
  unsigned asked; /* questions, to rotate by */
  unsigned count;
  struct server list[DNS_SERVERS_MOST];
};

struct dns_question {
  OBJ_MAGIC;
  struct list link;            /* in servers.questions or servers.ended */
  struct dns_servers *servers; /* borrowed */
  dns_done *done;
  void *owner;
  ev_timer due;   /* of the try under way */
  ev_tstamp ends; /* then nobody is asked any more */
  unsigned sent;  /* tries, so far */
  bool is_over;
  bool is_overdue;      /* the loop looks at the sockets once more before that is held against a server */
  struct list attempts; /* borrowed: struct attempt under way */
  struct server *order[DNS_SERVERS_MOST];
  enum dns_type type;
  struct dns_reply reply;
  char name[];
};

/* A try at one server: belongs to c-ares, which ends it in any case. */
struct attempt {
  struct list link;              /* in question.attempts */
  struct dns_question *question; /* borrowed; NULL: it is over */
  struct dns_servers *servers;   /* borrowed */
  struct server *server;         /* likewise */
};

static void deliver(struct ev_loop *loop, ev_timer *timer, int events);
static void on_due(struct ev_loop *loop, ev_timer *timer, int events);
static void send_next(struct dns_question *q);
static void end(struct dns_question *q, enum dns_result result, const char *why);

/* --- servers ------------------------------------------------------------------------------------------- */

bool dns_servers_check(const char *list, const char **why) {
  struct str rest = str_of(list), text;
  char address[DNS_ADDRESS_TEXT];
  unsigned count = 0;
  while (str_split(&rest, ',', &text)) {
    text = str_trim(text);
    *why = "expected a list of addresses, like '127.0.0.1:5353,[::1]'";
    if (!dns_address_read(text, address)) return false;
    *why = "more than eight servers";
    if (++count > DNS_SERVERS_MOST) return false;
  }
  *why = "it is empty";
  return count > 0;
}

struct dns_servers *dns_servers_new(struct ev_loop *loop, const char *list, const struct dns_options *options,
                                    struct dns_counts *counts) {
  struct dns_servers *s = memory_zalloc(sizeof *s);
  struct str rest = str_of(list), text;
  s->loop = loop;
  s->counts = counts;
  s->options = *options;
  list_init(&s->link);
  list_init(&s->questions);
  list_init(&s->ended);
  ev_timer_init(&s->delivery, deliver, 0., 0.);
  s->delivery.data = s;
  while (s->count < DNS_SERVERS_MOST && str_split(&rest, ',', &text))
    if (dns_address_read(str_trim(text), s->list[s->count].address)) s->count++;
  OBJ_INIT(s, DNS_SERVERS_MAGIC);
  return s;
}

static void free_question(struct dns_question *q) {
  CHECK_OBJ(q, DNS_QUESTION_MAGIC);
  ev_timer_stop(q->servers->loop, &q->due);
  while (!list_is_empty(&q->attempts)) {
    struct attempt *attempt = LIST_ENTRY(q->attempts.next, struct attempt, link);
    list_remove(&attempt->link);
    attempt->question = NULL;
  }
  list_remove(&q->link);
  dns_records_clear(&q->reply.records);
  OBJ_END(q, DNS_QUESTION_MAGIC);
  free(q);
}

static void give_up(struct dns_question *q) {
  list_remove(&q->link);
  q->reply.result = DNS_FAILED;
  q->reply.why = "the servers are no longer asked";
  q->done(q->owner, &q->reply);
  free_question(q);
}

void dns_servers_free(struct dns_servers *s) {
  if (!s) return;
  CHECK_OBJ(s, DNS_SERVERS_MAGIC);
  while (!list_is_empty(&s->questions)) give_up(LIST_ENTRY(s->questions.next, struct dns_question, link));
  while (!list_is_empty(&s->ended)) give_up(LIST_ENTRY(s->ended.next, struct dns_question, link));
  for (unsigned i = 0; i < s->count; i++) dns_channel_free(s->list[i].channel);
  ev_clear_pending(s->loop, &s->delivery);
  list_remove(&s->link);
  OBJ_END(s, DNS_SERVERS_MAGIC);
  free(s);
}

void dns_servers_retire(struct dns_servers *s, struct list *retired) {
  CHECK_OBJ(s, DNS_SERVERS_MAGIC);
  s->is_retired = true;
  list_push_back(retired, &s->link);
  ev_feed_event(s->loop, &s->delivery, EV_CUSTOM); /* we may be inside of a delivery of its own */
}

void dns_servers_free_all(struct list *retired) {
  while (!list_is_empty(retired)) dns_servers_free(LIST_ENTRY(retired->next, struct dns_servers, link));
}

unsigned dns_servers_silent(const struct dns_servers *s) {
  unsigned silent = 0;
  for (unsigned i = 0; i < s->count; i++) silent += s->list[i].avoid_until > 0;
  return silent;
}

static void hold_against(struct dns_servers *s, struct server *server) {
  if (server->avoid_until == 0 && s->count > 1)
    log_about(LOG_WARN, str_of(server->address), "name server %s does not answer", server->address);
  server->avoid_until = ev_now(s->loop) + AVOID_S;
}

static void praise(struct server *server) {
  if (server->avoid_until > 0)
    log_about(LOG_INFO, str_of(server->address), "name server %s answers", server->address);
  server->avoid_until = 0;
}

/* --- asking -------------------------------------------------------------------------------------------- */

/* Stable: those that answer in their order, then the others, by when they are to be tried again. */
static void put_in_order(struct dns_question *q) {
  struct dns_servers *s = q->servers;
  unsigned first = s->options.rotates ? s->asked++ : 0;
  for (unsigned i = 0; i < s->count; i++) {
    struct server *server = &s->list[(first + i) % s->count];
    unsigned at = i;
    for (; at > 0 && q->order[at - 1]->avoid_until > server->avoid_until; at--)
      q->order[at] = q->order[at - 1];
    q->order[at] = server;
  }
}

static const char *text_of(int status) {
  return status == ARES_ETIMEOUT ? "no name server has answered in time" : ares_strerror(status);
}

/* Were it for want of descriptors, no socket can be opened now either. */
static bool is_short_of_sockets(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), code = errno;
  if (fd >= 0) close(fd);
  return fd < 0 && (code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM);
}

static void failed_at(struct attempt *attempt, int status) {
  struct dns_question *q = attempt->question;
  bool is_said = status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ENOTIMP ||
                 status == ARES_EFORMERR || status == ARES_EBADNAME;
  bool is_local = !is_said && status != ARES_ETIMEOUT && is_short_of_sockets();
  if (!is_said && !is_local) hold_against(attempt->servers, attempt->server);
  if (!q) return;
  q->reply.is_local = is_local;
  bool is_last = list_is_empty(&q->attempts);
  if (status == ARES_EBADNAME)
    end(q, DNS_NO_NAME, "the name is malformed");
  else if (q->sent < q->servers->count)
    send_next(q);
  else if (is_last && (status != ARES_ETIMEOUT || ev_now(q->servers->loop) >= q->ends))
    end(q, DNS_FAILED, text_of(status));
}

static void answered_by(struct attempt *attempt, int status, const unsigned char *message, size_t length) {
  struct dns_question *q = attempt->question;
  praise(attempt->server);
  if (!q) return;
  bool is_readable = message && dns_message_read(message, length, q->type, &q->reply.records);
  if (status == ARES_ENOTFOUND)
    end(q, DNS_NO_NAME, ares_strerror(status));
  else if (status == ARES_SUCCESS && !is_readable)
    end(q, DNS_FAILED, ares_strerror(ARES_EBADRESP));
  else if (q->reply.records.count == 0)
    end(q, DNS_NO_DATA, ares_strerror(ARES_ENODATA));
  else
    end(q, DNS_FOUND, NULL);
}

/* From inside of c-ares. */
static void on_answer(void *owner, int status, const unsigned char *message, size_t length) {
  struct attempt *attempt = owner;
  bool is_ours = status == ARES_EDESTRUCTION || status == ARES_ECANCELLED;
  bool is_answer = status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND;
  list_remove(&attempt->link);
  if (!is_ours && is_answer)
    answered_by(attempt, status, message, length);
  else if (!is_ours)
    failed_at(attempt, status);
  free(attempt);
}

/* Where c-ares cannot start for its address it is as silent as any other that is not there. */
static void ask(struct dns_question *q, struct server *server) {
  struct dns_servers *s = q->servers;
  struct attempt *attempt = memory_alloc(sizeof *attempt);
  int status = ARES_SUCCESS;
  *attempt = (struct attempt){.question = q, .servers = s, .server = server};
  list_init(&attempt->link);
  list_push_back(&q->attempts, &attempt->link);
  s->counts->questions++;
  if (!server->channel)
    server->channel = dns_channel_new(s->loop, server->address, QUESTION_MOST_MS, &status);
  if (server->channel)
    dns_channel_ask(server->channel, q->name, (int)q->type, on_answer, attempt);
  else
    on_answer(attempt, status, NULL, 0);
}

static void set_due(struct dns_question *q, ev_tstamp seconds) {
  ev_timer_stop(q->servers->loop, &q->due);
  ev_timer_set(&q->due, seconds > 0 ? seconds : 0., 0.);
  ev_timer_start(q->servers->loop, &q->due);
}

/* The last try is waited for until the question's end. */
static bool is_last_try(const struct dns_question *q) {
  const struct dns_servers *s = q->servers;
  return s->options.attempts && q->sent >= s->options.attempts * s->count;
}

static void send_next(struct dns_question *q) {
  unsigned round = q->sent / q->servers->count;
  struct server *server = q->order[q->sent++ % q->servers->count];
  ev_tstamp left = q->ends - ev_now(q->servers->loop), patience = TRY_S * (1u << (round < 8 ? round : 8));
  q->is_overdue = false;
  set_due(q, patience < left && !is_last_try(q) ? patience : left);
  ask(q, server);
}

/* One whose time of being avoided is over: asked together with the best. */
static struct server *one_to_probe(const struct dns_question *q) {
  for (unsigned i = 1; i < q->servers->count; i++)
    if (q->order[i]->avoid_until > 0 && q->order[i]->avoid_until <= ev_now(q->servers->loop))
      return q->order[i];
  return NULL;
}

static ev_tstamp seconds_for(const struct dns_options *options) {
  ev_tstamp stated = (ev_tstamp)options->timeout_s * options->attempts, most = QUESTION_MOST_MS / 1000.;
  if (stated == 0) return QUESTION_S;
  return stated < most ? stated : most;
}

void dns_ask(struct dns_servers *s, const char *name, enum dns_type type, dns_done *done, void *owner) {
  CHECK_OBJ(s, DNS_SERVERS_MAGIC);
  CHECK(!s->is_retired && s->count > 0);
  size_t bytes = strlen(name) + 1;
  struct dns_question *q = memory_zalloc(sizeof *q + bytes);
  q->servers = s;
  q->type = type;
  q->done = done;
  q->owner = owner;
  memcpy(q->name, name, bytes);
  q->ends = ev_now(s->loop) + seconds_for(&s->options);
  ev_timer_init(&q->due, on_due, 0., 0.);
  ev_set_priority(&q->due, EV_MINPRI); /* an answer that has arrived goes first */
  q->due.data = q;
  list_init(&q->link);
  list_init(&q->attempts);
  OBJ_INIT(q, DNS_QUESTION_MAGIC);
  list_push_back(&s->questions, &q->link);
  put_in_order(q);
  struct server *probe = one_to_probe(q);
  send_next(q);
  if (!probe || q->is_over) return;
  probe->avoid_until = ev_now(s->loop) + AVOID_S; /* one question is enough */
  ask(q, probe);
}

/* --- ends ---------------------------------------------------------------------------------------------- */

/* After a stall the answer may be there, behind the timer: one more turn shows it. */
static void on_due(struct ev_loop *loop, ev_timer *timer, int events) {
  struct dns_question *q = timer->data;
  (void)events;
  CHECK_OBJ(q, DNS_QUESTION_MAGIC);
  if (!q->is_overdue) {
    q->is_overdue = true;
    set_due(q, 0);
    return;
  }
  hold_against(q->servers, q->order[(q->sent - 1) % q->servers->count]);
  if (ev_now(loop) >= q->ends)
    end(q, DNS_FAILED, text_of(ARES_ETIMEOUT));
  else
    send_next(q);
}

static void end(struct dns_question *q, enum dns_result result, const char *why) {
  struct dns_servers *s = q->servers;
  CHECK_OBJ(q, DNS_QUESTION_MAGIC);
  CHECK(!q->is_over);
  ev_timer_stop(s->loop, &q->due);
  LIST_EACH(node, &q->attempts) {
    LIST_ENTRY(node, struct attempt, link)->question = NULL;
    list_remove(node);
  }
  q->is_over = true;
  q->reply.result = result;
  q->reply.why = why;
  if (result != DNS_FAILED) q->reply.is_local = false;
  s->counts->failures += result == DNS_FAILED;
  list_remove(&q->link);
  list_push_back(&s->ended, &q->link);
  ev_feed_event(s->loop, &s->delivery, EV_CUSTOM);
}

/* One at a time: its owner may then ask again, or retire the servers. */
static void deliver(struct ev_loop *loop, ev_timer *timer, int events) {
  struct dns_servers *s = timer->data;
  (void)events;
  CHECK_OBJ(s, DNS_SERVERS_MAGIC);
  if (!list_is_empty(&s->ended)) {
    struct dns_question *q = LIST_ENTRY(s->ended.next, struct dns_question, link);
    list_remove(&q->link);
    ev_feed_event(loop, timer, EV_CUSTOM);
    q->done(q->owner, &q->reply);
    free_question(q);
  } else if (s->is_retired && list_is_empty(&s->questions)) {
    dns_servers_free(s);
  }
}
