// SPDX-License-Identifier: Apache-2.0
// bundle_check: are the files of a version, on the disk, still those that were signed? They are checked when a bundle
// is fetched; and here, before each load of the policy, because a disk and its administrators can change them.
//
// `versions/N.signed` is the head of the bundle: the line with its format, the signature, and the manifest, which has
// the digest of each file. lua/perilune/bundle_agent.lua puts it there.
#ifndef PERILUNE_RUNTIME_BUNDLE_CHECK_H
#define PERILUNE_RUNTIME_BUNDLE_CHECK_H

#include <stdbool.h>

/* Of the version whose script that is. Scripts that are of no version are fine. Other files than those of the manifest
 * may be there, since a policy may write logs beside it; but no script, which a `require` could find. False: *why is a
 * malloc'd message that names the file. */
bool bundle_check(const char *script, char **why);

#endif
