// SPDX-License-Identifier: Apache-2.0
// version: of this program.
#ifndef PERILUNE_BASE_VERSION_H
#define PERILUNE_BASE_VERSION_H

#ifndef PERILUNE_VERSION
#define PERILUNE_VERSION "0.1.0"
#endif

#endif
