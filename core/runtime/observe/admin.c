// SPDX-License-Identifier: Apache-2.0
// admin: a service of the control worker whose hooks are in C. Every web page in a browser on this machine can
// reach a loopback address; if a page does so under its own name (DNS rebinding), Host shows it, since it must
// be an address or localhost.
#include "runtime/observe/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "downstream/downstream.h"
#include "exchange/exchange.h"
#include "runtime/deploy/inherited.h"
#include "runtime/deploy/switching.h"
#include "runtime/live/page.h"
#include "runtime/observe/exposition.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/observe/page.h"
#include "runtime/observe/status.h"
#include "runtime/server.h"
#include "shared/metrics.h"

struct admin {
  struct listener listener; /* first: on_accept gets it */
  struct service service;
  struct hooks hooks;
  struct policy_use use;
  struct server *server; /* borrowed */
  struct socket_file file;
  bool is_public;
};

/* --- answers -------------------------------------------------------------------------------------------- */

static char *page(const struct server *server) {
  (void)server;
  return str_to_cstring(page_html());
}

/* Why no client should be sent here; NULL: it serves. */
static const char *ailment(const struct server *s) {
  if (phase_is_over(s->phase)) return "stopping";
  if (s->generation == 0 || s->phase == PHASE_STARTING) return "starting";
  if (s->generation == 1 && switching_behind(s)) return "starting";
  return heartbeat_is_alive(s->heartbeat) ? NULL : "stuck: no worker comes back to its loop";
}

static char *health(const struct server *s) {
  const char *why = ailment(s);
  char *text = NULL;
  if (asprintf(&text, "%s\n", why ? why : "ok") < 0) abort();
  return text;
}

static unsigned health_status(const struct server *s) { return ailment(s) ? 503 : 200; }

static const struct place {
  struct str path;
  const char *type;
  char *(*text)(const struct server *server);      /* malloc'd */
  unsigned (*status)(const struct server *server); /* NULL: 200 */
} places[] = {
    {STR_INIT("/"), "text/html; charset=utf-8", page, NULL},
    {STR_INIT("/status.json"), "application/json", status_json, NULL},
    {STR_INIT("/metrics"), EXPOSITION_TYPE, exposition_text, NULL},
    {STR_INIT("/traces"), "text/html; charset=utf-8", live_page, NULL},
    {STR_INIT("/healthz"), "text/plain", health, health_status},
    {STR_INIT("/readyz"), "text/plain", health, health_status}, /* the other name that is asked for */
};

static const struct place *find_place(struct str target) {
  struct str path = {target.ptr, str_find(target, '?')};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    if (str_equal(path, places[i].path)) return &places[i];
  return NULL;
}

static void explain(struct exchange *x, unsigned status, struct str text) {
  struct answer *answer = exchange_answer(x, status);
  headers_add(&answer->response.headers, STR("Content-Type"), STR("text/plain"));
  if (status == 405) headers_add(&answer->response.headers, STR("Allow"), STR("GET, HEAD"));
  answer->content = text;
}

/* The page needs nothing from elsewhere, and may not be shown inside of another. */
#define SECURITY                                                                                             \
  STR("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "      \
      "frame-ancestors 'none'; base-uri 'none'; form-action 'none'")

static void show(struct exchange *x, const struct place *place) {
  struct admin *admin = x->hooks->policy;
  char *text = place->text(admin->server);
  struct answer *answer = exchange_answer(x, place->status ? place->status(admin->server) : 200);
  struct headers *headers = &answer->response.headers;
  headers_add(headers, STR("Content-Type"), str_of(place->type));
  headers_add(headers, STR("Cache-Control"), STR("no-store"));
  headers_add(headers, STR("X-Content-Type-Options"), STR("nosniff"));
  headers_add(headers, STR("Content-Security-Policy"), SECURITY);
  answer->content = arena_dup(&x->arena, str_of(text));
  free(text);
}

static bool is_own_name(struct str authority) {
  struct addr addr;
  const char *why;
  char text[ADDR_TEXT];
  struct str host = {authority.ptr, str_find(authority, ':')};
  if (authority.len == 0 || str_equal_nocase(host, STR("localhost"))) return true;
  if (authority.len + 4 > sizeof text) return false;
  bool has_port = host.len != authority.len && authority.ptr[authority.len - 1] != ']';
  int length = snprintf(text, sizeof text, "%.*s%s", STR_ARG(authority), has_port ? "" : ":80");
  return addr_parse((struct str){text, (size_t)length}, &addr, &why) && addr.kind == ADDR_IP;
}

