// SPDX-License-Identifier: Apache-2.0
// Units for base/base64, base/hex and base/big_endian.
#include "base/base64.h"
#include "base/big_endian.h"
#include "base/hex.h"
#include "unit.h"

static char room[64];

static struct str encoded(struct str bytes, const char *alphabet, bool pads) {
  return (struct str){room, base64_encode(room, bytes, alphabet, pads)};
}

/* Empty where it is none. */
static struct str decoded(struct str text) {
  size_t length = 0;
  bool is_text = base64_trim(&text) && base64_decode(room, &length, text, base64_plain);
  return (struct str){room, is_text ? length : 0};
}

IT("writes base64 as RFC 4648 section 10 has it, with and without padding") {
  CHECK_STR(encoded(STR(""), base64_plain, true), "");
  CHECK_STR(encoded(STR("f"), base64_plain, true), "Zg==");
  CHECK_STR(encoded(STR("fo"), base64_plain, true), "Zm8=");
  CHECK_STR(encoded(STR("foobar"), base64_plain, true), "Zm9vYmFy");
  CHECK_STR(encoded(STR("\xff\xfe"), base64_plain, true), "//4=");
  CHECK_STR(encoded(STR("\xff\xfe"), base64_url, false), "__4");
  CHECK(base64_room(1) == 4 && base64_room(3) == 4 && base64_room(4) == 8);
}

IT("reads base64, and nothing that means the same as another text") {
  CHECK_STR(decoded(STR("Zm9vYg==")), "foob");
  CHECK_STR(decoded(STR("Zm9v")), "foo");
  CHECK(decoded(STR("Zm9vYh==")).len == 0); /* bits that are lost */
  CHECK(decoded(STR("Zm9vYg=")).len == 0);
  CHECK(decoded(STR("Zm9vY===")).len == 0);
  CHECK(decoded(STR("Zm9 ")).len == 0);
}

IT("reads and writes bytes as two digits") {
  char digits[4] = {0};
  CHECK(hex_byte_of("fF") == 255 && hex_byte_of("0a") == 10);
  CHECK(hex_byte_of("g0") < 0 && hex_byte_of("0g") < 0 && hex_byte_of(":0") < 0);
  hex_put(digits, '\xab', hex_lower);
  CHECK_STR(str_of(digits), "ab");
  CHECK(hex_put_percent(digits, '/') == HEX_PERCENT_BYTES);
  CHECK_STR(((struct str){digits, 3}), "%2F");
}

IT("reads numbers with the highest byte first") {
  const unsigned char bytes[] = {0xff, 1, 2, 0x80};
  CHECK(big_endian_16(bytes) == 0xff01);
  CHECK(big_endian_24(bytes) == 0xff0102);
  CHECK(big_endian_32(bytes) == 0xff010280u);
  CHECK(big_endian_32(bytes) >> 31 == 1);
}
