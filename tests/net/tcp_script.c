/* tests/net/tcp_script.c: runs packet scripts against our TCP, in virtual time.
 *
 *     tcp_script [-v] [--strict] [--parse] FILE...
 *
 * Prints the first line of each script that differs. --strict minds packets at the end that the
 * script does not tell of. --parse only reads them. Status: 0 all as they
 * say; 1 one differs; 77 every one wants what this runner has not. */
#include <stdio.h>
#include <string.h>

#include "tests/net/script.h"

int
main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0, skipped = 0;
    bool verbose = false, parse_only = false, strict = false;

    for (int i = 1; i < argc; i++) {
        struct script script;
        int result;

        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--strict") == 0) {
            strict = true;
            continue;
        }
        if (strcmp(argv[i], "--parse") == 0) {
            parse_only = true;
            continue;
        }
        if (script_parse(argv[i], &script) != 0) {
            failed++;
            script_free(&script);
            continue;
        }
        result = parse_only ? 0 : script_run(argv[i], &script, strict, verbose);
        if (script.skipped && verbose) {
            printf("%s: %u options, shell lines or code blocks not run\n", argv[i], script.skipped);
        }
        passed += result == 0;
        failed += result == 1;
        skipped += result == 77;
        script_free(&script);
    }
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    if (passed + failed + skipped == 0) {
        fprintf(stderr, "usage: tcp_script [-v] [--strict] [--parse] FILE...\n");
        return 2;
    }
    return failed ? 1 : passed ? 0 : 77;
}
