// SPDX-License-Identifier: Apache-2.0
// nouns: what the policy's API consists of: a table of its nouns, each with the file that opens it.
#ifndef PERILUNE_LUA_NOUNS_H
#define PERILUNE_LUA_NOUNS_H

#include <lua.h>

/* The nouns: open_<noun> adds its functions to the table on top of the stack, and its metatables to the vm.
 * -0 +0 */
#define NOUN_TABLE(X)                                                                                        \
  X(pattern)                                                                                                 \
  X(task)                                                                                                    \
  X(listen)                                                                                                  \
  X(configure)                                                                                               \
  X(token)                                                                                                   \
  X(session)                                                                                                 \
  X(streamed)                                                                                                \
  X(connection)                                                                                              \
  X(facts)                                                                                                   \
  X(message)                                                                                                 \
  X(failure)                                                                                                 \
  X(peer)                                                                                                    \
  X(backends)                                                                                                \
  X(rate)                                                                                                    \
  X(counts)                                                                                                  \
  X(limiter)                                                                                                 \
  X(quota)                                                                                                   \
  X(discovery)                                                                                               \
  X(cache)                                                                                                   \
  X(cache_purges)                                                                                            \
  X(bundle)                                                                                                  \
  X(dict)                                                                                                    \
  X(inflight)                                                                                                \
  X(counter)                                                                                                 \
  X(trace)                                                                                                   \
  X(tracing)                                                                                                 \
  X(metrics)                                                                                                 \
  X(log)                                                                                                     \
  X(spawn)                                                                                                   \
  X(timer)                                                                                                   \
  X(tcp)                                                                                                     \
  X(cosocket)                                                                                                \
  X(udp)                                                                                                     \
  X(semaphore)                                                                                               \
  X(current)                                                                                                 \
  X(hook_failure)                                                                                            \
  X(answer_text)                                                                                             \
  X(foreign)                                                                                                 \
  X(dns)                                                                                                     \
  X(http_client)                                                                                             \
  X(h2_client)                                                                                               \
  X(redis)                                                                                                   \
  X(clock)                                                                                                   \
  X(crypto)                                                                                                  \
  X(password)                                                                                                \
  X(key)                                                                                                     \
  X(certificates)                                                                                            \
  X(text)                                                                                                    \
  X(json)                                                                                                    \
  X(encode)                                                                                                  \
  X(cidr)                                                                                                    \
  X(table)                                                                                                   \
  X(yaml)                                                                                                    \
  X(watched)                                                                                                 \
  X(files)                                                                                                   \
  X(regex)                                                                                                   \
  X(test_bench)                                                                                              \
  X(test_run)

#define X(noun) void open_##noun(lua_State *L);
NOUN_TABLE(X)
#undef X

#endif
