# How every target of the project is made: the flags, and one function each for a library, a component and a program.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # a project with Fovea as a subfolder links what it is made from
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
if(FOVEA_COMPILER_CACHE)
  find_program(CCACHE ccache)
  if(CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  endif()
endif()

# For other projects: <fovea/core/tensor.h> is the copy of a header that cmake/headers.cmake makes.
set(header_folders cuda core ops nn models train)
set(copied_headers ${PROJECT_BINARY_DIR}/include/fovea)
list(TRANSFORM header_folders REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/\\1/*.h" OUTPUT_VARIABLE header_patterns)
file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${header_patterns})
add_custom_command(OUTPUT ${copied_headers}.stamp VERBATIM
  COMMAND ${CMAKE_COMMAND} -DFROM=${PROJECT_SOURCE_DIR} -DTO=${copied_headers} "-DFOLDERS=${header_folders}"
    -P ${PROJECT_SOURCE_DIR}/cmake/headers.cmake
  DEPENDS ${headers} ${PROJECT_SOURCE_DIR}/fovea.h ${PROJECT_SOURCE_DIR}/cmake/headers.cmake)
add_custom_target(fovea_headers DEPENDS ${copied_headers}.stamp)

add_library(fovea_flags INTERFACE)
target_include_directories(fovea_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(fovea_flags INTERFACE cxx_std_20)
set_property(GLOBAL PROPERTY FOVEA_LIBRARIES fovea_flags)  # those that belong to the next component

# Private to our own sources. No -ffast-math: NaN must stay NaN, and sums keep their order. We give up only errno and
# floating-point traps, which would keep exp and comparisons out of the vector units.
add_library(fovea_options INTERFACE)
target_include_directories(fovea_options INTERFACE ${PROJECT_SOURCE_DIR})
set(cxx $<COMPILE_LANGUAGE:CXX>)  # nvcc does not take these options
target_compile_options(fovea_options INTERFACE
  "$<${cxx}:-Wall;-Wextra;-Wno-missing-field-initializers;-Wshadow;-Wnon-virtual-dtor>"
  "$<${cxx}:-fno-math-errno;-fno-trapping-math;-ffp-contract=fast>"
  $<$<AND:${cxx},$<CONFIG:Release>>:-O3>)
if(PROJECT_IS_TOP_LEVEL)  # a later compiler's new warnings must not break another project's build
  target_compile_options(fovea_options INTERFACE $<${cxx}:-Werror>)
endif()
if(FOVEA_NATIVE)
  target_compile_options(fovea_options INTERFACE "$<${cxx}:-march=native;-mprefer-vector-width=512>")
endif()
if(NOT FOVEA_POOL)
  target_compile_definitions(fovea_options INTERFACE FOVEA_POOL=0)
endif()

# fovea_keep(<feature> <what it does> <Debian packages> <package>_FOUND...): switches the feature off, with a message,
# if a package was not found.
macro(fovea_keep feature what debian_packages)
  foreach(found ${ARGN})
    if(${feature} AND NOT ${found})
      message(STATUS "This build cannot ${what}: install ${debian_packages} and configure again")
      set(${feature} OFF)
    endif()
  endforeach()
endmacro()

# fovea_library(<folder> [INTERFACE] [ROOMS <folder within>...] [EXCEPT <file>...] [DEPENDS <folder or target>...] [PRIVATE <target>...])
# The library of one folder: every .cpp directly in it and in its rooms, except those named. train/data becomes fovea_train_data.
function(fovea_library folder)
  cmake_parse_arguments(ARG "INTERFACE" "" "ROOMS;EXCEPT;DEPENDS;PRIVATE" ${ARGN})
  string(REPLACE "/" "_" name "fovea_${folder}")
  set(patterns ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  foreach(room ${ARG_ROOMS})
    list(APPEND patterns ${PROJECT_SOURCE_DIR}/${folder}/${room}/*.cpp)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  list(TRANSFORM ARG_EXCEPT PREPEND ${PROJECT_SOURCE_DIR}/${folder}/)
  list(REMOVE_ITEM sources ${ARG_EXCEPT})
  if(ARG_INTERFACE OR NOT sources)
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(${name} ${sources})
    target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:fovea_options> ${ARG_PRIVATE})
    set(scope PUBLIC)
  endif()
  target_link_libraries(${name} ${scope} fovea_flags)
  foreach(dependency ${ARG_DEPENDS})
    string(REPLACE "/" "_" target "fovea_${dependency}")
    if(TARGET ${target})
      target_link_libraries(${name} ${scope} ${target})
    else()
      target_link_libraries(${name} ${scope} ${dependency})
    endif()
  endforeach()
  set_target_properties(${name} PROPERTIES INSTALL_RPATH $ORIGIN)  # shared libraries find each other
  set_property(GLOBAL APPEND PROPERTY FOVEA_LIBRARIES ${name})
  set_property(GLOBAL APPEND PROPERTY FOVEA_ALL_LIBRARIES ${name})
endfunction()

# fovea_component(<name> <component or folder>...): fovea::<name>, which other projects link, is these components, the
# libraries of these folders, and what they depend on. It is installed with all libraries made since the last one.
function(fovea_component name)
  add_library(fovea_component_${name} INTERFACE)
  foreach(part ${ARGN})
    string(REPLACE "/" "_" part ${part})
    if(TARGET fovea_component_${part} AND NOT part STREQUAL name)
      set(part component_${part})
    endif()
    target_link_libraries(fovea_component_${name} INTERFACE fovea_${part})
  endforeach()
  set_target_properties(fovea_component_${name} PROPERTIES EXPORT_NAME ${name})
  add_library(fovea::${name} ALIAS fovea_component_${name})
  get_property(libraries GLOBAL PROPERTY FOVEA_LIBRARIES)
  set_property(GLOBAL PROPERTY FOVEA_LIBRARIES)
  set_property(GLOBAL APPEND PROPERTY FOVEA_COMPONENTS ${name})
  if(FOVEA_INSTALL)
    install(TARGETS ${libraries} fovea_component_${name} EXPORT fovea-${name}
            ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT fovea-${name} NAMESPACE fovea:: DESTINATION ${package_folder})
  endif()
endfunction()

# fovea_program(<name> <folder or file> [ROOMS <folder within>...] DEPENDS <folder or target>...)
function(fovea_program name source)
  cmake_parse_arguments(ARG "" "" "ROOMS;DEPENDS" ${ARGN})
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/${source})
    set(patterns ${PROJECT_SOURCE_DIR}/${source}/*.cpp)
    foreach(room ${ARG_ROOMS})
      list(APPEND patterns ${PROJECT_SOURCE_DIR}/${source}/${room}/*.cpp)
    endforeach()
    file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  else()
    set(sources ${PROJECT_SOURCE_DIR}/${source})
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:fovea_options>)
  foreach(dependency ${ARG_DEPENDS})
    string(REPLACE "/" "_" target "fovea_${dependency}")
    if(TARGET ${target})
      target_link_libraries(${name} PRIVATE ${target})
    else()
      target_link_libraries(${name} PRIVATE ${dependency})
    endif()
  endforeach()
endfunction()
