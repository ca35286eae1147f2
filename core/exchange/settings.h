// SPDX-License-Identifier: Apache-2.0
// settings: what can be set per listener and per peer, with the defaults in one place (settings.c). 0 means
// "no limit" where a sentence says so.
#ifndef PERILUNE_EXCHANGE_SETTINGS_H
#define PERILUNE_EXCHANGE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "http/parser.h"

struct access_log;
struct cache_rules;
struct cidr_set;
struct compression;
struct tracing;

enum forwarded_mode {
  FORWARDED_REPLACE, /* X-Forwarded-*: what we know replaces what the client said (default) */
  FORWARDED_APPEND,  /* the client is a proxy we trust: append to what it said */
  FORWARDED_KEEP     /* leave them alone */
};

/* Which of the two says who the client of a trusted proxy is. */
enum trusted_field {
  TRUSTED_ANY, /* X-Forwarded-For; where there is none, Forwarded (default) */
  TRUSTED_X_FORWARDED_FOR,
  TRUSTED_FORWARDED
};

/* When a client that ends its direction counts as gone. Nobody can tell from a FIN whether the client still
 * reads: a shutdown(2) and a close(2) look the same until something is written. It is seen once the request
 * has been read. */
enum abort_on_close {
  ABORT_IN_HOOKS, /* while a hook waits, whose work would be for nobody (default) */
  ABORT_ALWAYS,   /* also while the peer is waited for, as other proxies do */
  ABORT_NEVER     /* only by a reset, or when writing fails */
};

enum proxy_protocol_mode { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_OPTIONAL, PROXY_PROTOCOL_REQUIRED };

/* Of a connection. */
struct http2_settings {
  unsigned streams; /* at a time (100) */
  size_t
      stream_window; /* bytes of a request's body that may come before they are used, to begin with (64 KiB) */
  size_t connection_window; /* the same of all of them together (256 KiB) */
  /* What a client may cause for nothing, all at once; each second gives a tenth back. 0: any. */
  unsigned resets;   /* streams that end before they are answered (200) */
  unsigned controls; /* frames without head or body (1000) */
};

struct settings {
  struct parser_limits head;     /* 64 KiB, 100 fields, target 8 KiB */
  unsigned head_timeout_ms;      /* for the whole head, from its first byte (30 s) */
  unsigned keepalive_timeout_ms; /* idle between requests (75 s) */
  unsigned keepalive_requests;   /* per connection; 0: no limit */
  unsigned body_timeout_ms;      /* between two reads of the request body (60 s) */
  unsigned min_receive_rate;     /* bytes per second of a request body, in the long run (240); 0: none */
  unsigned
      await_body_ms; /* a small body is awaited, unless it pauses for so long (2 s); UINT_MAX: not at all */
  unsigned upload_timeout_ms; /* for a request's whole body, from its head on; 0: none */
  unsigned send_timeout_ms;   /* the client takes nothing of the response for so long (60 s) */
  uint64_t body_bytes;        /* largest request body; 0: no limit */
  unsigned min_send_rate; /* bytes per second a client must take while there is something to send; 0: none */
  unsigned tunnel_timeout_ms;    /* nothing moves in either direction behind a 101 (10 min) */
  unsigned handshake_timeout_ms; /* TLS with the client (10 s) */
  unsigned max_retries;          /* further attempts after the first (3) */
  uint64_t drain_bytes;          /* of a request body behind an early answer, before we close (256 KiB) */
  enum forwarded_mode forwarded;
  enum abort_on_close abort_on_close;
  const struct access_log *access_log;   /* borrowed: opened by the runtime; NULL: none */
  const struct cache_rules *cache;       /* borrowed from the policy (exchange/cache.h); NULL: none */
  const struct compression *compression; /* borrowed from the policy, or static; NULL: nothing is encoded */
  const struct tracing *tracing;         /* borrowed from the policy (exchange/trace.h); NULL: none */
  bool via;                              /* add Via (on) */
  struct http2_settings http2;
  bool h2c;           /* plain connections may begin with HTTP/2, by prior knowledge */
  bool allow_connect; /* pass CONNECT to the policy instead of 405 */
  enum proxy_protocol_mode proxy_protocol;
  const struct cidr_set *proxy_senders; /* borrowed from the policy: who may send PROXY headers; NULL: all */
  const struct cidr_set *forwarded_senders; /* the same: whose X-Forwarded-* `append` believes; NULL: all */
  const struct cidr_set
      *trusted_proxies; /* the same: who says who the client is (real_client); NULL: nobody */
  enum trusted_field trusted_field;
  unsigned max_connections;            /* of the listener, all workers together; 0: as descriptors allow */
  unsigned max_connections_per_client; /* of one client address; 0: no limit */
  unsigned client_ipv6_bits;           /* how much of an IPv6 address is a client (64) */
};

extern const struct settings settings_default;

#endif
