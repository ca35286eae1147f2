// SPDX-License-Identifier: Apache-2.0
// client: who is at the other end of a client's connection, in words. The text is made when it is first asked for, and
// lives as long as the connection.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "downstream/downstream.h"
#include "http/claims.h"
#include "net/addr.h"

static void describe_client(struct downstream *d) {
  char text[ADDR_TEXT], line[ADDR_TEXT + 32];
  size_t length = addr_format_client((const struct sockaddr *)&d->client, d->client_length, text);
  d->client_text = (struct str){str_to_cstring((struct str){text, length}), length};
  struct str host = claims_address(addr_host_of_client(d->client_text));
  length = (size_t)snprintf(line, sizeof line, "X-Forwarded-For: %.*s", STR_ARG(host));
  d->client_line = (struct str){str_to_cstring((struct str){line, length}), length};
}

void downstream_forget_client(struct downstream *d) {
  free((void *)d->client_text.ptr);
  free((void *)d->client_line.ptr);
  d->client_text = d->client_line = (struct str){0};
}

void downstream_set_client(struct downstream *d, const struct sockaddr *client, socklen_t length) {
  CHECK(length <= sizeof d->client);
  downstream_forget_client(d);
  memset(&d->client, 0, sizeof d->client);
  memcpy(&d->client, client, length);
  d->client_length = length;
}

struct str downstream_client(struct downstream *d) {
  if (!d->client_text.ptr) describe_client(d);
  return d->client_text;
}

struct str stream_client(const struct stream *s) {
  return downstream_client(s->downstream);
}

struct str stream_client_line(const struct stream *s) {
  struct downstream *d = s->downstream;
  if (!d->client_text.ptr) describe_client(d);
  return d->client_line;
}
