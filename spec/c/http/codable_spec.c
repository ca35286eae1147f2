// SPDX-License-Identifier: Apache-2.0
// Units for http/codable: what is coded on the fly, what is not, and the fields that follow from it.
#include "http/codable.h"

#include "heads.h"
#include "unit.h"

static const struct codable_rules usual = {.offered = CODINGS_ALL & ~CODINGS_DEFLATE,
                                           .least_bytes = CODABLE_LEAST};
#define BROWSER "Accept-Encoding: gzip, deflate, br, zstd"
#define JSON    "Content-Type: application/json"

struct question {
  const struct codable_rules *rules;
  const char *method, *asked, *answered;
  unsigned status, minor;
  uint64_t length; /* 0: unknown */
};

static struct codable_choice choose(struct question q) {
  struct request request = {.method = method_of(str_of(q.method ? q.method : "GET")),
                            .minor = q.minor ? 0 : 1};
  struct response response = {.status = (unsigned short)(q.status ? q.status : 200)};
  request.headers = heads_fields(q.asked ? q.asked : BROWSER);
  response.headers = heads_fields(q.answered ? q.answered : JSON);
  if (q.length) response.announced = (struct body){FRAMING_LENGTH, q.length};
  struct codable_choice choice = codable_choose(&request, &response, q.rules ? q.rules : &usual);
  heads_free();
  return choice;
}

static void check_reason(struct question q, const char *wanted, bool varies) {
  struct codable_choice choice = choose(q);
  CHECK_STR(str_of(codable_name(choice.reason)), wanted);
  CHECK(choice.varies == varies);
  CHECK((choice.coding == CODING_IDENTITY) == (choice.reason != CODABLE_YES));
}
#define IS(wanted, varies, ...) check_reason((struct question){__VA_ARGS__}, wanted, varies)

IT("codes what gets smaller for a client that accepts it") {
  CHECK(choose((struct question){0}).coding == CODING_ZSTD);
  CHECK(choose((struct question){.asked = "Accept-Encoding: gzip"}).coding == CODING_GZIP);
  CHECK(choose((struct question){.asked = "Accept-Encoding: deflate"}).coding == CODING_IDENTITY);
  IS("codable", true, 0);
  IS("codable", true, .method = "HEAD");
  IS("codable", true, .method = "POST", .status = 404, .length = CODABLE_LEAST);
  IS("not_accepted", true, .asked = "");
  IS("not_accepted", true, .asked = "Accept-Encoding: gzip;q=0, deflate");
}

IT("codes types that get smaller, and no others") {
  static const char *const some[] = {
      "text/html",     "Text/CSS",          "application/json",        "application/ld+json",
      "image/svg+xml", "application/wasm",  "application/javascript",  "font/ttf",
      "image/bmp",     "text/event-stream", "application/problem+json"};
  static const char *const others[] = {"image/png",
                                       "image/jpeg",
                                       "video/mp4",
                                       "audio/ogg",
                                       "application/zip",
                                       "application/gzip",
                                       "font/woff2",
                                       "application/pdf",
                                       "application/octet-stream",
                                       "",
                                       "text",
                                       "application/jsonx",
                                       "json"};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) CHECK(codable_type(str_of(some[i])));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) CHECK(!codable_type(str_of(others[i])));
  IS("codable", true, .answered = "Content-Type: text/html; charset=utf-8");
  IS("codable", true, .answered = "Content-Type: application/json ;x=y");
  IS("type", false, .answered = "Content-Type: image/png");
  IS("type", false, .answered = "X: 1");
}

IT("codes the types that it is told instead") {
  struct str types[] = {STR("image/"), STR("application/pdf"), STR("application/")};
  struct codable_rules rules = {.offered = CODINGS_GZIP, .types = types, .type_count = 2};
  IS("codable", true, .rules = &rules, .answered = "Content-Type: IMAGE/png");
  IS("codable", true, .rules = &rules, .answered = "Content-Type: application/pdf");
  IS("type", false, .rules = &rules, .answered = "Content-Type: application/pdfx");
  IS("type", false, .rules = &rules, .answered = "Content-Type: text/html");
}

