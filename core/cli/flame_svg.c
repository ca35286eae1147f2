// SPDX-License-Identifier: Apache-2.0
// flame_svg: the tree as one SVG file, which needs nothing else: each frame is a rectangle as wide as its share, above
// the one that has called it. Without a script it can be read, too; with it, a click zooms in and a word is found
// (flame.xml, which the assembler includes).
#include "cli/flame.h"

#include <string.h>

__asm__(".pushsection .rodata\n"
        ".globl perilune_flame, perilune_flame_end\n"
        "perilune_flame: .incbin \"core/cli/flame.xml\"\n"
        "perilune_flame_end:\n"
        ".popsection\n");
extern const char perilune_flame[], perilune_flame_end[];

/* What is narrower than LEAST of the whole is left out, with all above it: it would be no pixel wide. */
static const double LEAST = 0.0003;
static const double LETTER = 7.3;
enum { WIDTH = 1200, LEFT = 10, DRAWN = WIDTH - 2 * LEFT, ROW = 18, HEAD = 76, FOOT = 14 };

struct drawing {
  struct flame *flame;
  FILE *out;
  unsigned height;
};

/* As text of XML. What is not printable ASCII is '?': so a letter is a byte, and each is as wide as LETTER. */
static void escape(FILE *out, struct str text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c == '&')
      fputs("&amp;", out);
    else if (c == '<')
      fputs("&lt;", out);
    else if (c == '>')
      fputs("&gt;", out);
    else if (c == '"')
      fputs("&quot;", out);
    else
      fputc(c < ' ' || c >= 0x7f ? '?' : c, out);
  }
}

static const char *class_of(struct str label, unsigned depth) {
  static const char *const policy[] = {"policy0", "policy1", "policy2"};
  unsigned sum = 0;
  if (depth < 2) return "hook";
  if (label.len && (*label.ptr == '[' || *label.ptr == '(')) return "c";
  if (str_starts_with(label, STR("perilune/")) || str_starts_with(label, STR("scripts/"))) return "ours";
  for (size_t i = 0; i < label.len; i++) sum = sum * 31 + (unsigned char)label.ptr[i];
  return policy[sum % 3];
}

static void draw_title(const struct drawing *d, const struct frame *frame, double share) {
  struct str source = flame_source(d->flame, frame->label);
  fprintf(d->out, "<title>");
  escape(d->out, frame->label);
  fprintf(d->out, ": %.1f ms, %.1f %%", (double)frame->us / 1000, share * 100);
  if (source.len) fputs("\n", d->out);
  escape(d->out, source);
  fprintf(d->out, "</title>");
}

static void draw_text(const struct drawing *d, struct str label, double x, unsigned y, double width) {
  double letters = (width - 6) / LETTER;
  fprintf(d->out, "<text x=\"%.1f\" y=\"%u\">", x + 3, y + 13);
  if (letters >= 3 && label.len <= (size_t)letters)
    escape(d->out, label);
  else if (letters >= 3) {
    escape(d->out, (struct str){label.ptr, (size_t)letters - 1});
    fputs("…", d->out);
  }
  fprintf(d->out, "</text>");
}

static void draw(const struct drawing *d, const struct frame *frame, double left, unsigned depth) {
  double all_us = d->flame->root.us ? (double)d->flame->root.us : 1, share = (double)frame->us / all_us;
  double x = LEFT + left * DRAWN, width = share * DRAWN;
  unsigned y = d->height - FOOT - (depth + 1) * ROW;
  if (share < LEAST) return;
  fprintf(d->out, "<g class=\"f %s\" data-x=\"%.7f\" data-w=\"%.7f\" data-y=\"%u\" data-l=\"",
          class_of(frame->label, depth), left, share, depth);
  escape(d->out, frame->label);
  fprintf(d->out, "\">");
  draw_title(d, frame, share);
  fprintf(d->out, "<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" rx=\"1.5\"/>", x, y, width,
          ROW - 1);
  draw_text(d, frame->label, x, y, width);
  fprintf(d->out, "</g>\n");
  for (const struct frame *f = frame->below; f; f = f->next) {
    draw(d, f, left, depth + 1);
    left += (double)f->us / all_us;
  }
}

static void draw_head(const struct drawing *d) {
  const struct flame *f = d->flame;
  fprintf(d->out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %u\" width=\"100%%\" "
          "preserveAspectRatio=\"xMinYMin\" role=\"img\">\n"
          "<title>%s</title>\n",
          WIDTH, d->height, f->is_wait ? "Where hooks wait" : "Where hooks use the processor");
  fwrite(perilune_flame, 1, (size_t)(perilune_flame_end - perilune_flame), d->out);
  fprintf(d->out, "<text class=\"title\" x=\"%d\" y=\"26\">%s</text>\n", LEFT,
          f->is_wait ? "Where hooks wait" : "Where hooks use the processor");
  fprintf(d->out, "<text class=\"faint\" x=\"%d\" y=\"46\">%.1f ms in %.1f s, %u worker%s", LEFT,
          (double)f->root.us / 1000, (double)f->ms / 1000, (unsigned)f->workers, plural(f->workers));
  if (!f->is_wait) fprintf(d->out, "; beside it, the proxy itself: %.1f ms", (double)f->outside_us / 1000);
  fprintf(
      d->out,
      "</text>\n<text class=\"faint\" x=\"%d\" y=\"64\">A click zooms in, Escape goes back, / finds.</text>\n"
      "<foreignObject x=\"920\" y=\"10\" width=\"270\" height=\"32\"><input "
      "xmlns=\"http://www.w3.org/1999/xhtml\" id=\"search\" type=\"search\" placeholder=\"find\" "
      "aria-label=\"find\"/></foreignObject>\n"
      "<text id=\"found\" class=\"faint\" x=\"920\" y=\"58\"></text>\n",
      LEFT);
}

void flame_print_svg(struct flame *flame, FILE *out) {
  struct drawing d = {flame, out, HEAD + FOOT + (flame->depth + 1) * ROW};
  draw_head(&d);
  draw(&d, &flame->root, 0, 0);
  fprintf(out, "</svg>\n");
}
