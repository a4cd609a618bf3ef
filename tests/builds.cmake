# The same code built with sanitizers and fuzzers, as tests of the ordinary build: each makes a build
# folder of its own below this one and runs there what its sanitizer can judge.
function(mr_nested name label timeout cmake_arguments targets)
  add_test(NAME ${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/nested.sh
    ${CMAKE_BINARY_DIR}/nested/${name} "${cmake_arguments}" "${targets}" ${ARGN})
  mr_test_properties(${name} ${label} ${timeout})
  set_tests_properties(${name} PROPERTIES RESOURCE_LOCK nested)
endfunction()

# Unit tests, seeds of the crash simulators, and the real broker under power cuts, with compaction,
# retention, deletion and growth, hostile clients and a client that asks for anything.
mr_nested(asan_ubsan unit 1500 "-DMR_SANITIZE=address,undefined"
  "units steer_test group_sim store_sim compact_sim power_cut power_churn millraced" --parallel 2
  -R "_test$|^group_sim$|^(store|compact)_sim_[0-9]|^power_(cut_1_shard|churn)$|^compat_hostile|^compat_fuzz_client$" -E "^saturate_test$|^transport_dpdk_test$")
# In the folder of the test above: nothing is built twice.
add_test(NAME fuzz_client_long COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/nested.sh
  ${CMAKE_BINARY_DIR}/nested/asan_ubsan "-DMR_SANITIZE=address,undefined" "millraced"
  -R "^compat_fuzz_client_long$")
mr_test_properties(fuzz_client_long long 1800)
set_tests_properties(fuzz_client_long PROPERTIES RESOURCE_LOCK nested)
mr_nested(tsan unit 900 "-DMR_SANITIZE=thread" "mesh_test saturate_test"
  -R "^mesh_test$|^saturate_test$")
mr_nested(fuzz fuzz 900
  "-DMR_FUZZ=ON -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo"
  "fuzzers" -L "^fuzz$")
mr_nested(fuzz_long long 1800
  "-DMR_FUZZ=ON -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo"
  "fuzzers" -R "_fuzz_long$" --parallel 2)

# The longest start first (store_sim before all): none of them is left alone at the end.
set_tests_properties(asan_ubsan PROPERTIES COST 300)
set_tests_properties(fuzz tsan PROPERTIES COST 200)
