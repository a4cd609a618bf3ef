mr_test(cli_test LABEL unit SOURCES cli_test.c LIBS mr_cli)

# The load generator stands on the tool's client.
set(bench_tests ${CMAKE_SOURCE_DIR}/tests/unit/bench)
mr_test(load_test LABEL unit SOURCES ${bench_tests}/load_test.c LIBS mr_load_core)
mr_test(load_run_test LABEL unit SOURCES ${bench_tests}/load_run_test.c LIBS PkgConfig::JANSSON
  ARGS $<TARGET_FILE:mr_null_broker> $<TARGET_FILE:mr_load>)
add_dependencies(load_run_test mr_null_broker mr_load)