static enum hook_status request_filter(struct exchange *x) {
  const struct admin *admin = x->hooks->policy;
  const struct place *place = find_place(x->request.target);
  x->outcome.answered = true;
  if (!admin->is_public && !is_own_name(x->request.authority))
    explain(x, 421, STR("ask by address, or by the name localhost\n"));
  else if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD)
    explain(x, 405, STR("only to be read; commands are given by 'perilune'\n"));
  else if (!place)
    explain(x, 404, STR("there are /, /status.json, /metrics, /traces, /healthz and /readyz\n"));
  else
    show(x, place);
  return HOOK_DONE;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static bool is_loopback(const struct addr *addr) {
  static const unsigned char six[16] = {[15] = 1};
  if (addr->kind == ADDR_UNIX) return true;
  if (addr_family(addr) == AF_INET) return ntohl(addr->socket.in4.sin_addr.s_addr) >> 24 == 127;
  return memcmp(&addr->socket.in6.sin6_addr, six, sizeof six) == 0;
}

static bool refuse(const struct config *config, const char *reason, char **why) {
  char name[CONFIG_OPTION_BYTES];
  return why_about(why, config_said(config, CONFIG_admin, name), config_text(config, CONFIG_admin), reason);
}

static bool parse(const struct config *config, struct addr *addr, char **why) {
  const char *reason = NULL;
  bool is_option = config->values[CONFIG_admin].origin == CONFIG_FROM_COMMAND_LINE;
  if (!addr_parse_listener(str_of(config_text(config, CONFIG_admin)), addr, &reason))
    return refuse(config, reason, why);
  if (config_number(config, CONFIG_admin_public) || is_loopback(addr)) return true;
  return refuse(
      config,
      is_option ? "others could reach it there: give a loopback address or unix:/path, or --admin-public, too"
                : "others could reach it there: give a loopback address or unix:/path, or set "
                  "admin_public = true, too",
      why);
}

bool admin_check(const struct config *config, char **why) {
  struct addr addr;
  return parse(config, &addr, why);
}

bool admin_is_apart(const struct config *config, const struct policy_listener *said, unsigned count,
                    char **why) {
  struct addr addr, other;
  const char *reason, *text = config_text(config, CONFIG_admin);
  if (!text || !addr_parse_listener(str_of(text), &addr, &reason)) return true;
  for (unsigned i = 0; i < count; i++)
    if (addr_parse_listener(said[i].address, &other, &reason) &&
        (addr_reaches(&addr, &other) || addr_reaches(&other, &addr)))
      return why_say(why, "%.*s: '%.*s' cannot be listened on: admin has it already", STR_ARG(said[i].place),
                     STR_ARG(said[i].address));
  return true;
}

static void on_accept(struct listener *l, int fd, const struct sockaddr *client, socklen_t length) {
  struct admin *admin = (struct admin *)l;
  downstream_new(&admin->server->control.proxy, &admin->service, fd, client, length);
}

static void describe(struct admin *admin, const struct addr *said, int fd) {
  struct addr bound = *said;
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  if (said->kind == ADDR_IP && getsockname(fd, (struct sockaddr *)&name, &length) == 0)
    addr_from_socket(&bound, (struct sockaddr *)&name, length);
  addr_format(&bound, admin->service.address);
  log_info("status page on %s%s", bound.kind == ADDR_IP ? "http://" : "", admin->service.address);
}

struct admin *admin_open(struct server *server, const struct config *config, char **why) {
  struct addr addr;
  const char *reason = NULL;
  int fd;
  enum socket_owner owner = OWNER_US;
  if (!parse(config, &addr, why)) return NULL;
  if (!inherited_take(STR(ADMIN_NAME), &addr, &fd, 1, &owner) && !listener_open(&addr, &fd, 1, &reason)) {
    refuse(config, reason, why);
    return NULL;
  }
  struct admin *admin = memory_zalloc(sizeof *admin);
  admin->server = server;
  admin->is_public = config_number(config, CONFIG_admin_public);
  admin->hooks = (struct hooks){.request_filter = request_filter, .policy = admin};
  admin->service = (struct service){.policy = {&admin->hooks, &settings_default, &admin->use},
                                    .traffic = traffic_nowhere()};
  describe(admin, &addr, fd);
  socket_file_note(&admin->file, &addr, owner);
  listener_start(&admin->listener, server->control.loop, fd, on_accept);
  return admin;
}

int admin_socket(const struct admin *admin) { return admin->listener.fd; }

struct socket_file *admin_file(struct admin *admin) {
  return &admin->file;
}

void admin_stop(struct admin *admin) {
  if (!admin) return;
  socket_file_remove(&admin->file);
  listener_stop(&admin->listener);
}

void admin_free(struct admin *admin) { free(admin); }
