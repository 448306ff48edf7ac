# `cmake --install` and what find_package(fovea) reads.
get_property(libraries GLOBAL PROPERTY FOVEA_LIBRARIES)
install(TARGETS ${libraries} fovea_flags EXPORT fovea-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
