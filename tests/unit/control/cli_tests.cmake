mr_test(cli_test LABEL unit SOURCES cli_test.c LIBS mr_cli)
