// SPDX-License-Identifier: Apache-2.0
// dns: names for policies, and which servers are asked for them.
#ifndef PERILUNE_LUA_DNS_H
#define PERILUNE_LUA_DNS_H

struct vm;

/* The policy is in force: its name servers are asked from now on, or the system's where it has named none. */
void dns_start(struct vm *vm);

#endif
