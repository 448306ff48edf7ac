# `cmake --install`, and what find_package(fovea) reads: libraries as fovea::core, fovea::models, ...; headers below
# include/fovea, included as here: #include "models/efficientdet.h".
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/fovea)

get_property(libraries GLOBAL PROPERTY FOVEA_LIBRARIES)
set_target_properties(fovea_flags PROPERTIES EXPORT_NAME flags)
install(TARGETS ${libraries} fovea_flags EXPORT fovea-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY cuda core ops nn models train DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fovea
        FILES_MATCHING PATTERN "*.h")
if(TARGET fovea)
  install(TARGETS fovea RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(EXPORT fovea-targets NAMESPACE fovea:: DESTINATION ${package_folder})
configure_package_config_file(cmake/foveaConfig.cmake.in ${PROJECT_BINARY_DIR}/foveaConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
# Until version 1 each minor version may break the one before.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/foveaConfig.cmake ${PROJECT_BINARY_DIR}/foveaConfigVersion.cmake
        DESTINATION ${package_folder})
