/* tests/fuzz/corpus.h: the parts of corpus_make, which writes the committed corpora.
 *
 * `ninja corpus` in a build folder writes tests/fuzz/corpus anew, one folder for each fuzz target;
 * what it writes depends on the code alone. corpus_test fails when a message, API or version has no
 * file or one that does not decode any more. */
#ifndef MR_TESTS_FUZZ_CORPUS_H
#define MR_TESTS_FUZZ_CORPUS_H

#include <stddef.h>
#include <stdint.h>

/* Writes FOLDER/`target`/`name`: `head`, then `body`. */
void corpus_write(const char *target, const char *name, const void *head, size_t head_size,
                  const void *body, size_t body_size);

/* wire_fuzz: a random message of every kind and version. conn_fuzz: a random request of every API
 * and version that is served, and streams of several. */
void corpus_wire(void);

/* batch_fuzz, decompress_fuzz: every codec. format_fuzz: every structure and record of a store and
 * of the metadata log. */
void corpus_storage(void);

#endif