IT("never codes gRPC or multipart, whatever it is told: their parts have a framing of their own") {
  struct str types[] = {STR("application/"), STR("multipart/")};
  struct codable_rules rules = {.offered = CODINGS_GZIP, .types = types, .type_count = 2};
  IS("type", false, .rules = &rules, .answered = "Content-Type: application/grpc");
  IS("type", false, .rules = &rules, .answered = "Content-Type: application/grpc; x=y");
  IS("type", false, .rules = &rules, .answered = "Content-Type: Application/gRPC+json");
  IS("type", false, .rules = &rules, .answered = "Content-Type: multipart/byteranges; boundary=x");
  IS("codable", true, .rules = &rules, .answered = "Content-Type: application/grpc-web+proto");
  IS("type", false, .answered = "Content-Type: application/grpc+json");
}

IT("leaves alone what is coded already, also in a way that it does not know") {
  IS("coded", false, .answered = JSON "\nContent-Encoding: gzip");
  IS("coded", false, .answered = JSON "\nContent-Encoding: foo");
  IS("codable", true, .answered = JSON "\nContent-Encoding: identity");
  IS("codable", true, .answered = JSON "\nContent-Encoding:");
}

IT("obeys no-transform of either side (RFC 9111 sections 5.2.1.6 and 5.2.2.6)") {
  IS("no_transform", false, .answered = JSON "\nCache-Control: max-age=5, no-transform");
  IS("no_transform", false, .asked = BROWSER "\nCache-Control: no-transform");
}

IT("leaves parts alone, and serves who asks for one as it is") {
  IS("range", false, .status = 206);
  IS("range", false, .answered = JSON "\nContent-Range: bytes 0-4/5");
  IS("range", true, .asked = BROWSER "\nRange: bytes=0-4");
}

IT("leaves alone what has no body, tunnels, small bodies and old clients") {
  IS("status", false, .status = 103);
  IS("status", false, .status = 204);
  IS("status", false, .status = 205);
  IS("tunnel", false, .status = 101);
  IS("tunnel", false, .method = "CONNECT");
  IS("small", false, .length = CODABLE_LEAST - 1);
  IS("old_client", true, .minor = 1);
  IS("not_accepted", false, .rules = &(struct codable_rules){.offered = CODINGS_IDENTITY});
}

#define CROSS BROWSER "\nSec-Fetch-Site: cross-site"
IT("does not code what may hold a secret, and is asked for from another site without a click (BREACH)") {
  struct codable_rules open = usual;
  open.codes_cross_site = true;
  IS("cross_site", true, .asked = CROSS "\nCookie: a=b");
  IS("cross_site", true, .asked = CROSS "\nAuthorization: x");
  IS("cross_site", true, .asked = CROSS, .answered = JSON "\nSet-Cookie: a=b");
  IS("codable", true, .asked = CROSS);
  IS("codable", true, .asked = CROSS "\nCookie: a=b\nSec-Fetch-User: ?1");
  IS("codable", true, .asked = BROWSER "\nSec-Fetch-Site: same-origin\nCookie: a=b");
  IS("codable", true, .asked = CROSS "\nCookie: a=b", .answered = JSON "\nCache-Control: public, max-age=5");
  IS("codable", true, .asked = CROSS "\nCookie: a=b", .answered = JSON "\nCache-Control: s-maxage=5");
  IS("codable", true, .asked = CROSS "\nCookie: a=b", .rules = &open);
}

