// SPDX-License-Identifier: Apache-2.0
// page: the file itself, included by the assembler.
#include "runtime/observe/page.h"

__asm__(".pushsection .rodata\n"
        ".globl perilune_page, perilune_page_end\n"
        "perilune_page: .incbin \"core/runtime/observe/status.html\"\n"
        "perilune_page_end:\n"
        ".popsection\n");

extern const char perilune_page[], perilune_page_end[];

struct str page_html(void) {
  return (struct str){perilune_page, (size_t)(perilune_page_end - perilune_page)};
}
