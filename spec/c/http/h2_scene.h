// SPDX-License-Identifier: Apache-2.0
// h2_scene: a client's and a server's session that talk to each other.
#ifndef PERILUNE_SPEC_H2_SCENE_H
#define PERILUNE_SPEC_H2_SCENE_H

#include "http/h2_session.h"

struct h2_config config_of(bool is_server);

struct scene {
  struct h2_session *client, *server;
  struct arena arena;
};

struct scene new_scene(void);
void end_scene(struct scene *scene);
/* Carries bytes to and fro until none are left. Two sessions must never find a fault in each other. */
void talk(struct scene *scene);
struct h2_stream *news_of(struct h2_session *s, unsigned *news);
struct h2_fields get(struct arena *arena, struct str target);
struct h2_fields answer(struct arena *arena, unsigned short status);
/* Opens a stream, whose head the server has read. */
struct h2_stream *ask(struct scene *scene, bool ends, struct h2_stream **at_server);
size_t write_text(struct h2_stream *stream, const char *bytes, size_t count, bool ends);

#endif
