/* control/cli/table.h: aligned tables on a terminal.
 *
 * Cells are copied; columns are as wide as their widest cell, two spaces apart. Widths count
 * characters of UTF-8, not bytes. */
#ifndef MR_CONTROL_CLI_TABLE_H
#define MR_CONTROL_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CLI_COLUMNS_MAX 12

struct cli_table {
    size_t column_count;
    bool right[CLI_COLUMNS_MAX]; /* numbers stand at the right */
    char **cells;                /* row by row, the header first */
    size_t cell_count;
    size_t cell_max;
};

/* Starts a table; `columns` are the headings, each with a leading '>' for a column of numbers. */
void cli_table_init(struct cli_table *table, const char *const *columns, size_t column_count);

/* Appends the next cell of the current row, control characters as question marks. */
__attribute__((format(printf, 2, 3))) void cli_table_cell(struct cli_table *table,
                                                          const char *format, ...);

/* Prints header and rows, without spaces at a line's end. Every row is complete. */
void cli_table_print(const struct cli_table *table, FILE *file);

void cli_table_free(struct cli_table *table);

#endif
