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

file(READ ${README} readme)
string(REGEX MATCH "\n```cpp\n([^`]*)\n```" found "${readme}")
set(example "${CMAKE_MATCH_1}")
if(NOT example MATCHES "image_folder\\(\"flowers\"")
  message(FATAL_ERROR "the README's first example is not there, or trains on no folder named flowers")
endif()
file(WRITE ${folder}/readme_example.cpp "${example}\n")

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${folder}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${folder}/build -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${folder}/prefix
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${FLAGS} -DCMAKE_BUILD_TYPE=${BUILD_TYPE}
    -DREADME_EXAMPLE=${folder}/readme_example.cpp)
run(${CMAKE_COMMAND} --build ${folder}/build)
foreach(program ops_only stripes consumer)
  run(${CMAKE_COMMAND} -E chdir ${folder} ${folder}/build/${program})
endforeach()
# The installed program's exercises: a student's stub fails, the solution passes.
if(EXISTS ${folder}/prefix/share/fovea/learn.json)
  set(fovea ${folder}/prefix/bin/fovea)
  run(${fovea} learn start ${folder}/student)
  execute_process(COMMAND ${fovea} learn check 12 --dir ${folder}/student OUTPUT_VARIABLE printed RESULT_VARIABLE result)
  if(NOT result EQUAL 1 OR NOT printed MATCHES "\nfailed: ")
    message(FATAL_ERROR "the stub of exercise 12 should fail, and its check ended with ${result}:\n${printed}")
  endif()
  file(COPY ${folder}/prefix/share/fovea/exercises/solutions/04_shared_memory DESTINATION ${folder}/student)
  run(${fovea} learn check 12 --dir ${folder}/student)
endif()
get_filename_component(root ${SOURCE}/../.. ABSOLUTE)
run(${CMAKE_COMMAND} -S ${SOURCE}/subproject -B ${folder}/subproject -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DFOVEA=${root})
# consumer has drawn the images of flowers/, which a network learns to tell apart.
execute_process(COMMAND ${folder}/build/readme_example WORKING_DIRECTORY ${folder} OUTPUT_VARIABLE printed
                RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR NOT printed MATCHES "epoch 14: accuracy (1\\.000|0\\.9[5-9][0-9])\n$" OR NOT EXISTS ${folder}/flowers.safetensors)
  message(FATAL_ERROR "the README's example ended with ${result} and printed '${printed}', not an accuracy of 0.95 or more at last")
endif()
