// SPDX-License-Identifier: Apache-2.0
// facts: what others may ask an exchange, and the answer that they may give it.
#include "net/addr.h"
#include "proxy/downstream.h"
#include "proxy/proxy.h"
#include "proxy/room.h"
#include "proxy/walk.h"

bool exchange_can_answer(const struct exchange *x) {
  return !x->sent_status && (x->downstream || x->is_shadow) && x->step != STEP_logging;
}

struct answer *exchange_answer(struct exchange *x, unsigned status) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  CHECK(status >= 200 && status <= 999);
  struct answer *answer = arena_zalloc(&x->arena, sizeof *answer);
  answer->response.status = (unsigned short)status;
  answer->response.minor = 1;
  headers_init(&answer->response.headers, &x->arena);
  x->answer = answer;
  return answer;
}

struct str exchange_client_address(struct exchange *x) {
  return x->downstream ? downstream_client(x->downstream) : x->client;
}

struct str exchange_client_host(struct exchange *x) {
  return addr_host_of_client(exchange_client_address(x));
}

bool exchange_is_last(const struct exchange *x) {
  return x->proxy->stopping || room_is_low(x->proxy) || (x->downstream && x->downstream->service->closing);
}

unsigned exchange_worker(const struct exchange *x) { return x->proxy->worker; }
