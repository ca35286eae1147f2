// SPDX-License-Identifier: Apache-2.0
// Units for http/decoder.
#include "http/decoder.h"

#include "unit.h"

static struct decoder begun(enum framing framing, uint64_t length) {
  struct decoder d;
  decoder_begin(&d, (struct body){framing, length});
  return d;
}

IT("has nothing to decode where there is no body, and where it is empty") {
  struct decoded piece;
  struct decoder none = begun(FRAMING_NONE, 0), empty = begun(FRAMING_LENGTH, 0);
  char next[] = "GET";
  CHECK(none.ended && empty.ended);
  CHECK(decoder_take(&none, next, 3, &piece) && piece.used == 0 && piece.payload == 0);
  CHECK(decoder_take(&empty, next, 3, &piece) && piece.used == 0 && piece.payload == 0);
}

IT("leaves what is behind a length to the next message") {
  struct decoded piece;
  struct decoder d = begun(FRAMING_LENGTH, 5);
  char bytes[] = "helloGET";
  CHECK(decoder_take(&d, bytes, 2, &piece) && piece.used == 2 && piece.payload == 2 && !d.ended);
  CHECK(decoder_take(&d, bytes + 2, 6, &piece) && piece.used == 3 && piece.payload == 3 && d.ended);
}

IT("counts payload that goes by elsewhere") {
  struct decoder d = begun(FRAMING_LENGTH, 5), close = begun(FRAMING_CLOSE, 0);
  decoder_pass(&d, 4);
  CHECK(!d.ended && d.left == 1);
  decoder_pass(&d, 1);
  CHECK(d.ended);
  decoder_pass(&close, 100);
  CHECK(!close.ended);
}

IT("takes chunks with their trailers, and tells broken ones") {
  struct decoded piece;
  struct decoder d = begun(FRAMING_CHUNKED, 0), bad = begun(FRAMING_CHUNKED, 0);
  char bytes[] = "3\r\nabc\r\n0\r\nX: y\r\n\r\nGET", broken[] = "z\r\n";
  CHECK(decoder_take(&d, bytes, sizeof bytes - 1, &piece) && d.ended);
  CHECK(piece.used == sizeof bytes - 1 - 3 && piece.payload == 3 && memcmp(bytes, "abc", 3) == 0);
  CHECK_STR(piece.trailers, "X: y\r\n\r\n");
  CHECK(!decoder_take(&bad, broken, sizeof broken - 1, &piece));
}

IT("knows of which messages the end of the connection is the end") {
  struct decoder close = begun(FRAMING_CLOSE, 0), tunnel = begun(FRAMING_TUNNEL, 0);
  struct decoder length = begun(FRAMING_LENGTH, 5), chunked = begun(FRAMING_CHUNKED, 0);
  struct decoder none = begun(FRAMING_NONE, 0);
  CHECK(!close.ended && decoder_source_ended(&close) && close.ended);
  CHECK(decoder_source_ended(&tunnel));
  CHECK(decoder_source_ended(&none));
  CHECK(!decoder_source_ended(&length) && !decoder_source_ended(&chunked));
}
