// SPDX-License-Identifier: Apache-2.0
// foreign: three C functions that Lua libraries written for OpenResty look up in the program by LuaJIT's FFI
// (lua-resty-string, lua-resty-jit-uuid). They are visible because the program exports its symbols. A library that is
// loaded for them instead would take them away again when its handle is collected.
#include <stddef.h>
#include <stdint.h>

#include "base/hex.h"
#include "lua/vm/nouns.h"

#define EXPORTED __attribute__((used, visibility("default")))

EXPORTED unsigned char *ngx_hex_dump(unsigned char *to, const unsigned char *from, size_t count);
EXPORTED intptr_t ngx_atoi(const unsigned char *text, size_t length);
EXPORTED intptr_t ngx_hextoi(const unsigned char *text, size_t length);

/* Two digits of lower case for each byte, without a terminator; gives where they end. */
unsigned char *ngx_hex_dump(unsigned char *to, const unsigned char *from, size_t count) {
  hex_put_text((char *)to, (struct str){(const char *)from, count});
  return to + 2 * count;
}

/* -1: no number, or one that does not fit. */
static intptr_t read_number(const unsigned char *text, size_t length, int base) {
  intptr_t value = 0;
  if (length == 0) return -1;
  for (size_t i = 0; i < length; i++) {
    int digit = hex_value((char)text[i]);
    if (digit < 0 || digit >= base || value > (INTPTR_MAX - digit) / base) return -1;
    value = value * base + digit;
  }
  return value;
}

intptr_t ngx_atoi(const unsigned char *text, size_t length) { return read_number(text, length, 10); }
intptr_t ngx_hextoi(const unsigned char *text, size_t length) { return read_number(text, length, 16); }

/* So that the linker takes this file. */
void open_foreign(lua_State *L) { (void)L; }
