# The library of cuda/: the runtime, the kernels and, if Device::cuda is simulated, the simulator. Each .cu file is
# compiled by nvcc for GPUs or by the host compiler for the simulator.
file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/kernels/*.cu)
file(GLOB runtime CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.cpp ${PROJECT_SOURCE_DIR}/cuda/runtime/*.cpp)
file(GLOB simulator CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/sim/*.cpp)

# How the host compiler compiles .cu files: cuda/sim/README.md has the reasons. -fsanitize=thread makes it call the
# simulator (cuda/sim/access.cpp) at each load and store; under the address sanitizer that one does the checking, at -O0,
# which moves no load below its bounds test. What the simulator throws passes through kernels, which therefore must have
# no clean-up code of their own. GCC must not split an access to several numbers at once into one for each (-fno-tree-sra):
# it would count as that many (cuda/runtime/kernel_score.h).
set(simulated_flags -xc++)
set(simulator_checks OFF)
if(CMAKE_CXX_FLAGS MATCHES "fsanitize=thread")
  list(APPEND simulated_flags -fno-sanitize=thread -O1 -g)
elseif(CMAKE_CXX_FLAGS MATCHES "fsanitize=")
  list(APPEND simulated_flags -O0 -g)
else()
  set(simulator_checks ON)
  list(APPEND simulated_flags -fsanitize=thread)
  if(CMAKE_BUILD_TYPE STREQUAL Debug)
    list(APPEND simulated_flags -O0 -g)
  else()
    list(APPEND simulated_flags -O1 -g1)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # Device functions are inlined always (cuda/sim/sim.h), those not declared inline, too.
    list(APPEND simulated_flags -fno-tree-sra --param=tsan-instrument-func-entry-exit=0 -Wno-attributes)
  else()
    list(APPEND simulated_flags -mllvm -tsan-instrument-func-entry-exit=0)
  endif()
endif()
function(fovea_simulated_sources)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${simulated_flags}")
endfunction()

macro(fovea_enable_cuda)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc 13 has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
  endif()
endmacro()

# Warnings of nvcc and of the host compiler under it are errors.
function(fovea_nvcc_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings -Xcompiler=-Wall,-Wextra,-Werror -lineinfo>)
endfunction()

# cuDNN does convolutions on GPUs if its header is found. Only the header is needed here: the program opens the library
# when it runs, and does without it if there is none.
function(fovea_use_cudnn target)
  find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} DOC "the folder of cuDNN's header, cudnn.h")
  if(NOT FOVEA_CUDNN)
    message(STATUS "Convolutions on GPUs use Fovea's own kernels: FOVEA_CUDNN is OFF")
  elseif(NOT CUDNN_INCLUDE_DIR)
    message(STATUS "Convolutions on GPUs use Fovea's own kernels: cudnn.h was not found; CUDNN_INCLUDE_DIR can say where it is")
  else()
    message(STATUS "Convolutions on GPUs use cuDNN where it is installed: ${CUDNN_INCLUDE_DIR}/cudnn.h")
    target_compile_definitions(${target} PRIVATE FOVEA_CUDNN)
    target_include_directories(${target} SYSTEM PRIVATE $<BUILD_INTERFACE:${CUDNN_INCLUDE_DIR}>)
    target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
  endif()
endfunction()

if(FOVEA_DEVICE STREQUAL sim)
  fovea_simulated_sources(${kernels})
  add_library(fovea_cuda ${runtime} ${simulator} ${kernels})
  target_compile_definitions(fovea_cuda PUBLIC FOVEA_SIM $<$<BOOL:${simulator_checks}>:FOVEA_SIM_CHECKS>)
  target_link_libraries(fovea_cuda PRIVATE $<BUILD_INTERFACE:fovea_options> fovea::dnnl OpenMP::OpenMP_CXX)
elseif(FOVEA_DEVICE STREQUAL gpu)
  fovea_enable_cuda()
  set(CMAKE_CUDA_STANDARD 20)
  add_library(fovea_cuda ${runtime} ${kernels})
  fovea_nvcc_options(fovea_cuda)
  fovea_use_cudnn(fovea_cuda)
  target_link_libraries(fovea_cuda PUBLIC CUDA::cudart_static CUDA::cublasLt)
else()
  message(FATAL_ERROR "FOVEA_DEVICE is ${FOVEA_DEVICE}: it must be sim or gpu")
endif()
target_include_directories(fovea_cuda PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(fovea_cuda PUBLIC fovea_flags fmt::fmt)
set_target_properties(fovea_cuda PROPERTIES INSTALL_RPATH $ORIGIN)
add_dependencies(fovea_cuda fovea_headers)  # and so do all libraries that depend on it
set_property(GLOBAL APPEND PROPERTY FOVEA_LIBRARIES fovea_cuda)
set_property(GLOBAL APPEND PROPERTY FOVEA_ALL_LIBRARIES fovea_cuda)
