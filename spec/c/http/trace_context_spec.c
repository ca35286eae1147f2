// SPDX-License-Identifier: Apache-2.0
// Units for http/trace_context (W3C Trace Context).
#include "http/trace_context.h"

#include "heads.h"
#include "unit.h"

#define ID     "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static bool parses(const char *text) {
  struct trace_context context;
  return trace_context_parse(str_of(text), &context);
}

IT("reads a traceparent, and writes it as it was") {
  struct trace_context context;
  char text[TRACEPARENT_TEXT];
  CHECK(trace_context_parse(STR("00-" ID "-" PARENT "-01"), &context));
  CHECK(context.high == 0x0af7651916cd43ddu && context.low == 0x8448eb211c80319cu);
  CHECK(context.span == 0xb7ad6b7169203331u && context.is_sampled && context.is_current);
  trace_context_write(&context, text);
  CHECK(str_equal((struct str){text, sizeof text}, STR("00-" ID "-" PARENT "-01")));
  context.is_sampled = false;
  trace_context_write(&context, text);
  CHECK(str_equal((struct str){text, sizeof text}, STR("00-" ID "-" PARENT "-00")));
}

IT("writes each digit of a number") {
  char text[16];
  trace_write_hex(0x0123456789abcdefu, text);
  CHECK(memcmp(text, "0123456789abcdef", sizeof text) == 0);
  trace_write_hex(0xfedcba9876543210u, text);
  CHECK(memcmp(text, "fedcba9876543210", sizeof text) == 0);
  trace_write_hex(UINT64_MAX, text);
  CHECK(memcmp(text, "ffffffffffffffff", sizeof text) == 0);
}

IT("knows of flags only the one for sampled, and of later versions what it knows of this one") {
  struct trace_context context;
  CHECK(trace_context_parse(STR("00-" ID "-" PARENT "-fe"), &context) && !context.is_sampled);
  CHECK(trace_context_parse(STR("00-" ID "-" PARENT "-03"), &context) && context.is_sampled);
  CHECK(trace_context_parse(STR("01-" ID "-" PARENT "-01"), &context) && !context.is_current);
  CHECK(trace_context_parse(STR("fe-" ID "-" PARENT "-01-more"), &context) && context.is_sampled);
}

IT("takes nothing else for a traceparent") {
  static const char *const wrong[] = {
      "",
      "00",
      "00-" ID "-" PARENT,
      "00-" ID "-" PARENT "-1",
      "00-" ID "-" PARENT "-01-",
      "00-" ID "-" PARENT "-011",
      "ff-" ID "-" PARENT "-01",
      "FE-" ID "-" PARENT "-01",
      "01-" ID "-" PARENT "-01x",
      "00-0AF7651916cd43dd8448eb211c80319c-" PARENT "-01",
      "00-00000000000000000000000000000000-" PARENT "-01",
      "00-" ID "-0000000000000000-01",
      "00_" ID "_" PARENT "_01",
      "00-" ID "-" PARENT "-g1",
      "00-" ID " -" PARENT "-01",
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK(!parses(wrong[i]));
}

static bool has_context(const char *lines) {
  struct trace_context context;
  struct headers headers = heads_fields(lines);
  bool has = trace_context_read(&headers, &context);
  heads_free();
  return has;
}

IT("wants exactly one field") {
  CHECK(has_context("TraceParent: 00-" ID "-" PARENT "-01"));
  CHECK(!has_context("Host: a"));
  CHECK(!has_context("traceparent: 00-" ID "-" PARENT "-01\ntraceparent: 00-" ID "-" PARENT "-01"));
}

static bool is_state(const char *lines) {
  struct headers headers = heads_fields(lines);
  bool is = trace_state_is_valid(&headers);
  heads_free();
  return is;
}

IT("reads tracestate over all of its fields") {
  CHECK(is_state("tracestate: a=1") && is_state("tracestate: a=1,b=2") && is_state("tracestate: a@b=x y!"));
  CHECK(is_state("tracestate: a=1\ntracestate: b=2, c/d*e-f_0=3") && is_state("tracestate: ,,"));
  CHECK(!is_state("tracestate: a") && !is_state("tracestate: =1") && !is_state("tracestate: a=") &&
        !is_state("tracestate: A=1") && !is_state("tracestate: a=1=2") && !is_state("tracestate: a@b@c=1") &&
        !is_state("tracestate: _a=1") && !is_state("tracestate: a=1\ntracestate: b"));
}
