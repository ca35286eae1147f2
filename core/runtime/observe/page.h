// SPDX-License-Identifier: Apache-2.0
// page: the status page (core/runtime/observe/status.html), which is part of the program.
#ifndef PERILUNE_RUNTIME_PAGE_H
#define PERILUNE_RUNTIME_PAGE_H

#include "base/str.h"

struct str page_html(void);

#endif
