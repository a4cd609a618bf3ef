mr_test(extent_test LABEL unit SOURCES extent_test.c LIBS mr_storage)
mr_test(format_test LABEL unit SOURCES format_test.c LIBS mr_storage)
mr_test(store_test LABEL unit TIMEOUT 120 SOURCES store_test.c store_fixture.c LIBS mr_storage)
mr_test(discard_test LABEL unit TIMEOUT 120 SOURCES discard_test.c store_fixture.c LIBS mr_storage)
mr_test(segment_test LABEL unit TIMEOUT 120 SOURCES segment_test.c store_fixture.c LIBS mr_storage)
mr_test(replica_test LABEL unit TIMEOUT 120 SOURCES replica_test.c store_fixture.c LIBS mr_storage)
mr_test(fail_test LABEL unit TIMEOUT 120 SOURCES fail_test.c store_fixture.c
  LIBS mr_storage_alloc)
