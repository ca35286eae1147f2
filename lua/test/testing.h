// SPDX-License-Identifier: Apache-2.0
// testing: `perilune test`: busted in a VM of the proxy's own, with the real API.
#ifndef PERILUNE_LUA_TESTING_H
#define PERILUNE_LUA_TESTING_H

/* Runs busted with these words as its command line. Returns the exit code; has printed what was wrong. */
int testing_main(char **words);

#endif
