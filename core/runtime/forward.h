// SPDX-License-Identifier: Apache-2.0
// forward: the policy of `perilune proxy`: plain forwarding to a list of peers, round robin, in C; no script runs for
// a request. The command line is read once (core/cli/proxy_command) into forward_options.
#ifndef PERILUNE_RUNTIME_FORWARD_H
#define PERILUNE_RUNTIME_FORWARD_H

#include "runtime/policy.h"

struct cidr_set;

struct forward_listener {
  struct str address;
  bool tls;
  bool h2c; /* clients may begin with HTTP/2, without TLS */
};

/* Checked. All is borrowed for the life of the process. File names are absolute, or empty. */
struct forward_options {
  const struct forward_listener *listeners;
  unsigned listener_count;
  const struct str *peers; /* "127.0.0.1:9001", "name:443", "unix:/path" */
  unsigned peer_count;
  bool tls;                          /* to the peers, all of them */
  bool http2;                        /* they speak HTTP/2, and only that */
  bool no_verify;                    /* of their certificates */
  bool sends_host;                   /* they get their own name in Host */
  bool compresses;                   /* responses, for clients that accept it */
  const struct str *trusted_proxies; /* "10.0.0.0/8": whose fields say who the client is */
  unsigned trusted_count;
  const struct cidr_set *trusted; /* the same as a set; NULL: there are none */
  struct str ca, certificate, key;
  size_t cache_bytes; /* 0: no cache */
  struct str health;  /* the path that is asked for; empty: peers are not asked */
  /* By ACME, in a policy of its own (cli/proxy_script.h): this one has no VM for it. */
  const struct str *domains;
  unsigned domain_count;                       /* 0: TLS by the files, or none */
  struct str email, acme_directory, acme_http; /* may be empty; where plain requests are sent to https */
  bool staging;
  /* Who checks health, where `health` is set: the policy that does so in the control worker, on the set of backends
   * that is named FORWARD_SET. */
  const struct policy_kind *checker;
  const void *checks; /* its source */
};

#define FORWARD_SET "proxy"
enum { FORWARD_PEERS_MOST = 1024 };

/* Its source is a struct forward_options. */
extern const struct policy_kind forward_policy;

#endif
