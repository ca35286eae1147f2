// SPDX-License-Identifier: Apache-2.0
// cache_results: what the results of the hooks of the cache mean (core/exchange/cache_says.h); as lua/vm/results.h.
#ifndef PERILUNE_LUA_CACHE_RESULTS_H
#define PERILUNE_LUA_CACHE_RESULTS_H

struct task;

/* By enum cache_force; the first is NULL. */
extern const char *const cache_force_names[];

/* false: past the cache; a table: what is different for this request. */
void result_of_request_cache_filter(struct task *task);
/* Of cache_key_callback and cache_vary_filter: a text, or nothing. */
void result_of_cache_text(struct task *task);
/* One of cache_force_names, or nothing. */
void result_of_cache_hit_filter(struct task *task);
/* false: not stored; a table: how. */
void result_of_response_cache_filter(struct task *task);
/* true, false, or nothing. */
void result_of_should_serve_stale(struct task *task);

#endif
