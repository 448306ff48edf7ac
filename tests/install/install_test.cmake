# Installs the build below it, then configures, builds and runs programs that use it, and the README's first example. And
# configures a project that has the sources as a subfolder.
# cmake -DBUILD=... -DSOURCE=... -DREADME=... -DGENERATOR=... -DCOMPILER=... -DFLAGS=... -DBUILD_TYPE=... -P install_test.cmake
set(folder ${BUILD}/tests/install)
file(REMOVE_RECURSE ${folder})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "the command above ended with ${result}")
  endif()
endfunction()

# The example, and what the comment behind its last statement says that it prints.
file(READ ${README} readme)
string(REGEX MATCH "\n```cpp\n([^`]*// ([^\n]*)\n}\n)```" found "${readme}")
set(example "${CMAKE_MATCH_1}")
set(expected "${CMAKE_MATCH_2}\n")
if(NOT example MATCHES "set_training\\(false\\)")
  message(FATAL_ERROR "the README's first example is not there, or runs its detector in training mode")
endif()
file(WRITE ${folder}/readme_example.cpp "${example}")

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${folder}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${folder}/build -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${folder}/prefix
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${FLAGS} -DCMAKE_BUILD_TYPE=${BUILD_TYPE}
    -DREADME_EXAMPLE=${folder}/readme_example.cpp)
run(${CMAKE_COMMAND} --build ${folder}/build)
foreach(program ops_only stripes consumer)
  run(${CMAKE_COMMAND} -E chdir ${folder} ${folder}/build/${program})
endforeach()
get_filename_component(root ${SOURCE}/../.. ABSOLUTE)
run(${CMAKE_COMMAND} -S ${SOURCE}/subproject -B ${folder}/subproject -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DFOVEA=${root})
execute_process(COMMAND ${folder}/build/readme_example OUTPUT_VARIABLE printed RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR NOT printed STREQUAL expected)
  message(FATAL_ERROR "the README's example ended with ${result} and printed '${printed}', not '${expected}'")
endif()
