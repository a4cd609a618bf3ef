/* tests/fuzz/corpus_make.c: writes the corpora of the fuzz targets into the folder given. */
#include <errno.h>
#include <sys/stat.h>

#include "tests/fuzz/corpus.h"
#include "tests/mr_test.h"

static const char *root;

void
corpus_write(const char *target, const char *name, const void *head, size_t head_size,
             const void *body, size_t body_size)
{
    char path[512];
    FILE *file;

    MR_CHECK(snprintf(path, sizeof(path), "%s/%s", root, target) < (int)sizeof(path));
    MR_CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
    MR_CHECK(snprintf(path, sizeof(path), "%s/%s/%s", root, target, name) < (int)sizeof(path));
    file = fopen(path, "wb");
    MR_CHECK(file != NULL);
    MR_CHECK_EQ(fwrite(head, 1, head_size, file), head_size);
    MR_CHECK_EQ(fwrite(body, 1, body_size, file), body_size);
    MR_CHECK_EQ(fclose(file), 0);
}

int
main(int argc, char **argv)
{
    MR_CHECK_EQ(argc, 2);
    root = argv[1];
    MR_CHECK(mkdir(root, 0755) == 0 || errno == EEXIST);
    corpus_wire();
    corpus_storage();
    return 0;
}
