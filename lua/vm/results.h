// SPDX-License-Identifier: Apache-2.0
// results: what the results of hooks mean. One idiom for all:
//
//   nothing, nil, false             the next hook follows
//   return session:respond {...}    ends the request with that answer, wherever an answer is still possible
//   true                            the hook has answered; an error if it has not
//   anything else                   an error that names the hook
//
// Only the first result counts. A few hooks decide something, and further results are valid for them:
// proxy_upstream_filter (true: a peer may be asked, false: it may not), upstream_peer (lua/api/peer.c), fail_to_proxy
// (a status), the hooks of the cache (lua/vm/cache_results.c), the body hooks (lua/vm/body.c) and certificate
// (lua/vm/certificate.c).
#ifndef PERILUNE_LUA_RESULTS_H
#define PERILUNE_LUA_RESULTS_H

struct task;

/* Each reads the results on the task's stack into the outcome of its exchange, and logs what is wrong with them. */
void result_of_filter(struct task *task);
void result_of_upstream_filter(struct task *task);
void result_of_fail_to_proxy(struct task *task);
/* Of hooks in which nothing can be answered any more. */
void result_of_silent_hook(struct task *task);
/* Logs what is wrong with the result, which fails the hook: "expected <wanted> as its result". */
void result_refuse(const struct task *task, const char *why);
void result_refuse_type(const struct task *task, const char *wanted);
/* It has answered: what else it returned is of no interest. */
void result_is_answer(struct task *task);

#endif
