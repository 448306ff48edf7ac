# The headers as other projects include them, <fovea/core/tensor.h>: copies whose own includes also begin with fovea/.
# So neither core/ nor models/ is on the include path of a project that may have such folders itself.
# cmake -DFROM=<the sources> -DTO=<folder>/fovea "-DFOLDERS=<those with headers>" -P headers.cmake
cmake_minimum_required(VERSION 3.22)
list(TRANSFORM FOLDERS REPLACE "(.+)" "${FROM}/\\1/*.h" OUTPUT_VARIABLE patterns)
file(GLOB_RECURSE headers RELATIVE ${FROM} ${patterns})
list(REMOVE_ITEM headers nn/io/json.h)  # only for our own sources: it needs the JSON library
list(APPEND headers fovea.h)
list(JOIN FOLDERS "|" folders)
file(GLOB_RECURSE old_headers RELATIVE ${TO} ${TO}/*.h)
list(REMOVE_ITEM old_headers ${headers})
foreach(header ${old_headers})
  file(REMOVE ${TO}/${header})
endforeach()
foreach(header ${headers})
  file(READ ${FROM}/${header} text)
  string(REGEX REPLACE "#include \"(${folders})/" "#include \"fovea/\\1/" text "${text}")
  set(old_text "")
  if(EXISTS ${TO}/${header})
    file(READ ${TO}/${header} old_text)
  endif()
  if(NOT text STREQUAL old_text)  # so that what includes it is recompiled only if it changed
    file(WRITE ${TO}/${header} "${text}")
  endif()
endforeach()
file(TOUCH ${TO}.stamp)
