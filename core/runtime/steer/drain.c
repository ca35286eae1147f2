// SPDX-License-Identifier: Apache-2.0
// steer/drain: looks at the backend's count ten times a second. It lives as long as its client waits, and holds a view
// of the set, so that the set outlives a reload.
#include "runtime/steer/drain.h"

#include <stdlib.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/server.h"
#include "shared/backends.h"

enum { LOOK_MS = 100, TELL_MS = 2000 };

struct drain {
  struct timer timer;
  struct reaped reaped;
  struct command_client *client; /* borrowed; it says when it goes */
  struct backends_view *view;    /* reference */
  char *address;                 /* owned */
  uint64_t until_ms, told_ms;
  struct reaper *reaper; /* borrowed */
};

static void free_drain(struct reaped *reaped) {
  struct drain *d = CONTAINER_OF(reaped, struct drain, reaped);
  timer_stop(&d->timer);
  backends_view_release(d->view);
  free(d->address);
  free(d);
}

static void on_gone(void *owner) {
  struct drain *d = owner;
  timer_clear(&d->timer);
  reaper_add(d->reaper, &d->reaped, free_drain);
}

static const struct command_stream kind = {on_gone};

/* Takes over the text. */
static void end(struct drain *d, int code, char *text) {
  command_answer(d->client, code, text);
  free(text);
  on_gone(d);
}

/* Its requests; -1: it has left the list, and nobody sends it any. */
static int requests_left(const struct drain *d, bool *is_out) {
  backends_look(d->view);
  int index = backends_find(d->view, str_of(d->address));
  *is_out = true;
  if (index == BACKEND_NONE) return -1;
  const struct backend *b = backends_at(d->view, (unsigned)index);
  *is_out = !backend_is_enabled(b);
  return (int)atomic_load(&b->in_flight);
}

static void tell(struct drain *d, int left, uint64_t now_ms) {
  char *text = why_text("%d request%s under way at %s", left, plural((uint64_t)left), d->address);
  command_send(d->client, '+', str_of(text));
  d->told_ms = now_ms;
  free(text);
}

static void look(struct drain *d, uint64_t now_ms) {
  bool is_out;
  int left = requests_left(d, &is_out);
  if (left < 0)
    end(d, EXIT_FINE, why_text("drained: %s has left the list\n", d->address));
  else if (!is_out)
    end(d, EXIT_FAILED, why_text("%s was enabled again\n", d->address));
  else if (!left)
    end(d, EXIT_FINE, why_text("drained: no request is left at %s\n", d->address));
  else if (now_ms >= d->until_ms)
    end(d, EXIT_FAILED,
        why_text("%d request%s still under way at %s; new ones do not come, and these go on\n", left,
                 left == 1 ? " is" : "s are", d->address));
  else {
    if (now_ms >= d->told_ms + TELL_MS) tell(d, left, now_ms);
    timer_set(&d->timer, LOOK_MS);
  }
}

static void on_due(struct timer *timer) {
  look(CONTAINER_OF(timer, struct drain, timer), loop_now_ms(timer->loop));
}

void drain_await(struct command_client *client, struct registry_entry *set, struct str address,
                 uint64_t for_ms, const char *warning) {
  struct server *server = command_server_of(client);
  struct ev_loop *loop = server->control.loop;
  struct drain *d = memory_zalloc(sizeof *d);
  *d = (struct drain){.client = client,
                      .view = backends_watch(registry_object(set)),
                      .address = str_to_cstring(address),
                      .reaper = &server->control.proxy.reaper};
  d->until_ms = loop_now_ms(loop) + for_ms;
  timer_init(&d->timer, loop, on_due);
  if (!command_stream(client, &kind, d)) {
    on_gone(d);
    return;
  }
  size_t length = strlen(warning);
  if (length) command_send(client, '+', (struct str){warning, length - 1});
  look(d, loop_now_ms(loop));
}
