#include "control/cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/assert.h"

static void
append(struct cli_table *table, char *cell)
{
    if (table->cell_count == table->cell_max) {
        table->cell_max = table->cell_max > 0 ? table->cell_max * 2 : 64;
        table->cells = realloc(table->cells, table->cell_max * sizeof(*table->cells));
        MR_ASSERT(table->cells != NULL);
    }
    table->cells[table->cell_count++] = cell;
}

void
cli_table_init(struct cli_table *table, const char *const *columns, size_t column_count)
{
    MR_ASSERT(column_count <= CLI_COLUMNS_MAX);
    *table = (struct cli_table){.column_count = column_count};
    for (size_t i = 0; i < column_count; i++) {
        table->right[i] = columns[i][0] == '>';
        cli_table_cell(table, "%s", columns[i] + table->right[i]);
    }
}

void
cli_table_cell(struct cli_table *table, const char *format, ...)
{
    va_list list;
    char *cell;
    int size;

    va_start(list, format);
    size = vasprintf(&cell, format, list);
    va_end(list);
    MR_ASSERT(size >= 0);
    for (char *at = cell; *at; at++) { /* names that others have chosen must not steer a terminal */
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? '?' : *at;
    }
    append(table, cell);
}

static size_t
width(const char *text)
{
    size_t count = 0;

    for (; *text; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

void
cli_table_print(const struct cli_table *table, FILE *file)
{
    size_t widths[CLI_COLUMNS_MAX] = {0};

    MR_ASSERT(table->cell_count % table->column_count == 0);
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t n = width(table->cells[i]);
        size_t *column = &widths[i % table->column_count];

        *column = n > *column ? n : *column;
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->column_count;
        bool last = column + 1 == table->column_count;
        int pad = (int)(widths[column] - width(table->cells[i]));

        if (table->right[column]) {
            fprintf(file, "%*s%s", pad, "", table->cells[i]);
        } else {
            fprintf(file, "%s%*s", table->cells[i], last ? 0 : pad, "");
        }
        fputs(last ? "\n" : "  ", file);
    }
}

void
cli_table_free(struct cli_table *table)
{
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct cli_table){0};
}
