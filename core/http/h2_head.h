// SPDX-License-Identifier: Apache-2.0
// h2_head: the fields of HTTP/2 header blocks to messages, and messages to such fields (RFC 9113 section 8). Pure
// functions of text: the frames and HPACK are http/h2_session's. What comes out is the same struct request and struct
// response that the HTTP/1 parser makes, held to the same rules, so that whatever is read here can be written as valid
// HTTP/1.1. What cannot is malformed.
//
// A body of unknown length is FRAMING_CHUNKED: it ends by itself. A WebSocket of HTTP/2 (extended CONNECT, RFC 8441)
// becomes the GET with an Upgrade that it stands for.
#ifndef PERILUNE_HTTP_H2_HEAD_H
#define PERILUNE_HTTP_H2_HEAD_H

#include "http/parser.h"

enum h2_block { H2_BLOCK_REQUEST, H2_BLOCK_RESPONSE, H2_BLOCK_TRAILERS };

/* X(ID, name, block it belongs to): the pseudo-fields, all of them at most once (sections 8.3.1, 8.3.2; RFC 8441). */
#define H2_PSEUDO_TABLE(X)                                                                                   \
  X(METHOD, ":method", REQUEST)                                                                              \
  X(SCHEME, ":scheme", REQUEST)                                                                              \
  X(AUTHORITY, ":authority", REQUEST)                                                                        \
  X(PATH, ":path", REQUEST)                                                                                  \
  X(PROTOCOL, ":protocol", REQUEST)                                                                          \
  X(STATUS, ":status", RESPONSE)

enum h2_pseudo {
#define X(id, name, block) H2_PSEUDO_##id,
  H2_PSEUDO_TABLE(X)
#undef X
      H2_PSEUDO_COUNT
};

/* A header block while its fields come in, and when it is whole. */
struct h2_head {
  enum h2_block block;
  const struct parser_limits *limits; /* borrowed; head_bytes counts 32 more for each field (section 6.5.2) */
  struct headers headers;             /* the ordinary fields; text and array in the arena */
  struct str pseudo[H2_PSEUDO_COUNT]; /* ptr NULL: was not there */
  struct str cookie;                  /* of all fields named so, joined by "; " (section 8.2.3) */
  size_t cookie_room, bytes;
  bool ends;        /* END_STREAM came with it; set by who knows the frames */
  enum error error; /* the first fault; what comes behind it is not kept */
  const char *why;  /* a static sentence for people */
};

/* What was found of a field's name and value, for whoever meets them again. Zero is the start. */
struct h2_found {
  bool has_name, has_value; /* they were looked at */
  bool is_token, is_text;   /* HTTP/2 may carry the name, and the value */
  unsigned char pseudo;     /* enum h2_pseudo; H2_PSEUDO_COUNT: none has that name */
  enum field_id id;
};
/* Looks at the name. */
void h2_found_name(struct h2_found *found, struct str name);

void h2_head_begin(struct h2_head *head, enum h2_block block, const struct parser_limits *limits,
                   struct arena *arena);
/* Takes one field; its text is copied. `is_sensitive`: it came as a literal that is never to be indexed. `found`: of
 * both texts, which are the same whenever it is given. */
void h2_head_take_found(struct h2_head *head, struct str name, struct str value, bool is_sensitive,
                        struct h2_found *found);
static inline void h2_head_take(struct h2_head *head, struct str name, struct str value, bool is_sensitive) {
  struct h2_found found = {0};
  h2_head_take_found(head, name, value, is_sensitive, &found);
}

/* The message of a whole block. `takes_protocol`: extended CONNECT was announced to the
 * client. An error is the first of the block (head->error), or of the message; head->why says which rule. Text in
 * the message lives in the arena. The fields of the head are the message's afterwards. */
enum error h2_head_request(struct h2_head *head, bool takes_protocol, struct request *request);
/* `method`: of the request. An interim response has FRAMING_NONE, and END_STREAM on it is an error. */
enum error h2_head_response(struct h2_head *head, enum method method, struct response *response);
enum error h2_head_trailers(struct h2_head *head, struct headers *trailers);

/* The names of numbered fields in lower case, as HTTP/2 has them. */
extern const struct str h2_field_names[];
/* Has it a capital letter? No name has in HTTP/2 (RFC 9113 section 8.2.1). */
static inline bool h2_has_capital(struct str name) {
  bool has = false;
  for (size_t i = 0; i < name.len; i++) has |= name.ptr[i] >= 'A' && name.ptr[i] <= 'Z';
  return has;
}

/* One field to be sent; the name is in lower case. */
struct h2_field {
  struct str name, value;
  bool is_sensitive; /* never to be indexed, here and on all hops behind (RFC 7541 section 7.1.3) */
};
struct h2_fields {
  struct h2_field *items; /* arena; NULL: the head is unsafe, ERROR_UNSAFE_HEAD */
  unsigned count;
};

/* Each is a gate like http/writer's: names are tokens, and no value has a control character but tab. Fields of one hop
 * are left out. `scheme`: "http" or "https". */
struct h2_fields h2_fields_of_request(struct arena *arena, const struct request *request, struct body body,
                                      struct str scheme);
/* Content-Length as writer_response writes it. */
struct h2_fields h2_fields_of_response(struct arena *arena, const struct response *response,
                                       struct body body);
struct h2_fields h2_fields_of_trailers(struct arena *arena, const struct headers *trailers);

#endif
