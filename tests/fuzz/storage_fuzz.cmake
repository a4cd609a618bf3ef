mr_fuzz(batch_fuzz SOURCES batch_fuzz.c LIBS mr_batch)
mr_fuzz(decompress_fuzz SOURCES decompress_fuzz.c LIBS mr_batch)
mr_fuzz(format_fuzz SOURCES format_fuzz.c LIBS mr_storage mr_metadata)