IT("flushes events at once, and what asks not to be held back") {
  CHECK(choose((struct question){.answered = "Content-Type: text/event-stream"}).flushes_at_once);
  CHECK(choose((struct question){.answered = "Content-Type: text/event-stream; charset=utf-8"})
            .flushes_at_once);
  CHECK(choose((struct question){.answered = JSON "\nX-Accel-Buffering: no"}).flushes_at_once);
  CHECK(!choose((struct question){0}).flushes_at_once);
}

static void check_fields(const char *lines, struct codable_choice choice, const char *wanted) {
  struct headers h = heads_fields(lines);
  codable_apply(&h, &choice);
  heads_check_fields(&h, wanted);
  heads_free();
}

IT("names the coding, and takes out what was of the plain body alone") {
  struct codable_choice gzip = {.coding = CODING_GZIP, .varies = true, .weakens = true};
  check_fields("Content-Length: 5\nX: 1\nETag: \"a\"\nAccept-Ranges: bytes\nContent-MD5: x\nDigest: "
               "x\nContent-Digest: x\nRepr-Digest: x",
               gzip, "X=1 ETag=W/\"a\" Vary=Accept-Encoding Content-Encoding=gzip ");
  check_fields("ETag: W/\"a\"\nContent-Encoding: identity", gzip,
               "ETag=W/\"a\" Content-Encoding=gzip Vary=Accept-Encoding ");
  check_fields("ETag: a\nX: 1", gzip, "X=1 Vary=Accept-Encoding Content-Encoding=gzip ");
  check_fields("ETag: \"a\"\nETag: \"b\"", gzip, "Vary=Accept-Encoding Content-Encoding=gzip ");
}

IT("names Accept-Encoding in Vary once, in one field, also where this client gets the plain body") {
  struct codable_choice plain = {.coding = CODING_IDENTITY, .reason = CODABLE_NOT_ACCEPTED, .varies = true};
  check_fields("ETag: \"a\"\nContent-Length: 5", plain, "ETag=\"a\" Content-Length=5 Vary=Accept-Encoding ");
  check_fields("Vary: Foo\nX: 1\nvary: Bar", plain, "Vary=Foo, Bar, Accept-Encoding X=1 ");
  check_fields("Vary: foo, accept-encoding", plain, "Vary=foo, accept-encoding ");
  check_fields("Vary: *", plain, "Vary=* ");
  check_fields("Vary:", plain, "Vary=Accept-Encoding ");
  check_fields("X: 1", (struct codable_choice){.coding = CODING_IDENTITY}, "X=1 ");
}

IT("gives a 304 the weak tag that the client has of a coded answer, and leaves others alone") {
  struct codable_choice choice =
      choose((struct question){.status = 304, .asked = "If-None-Match: W/\"a\"", .answered = "ETag: \"a\""});
  CHECK(choice.varies && choice.weakens && choice.coding == CODING_IDENTITY);
  check_fields("ETag: \"a\"", choice, "ETag=W/\"a\" Vary=Accept-Encoding ");
  IS("status", false, .status = 304, .asked = "If-None-Match: \"a\"", .answered = "ETag: \"a\"");
  IS("status", false, .status = 304, .asked = "If-None-Match: W/\"b\"", .answered = "ETag: \"a\"");
  IS("status", false, .status = 304, .asked = "X: 1", .answered = "ETag: \"a\"");
  IS("status", true, .status = 304);
  CHECK(choose((struct question){.status = 304}).weakens);
}

IT("lists the codings of a body in the order of their application") {
  enum coding codings[2];
  struct headers h = heads_fields("Content-Encoding: gzip, identity\nContent-Encoding: foo, br");
  CHECK(codings_of(&h, codings, 2) == 3 && codings[0] == CODING_GZIP && codings[1] == CODING_COUNT);
  h = heads_fields("Content-Encoding: X-GZIP");
  CHECK(codings_of(&h, codings, 2) == 1 && codings[0] == CODING_GZIP);
  h = heads_fields("Content-Encoding: , identity");
  CHECK(codings_of(&h, codings, 2) == 0);
  heads_free();
}
