# `cmake --install`, and what find_package(fovea) reads beside the libraries that fovea_component() installs.
include(CMakePackageConfigHelpers)
get_property(components GLOBAL PROPERTY FOVEA_COMPONENTS)

install(DIRECTORY ${copied_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET fovea)
  if(BUILD_SHARED_LIBS)
    set_target_properties(fovea PROPERTIES INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
  endif()
  install(TARGETS fovea RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(cmake/foveaConfig.cmake.in ${PROJECT_BINARY_DIR}/foveaConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
# Until version 1 each minor version may break the one before.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/foveaConfig.cmake ${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake
        DESTINATION ${package_folder})
