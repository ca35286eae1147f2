// SPDX-License-Identifier: Apache-2.0
// Units for exchange/deadline: the table of waits. The clocks on exchanges that move: spec/deadlines_spec.lua.
#include "exchange/deadline.h"

#include "exchange/settings.h"
#include "unit.h"

static const struct settings times = {.head_timeout_ms = 11,
                                      .handshake_timeout_ms = 12,
                                      .keepalive_timeout_ms = 13,
                                      .send_timeout_ms = 14,
                                      .body_timeout_ms = 15,
                                      .tunnel_timeout_ms = 16};

IT("takes each wait's time from its own setting of the listener") {
  CHECK(wait_ms(WAIT_PREFACE, &times) == 11 && wait_ms(WAIT_FIRST, &times) == 11);
  CHECK(wait_ms(WAIT_REQUEST_HEAD, &times) == 11 && wait_ms(WAIT_HANDSHAKE, &times) == 12);
  CHECK(wait_ms(WAIT_NEXT, &times) == 13 && wait_ms(WAIT_REQUEST_BODY, &times) == 15);
  CHECK(wait_ms(WAIT_ANSWER_TAKEN, &times) == 14 && wait_ms(WAIT_RESPONSE_TAKEN, &times) == 14);
  CHECK(wait_ms(WAIT_TUNNEL, &times) == 16);
}
