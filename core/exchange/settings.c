// SPDX-License-Identifier: Apache-2.0
// settings: all defaults.
#include "exchange/settings.h"

const struct settings settings_default = {
    .head = {.head_bytes = 65536, .target_bytes = 8192, .fields = 100},
    .head_timeout_ms = 30000,
    .keepalive_timeout_ms = 75000,
    .keepalive_requests = 0,
    .body_timeout_ms = 60000,
    .min_receive_rate = 240,
    .await_body_ms = 2000,
    .upload_timeout_ms = 0,
    .send_timeout_ms = 60000,
    .body_bytes = 0,
    .min_send_rate = 0,
    .tunnel_timeout_ms = 600000,
    .handshake_timeout_ms = 10000,
    .max_retries = 3,
    .drain_bytes = 262144,
    .forwarded = FORWARDED_REPLACE,
    .abort_on_close = ABORT_IN_HOOKS,
    .via = true,
    .http2 = {.streams = 100,
              .stream_window = 65536,
              .connection_window = 262144,
              .resets = 200,
              .controls = 1000},
    .allow_connect = false,
    .proxy_protocol = PROXY_PROTOCOL_OFF,
    .max_connections = 0,
    .max_connections_per_client = 0,
    .client_ipv6_bits = 64,
};
