# The library that predicts the time of a launch: part of the program and of its tests, but not installed. The table of
# kernels that predictions read is embedded, each line quoted.
file(STRINGS ${PROJECT_SOURCE_DIR}/cli/predict/kernel_code.tsv kernel_code)
list(TRANSFORM kernel_code REPLACE "^.+$" "\"\\0\\\\n\"")
string(REPLACE ";" "\n" kernel_code "${kernel_code}")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/kernel_code.inc CONTENT "${kernel_code}\n" @ONLY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/predict/kernel_code.tsv)

file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cli/predict/*.cpp)
add_library(fovea_predict STATIC ${sources})
target_include_directories(fovea_predict PRIVATE ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(fovea_predict PUBLIC fovea_cuda PRIVATE fovea_options)
