// SPDX-License-Identifier: Apache-2.0
// top/screen: the top is five lines, the bottom one, and a table takes what is between them. What does not fit is cut;
// on a terminal without UTF-8 the curves are drawn in ASCII.
#include "cli/top/screen.h"

#include <ctype.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  TOP_LINES = 5,
  CURVE_LEVELS = 8,
  CELL_BYTES = 64,
  LABEL_COLUMNS = 44,
  CTRL_L = 12,
  ESCAPE = 27,
  DELETE = 127
};
enum { PLAIN, GOOD, WARN, BAD, QUIET, CURVE };

static bool has_utf8;

bool screen_begin(void) {
  setlocale(LC_ALL, "");
  has_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  const char *term = getenv("TERM");
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !term || !newterm(NULL, stdout, stdin)) {
    fputs("perilune: top draws on a terminal; in scripts use 'perilune status' or 'perilune status --json'\n",
          stderr);
    return false;
  }
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  curs_set(0);
  set_escdelay(50);
  if (!has_colors()) return true;
  start_color();
  use_default_colors();
  init_pair(GOOD, COLOR_GREEN, -1);
  init_pair(WARN, COLOR_YELLOW, -1);
  init_pair(BAD, COLOR_RED, -1);
  init_pair(QUIET, COLOR_CYAN, -1);
  init_pair(CURVE, COLOR_BLUE, -1);
  return true;
}

void screen_end(void) { endwin(); }

/* --- text ------------------------------------------------------------------------------------------------- */

/* As many bytes as have `columns` characters; nothing that steers the terminal. */
static void put(int y, int x, int columns, struct str text) {
  char shown[512];
  size_t length = 0;
  int used = 0;
  for (size_t i = 0; i < text.len && length < sizeof shown - 1; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    bool continues = (c & 0xc0) == 0x80;
    if (!continues && used++ == columns) break;
    shown[length++] = (c < 0x20 || c == 0x7f || (c >= 0x80 && !has_utf8)) ? '?' : (char)c;
  }
  mvaddnstr(y, x, shown, (int)length);
}

static void put_text(int y, int x, const char *text) { put(y, x, COLS - x, str_of(text)); }

/* "1,234", "12.3 k", "4.5 M" */
static void write_count(char *to, double n) {
  if (n < 9999.5)
    snprintf(to, CELL_BYTES, n < 9.95 && n != floor(n) ? "%.1f" : "%.0f", n);
  else if (n < 999950)
    snprintf(to, CELL_BYTES, "%.1f k", n / 1e3);
  else if (n < 999950000)
    snprintf(to, CELL_BYTES, "%.1f M", n / 1e6);
  else
    snprintf(to, CELL_BYTES, "%.1f G", n / 1e9);
}

static void write_time(char *to, double us) {
  if (us <= 0)
    strcpy(to, "-");
  else if (us < 999.5)
    snprintf(to, CELL_BYTES, "%.0f us", us);
  else if (us < 999500)
    snprintf(to, CELL_BYTES, us < 99950 ? "%.1f ms" : "%.0f ms", us / 1e3);
  else
    snprintf(to, CELL_BYTES, "%.1f s", us / 1e6);
}

static void write_bytes(char *to, double n) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
  int unit = 0;
  while (n >= 1024 && unit < 3) n /= 1024, unit++;
  snprintf(to, CELL_BYTES, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

static void write_cell(char *to, const struct top_table *t, unsigned column, const struct top_cell *cell) {
  switch (t->kinds[column]) {
  case 'u': write_time(to, cell->value); break;
  case 'b': write_bytes(to, cell->value); break;
  case 'n':
  case 'c': write_count(to, cell->value); break;
  default:
    snprintf(to, CELL_BYTES, "%.*s", cell->text.len < CELL_BYTES ? (int)cell->text.len : CELL_BYTES - 1,
             cell->text.ptr);
  }
}

/* --- the top ---------------------------------------------------------------------------------------------- */

/* The latest second is at the right end. */
static void put_curve(int y, int x, const struct top_model *m, enum top_figure figure) {
  static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static const char plain[] = "_.-:=+*#";
  int columns = COLS - x < (int)m->second_count ? COLS - x : (int)m->second_count;
  double most = 0;
  for (int i = 0; i < columns; i++) {
    double value = m->seconds[(int)m->second_count - columns + i][figure];
    if (value > most) most = value;
  }
  attron(COLOR_PAIR(CURVE));
  for (int i = 0; i < columns; i++) {
    double value = m->seconds[(int)m->second_count - columns + i][figure];
    int level = most > 0 ? (int)(value / most * (CURVE_LEVELS - 1) + 0.5) : 0;
    if (has_utf8)
      mvaddstr(y, x + i, bars[level]);
    else
      mvaddch(y, x + i, (chtype)plain[level]);
  }
  attroff(COLOR_PAIR(CURVE));
}

static void put_first_line(const struct top_model *m, const struct top_choice *choice, const char *trouble) {
  char text[512];
  unsigned long long up_s = strtoull(top_fact(m, "seconds").ptr, NULL, 10);
  snprintf(text, sizeof text, "perilune %.*s  %.*s  generation %.*s  up %llud %02llu:%02llu:%02llu  %.*s",
           STR_ARG(top_fact(m, "pid")), STR_ARG(top_fact(m, "policy")), STR_ARG(top_fact(m, "generation")),
           up_s / 86400, up_s / 3600 % 24, up_s / 60 % 60, up_s % 60, STR_ARG(top_fact(m, "state")));
  attron(A_BOLD);
  put_text(0, 0, text);
  attroff(A_BOLD);
  const char *note = trouble ? trouble : choice->is_paused ? "PAUSED" : NULL;
  if (!note) return;
  int x = COLS - (int)strlen(note) - 2;
  attron(COLOR_PAIR(BAD) | A_BOLD);
  put_text(0, x > 0 ? x : 0, note);
  attroff(COLOR_PAIR(BAD) | A_BOLD);
}

static double share(const struct top_model *m, enum top_figure figure) {
  double all = top_latest(m, TOP_REQUESTS);
  return all > 0 ? 100 * top_latest(m, figure) / all : 0;
}

static void put_requests(const struct top_model *m) {
  char rate[CELL_BYTES], text[256];
  write_count(rate, top_latest(m, TOP_REQUESTS));
  snprintf(text, sizeof text, "requests %8s/s  2xx %.0f%% 4xx %.0f%% 5xx %.1f%%", rate, share(m, TOP_2XX),
           share(m, TOP_4XX), share(m, TOP_5XX) + share(m, TOP_NONE));
  put(1, 0, LABEL_COLUMNS, str_of(text));
  put_curve(1, LABEL_COLUMNS, m, TOP_REQUESTS);
}

static void put_latency(const struct top_model *m) {
  char p50[CELL_BYTES], p90[CELL_BYTES], p99[CELL_BYTES], text[256];
  write_time(p50, top_latest(m, TOP_P50));
  write_time(p90, top_latest(m, TOP_P90));
  write_time(p99, top_latest(m, TOP_P99));
  snprintf(text, sizeof text, "latency  p50 %s  p90 %s  p99 %s", p50, p90, p99);
  put(2, 0, LABEL_COLUMNS, str_of(text));
  put_curve(2, LABEL_COLUMNS, m, TOP_P99);
}

static void put_traffic(const struct top_model *m) {
  char in[CELL_BYTES], out[CELL_BYTES], text[256];
  write_bytes(in, top_latest(m, TOP_RECEIVED));
  write_bytes(out, top_latest(m, TOP_SENT));
  snprintf(text, sizeof text, "in %s/s  out %s/s  %.*s clients", in, out,
           STR_ARG(top_fact(m, "connections")));
  put(3, 0, LABEL_COLUMNS, str_of(text));
  put_curve(3, LABEL_COLUMNS, m, TOP_SENT);
}

static void put_tabs(const struct top_model *m, const struct top_choice *choice) {
  int x = 0;
  for (unsigned i = 0; i < m->table_count && x < COLS; i++) {
    attr_t look = i == choice->table ? A_REVERSE : A_NORMAL;
    attron(look);
    mvaddch(4, x, ' ');
    put(4, x + 1, COLS - x - 1, m->tables[i].name);
    x += (int)m->tables[i].name.len + 1;
    if (x < COLS) mvaddch(4, x, ' ');
    attroff(look);
    x += 2;
  }
}

/* --- the table -------------------------------------------------------------------------------------------- */

static void measure(const struct top_table *t, const unsigned *order, unsigned count,
                    int widths[TOP_COLUMNS]) {
  char text[CELL_BYTES];
  for (unsigned c = 0; c < t->columns; c++) {
    widths[c] = (int)t->titles[c].len + 1;
    for (unsigned i = 0; i < count; i++) {
      write_cell(text, t, c, &t->items[order[i]].cells[c]);
      if ((int)strlen(text) > widths[c]) widths[c] = (int)strlen(text);
    }
  }
}

/* Texts begin at the left, numbers end at the right. */
static void put_in_column(int y, int *x, int width, bool is_text, struct str text) {
  int shift = is_text || (int)text.len > width ? 0 : width - (int)text.len;
  if (*x + shift < COLS) put(y, *x + shift, width < COLS - *x ? width : COLS - *x, text);
  *x += width + 2;
}

static void put_titles(const struct top_table *t, const struct top_choice *choice, const int *widths) {
  int x = 0;
  attron(COLOR_PAIR(QUIET) | A_BOLD);
  for (unsigned c = 0; c < t->columns; c++) {
    char title[CELL_BYTES];
    const char *mark = c != choice->column ? "" : choice->is_reversed ? "^" : "v";
    snprintf(title, sizeof title, "%.*s%s", STR_ARG(t->titles[c]), mark);
    put_in_column(TOP_LINES, &x, widths[c], t->kinds[c] == 't', str_of(title));
  }
  attroff(COLOR_PAIR(QUIET) | A_BOLD);
}

static int look_of(struct str text) {
  static const char *const bad[] = {"unhealthy", "ejected", "STUCK", "no VM"};
  static const char *const odd[] = {"drained", "draining", "disabled", "off"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (str_equal(text, str_of(bad[i]))) return BAD;
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
    if (str_equal(text, str_of(odd[i]))) return WARN;
  return str_equal(text, STR("healthy")) ? GOOD : PLAIN;
}

static void put_row(int y, const struct top_table *t, const struct top_row *row, const int *widths) {
  int x = 0;
  for (unsigned c = 0; c < t->columns; c++) {
    char text[CELL_BYTES];
    int look = t->kinds[c] == 't' ? look_of(row->cells[c].text) : PLAIN;
    write_cell(text, t, c, &row->cells[c]);
    attron(COLOR_PAIR(look));
    put_in_column(y, &x, widths[c], t->kinds[c] == 't', str_of(text));
    attroff(COLOR_PAIR(look));
  }
}

static void put_table(const struct top_table *t, struct top_choice *choice) {
  static unsigned order[TOP_ROWS];
  int widths[TOP_COLUMNS], room = LINES - TOP_LINES - 2;
  unsigned count = top_table_sort(t, choice->column, choice->is_reversed, choice->filter, order);
  if (choice->first >= count) choice->first = count ? count - 1 : 0;
  measure(t, order, count, widths);
  put_titles(t, choice, widths);
  for (int i = 0; i < room && choice->first + (unsigned)i < count; i++)
    put_row(TOP_LINES + 1 + i, t, &t->items[order[choice->first + (unsigned)i]], widths);
  if (!count && room > 0)
    put_text(TOP_LINES + 1, 0, *choice->filter ? "nothing fits the filter" : "nothing so far");
}

static void put_bottom(const struct top_choice *choice) {
  char text[160];
  if (choice->is_typing)
    snprintf(text, sizeof text, "filter: %s_   Enter keeps it, Esc drops it", choice->filter);
  else
    snprintf(text, sizeof text, "q quit  Tab table  s sort  r reverse  / filter%s%s  p pause  arrows scroll",
             *choice->filter ? ": " : "", choice->filter);
  attron(COLOR_PAIR(QUIET));
  put_text(LINES - 1, 0, text);
  attroff(COLOR_PAIR(QUIET));
}

void screen_draw(const struct top_model *m, struct top_choice *choice, const char *trouble) {
  erase();
  put_first_line(m, choice, trouble);
  put_requests(m);
  put_latency(m);
  put_traffic(m);
  if (choice->table >= m->table_count) choice->table = 0;
  put_tabs(m, choice);
  if (m->table_count && LINES > TOP_LINES + 2) put_table(&m->tables[choice->table], choice);
  put_bottom(choice);
  refresh();
}

/* --- keys ------------------------------------------------------------------------------------------------- */

static void type(struct top_choice *choice, int key) {
  size_t length = strlen(choice->filter);
  if (key == '\r' || key == '\n' || key == KEY_ENTER) choice->is_typing = false;
  if (key == ESCAPE) choice->is_typing = false;
  if (key == ESCAPE) *choice->filter = '\0';
  if ((key == KEY_BACKSPACE || key == DELETE || key == '\b') && length) choice->filter[length - 1] = '\0';
  if (key < 256 && isprint(key) && length < TOP_FILTER_BYTES - 1) {
    choice->filter[length] = (char)key;
    choice->filter[length + 1] = '\0';
  }
}

static void show_table(const struct top_model *m, struct top_choice *choice, unsigned step) {
  if (m->table_count) choice->table = (choice->table + step) % m->table_count;
  choice->column = choice->first = 0;
  choice->is_reversed = false;
}

static void scroll_by(struct top_choice *choice, int rows) {
  int first = (int)choice->first + rows;
  choice->first = first > 0 ? (unsigned)first : 0;
}

static void obey(const struct top_model *m, struct top_choice *choice, int key) {
  unsigned columns = m->table_count ? m->tables[choice->table].columns : 0;
  switch (key) {
  case '\t':
  case KEY_RIGHT: show_table(m, choice, 1); break;
  case KEY_BTAB:
  case KEY_LEFT: show_table(m, choice, m->table_count - 1); break;
  case 's': choice->column = columns ? (choice->column + 1) % columns : 0; break;
  case 'r': choice->is_reversed = !choice->is_reversed; break;
  case '/': choice->is_typing = true; break;
  case 'p': choice->is_paused = !choice->is_paused; break;
  case KEY_DOWN: scroll_by(choice, 1); break;
  case KEY_UP: scroll_by(choice, -1); break;
  case KEY_NPAGE: scroll_by(choice, LINES - TOP_LINES - 2); break;
  case KEY_PPAGE: scroll_by(choice, TOP_LINES + 2 - LINES); break;
  case KEY_HOME: choice->first = 0; break;
  case CTRL_L: clearok(stdscr, TRUE); break;
  }
}

bool screen_key(const struct top_model *m, struct top_choice *choice, int wait_ms) {
  timeout(wait_ms);
  int key = getch();
  if (key == ERR) return true;
  if (choice->is_typing)
    type(choice, key);
  else if (key == 'q' || key == 'Q')
    return false;
  else
    obey(m, choice, key);
  return true;
}
