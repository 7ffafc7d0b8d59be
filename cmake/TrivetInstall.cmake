# Where everything goes. Components: runtime (the programs), library (libtrivet.so.0), dev (what other
# projects are built with) and doc (the reference, if scripts/reference has made it).
include(CMakePackageConfigHelpers)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

set(TRIVET_LIBEXECDIR ${CMAKE_INSTALL_LIBEXECDIR}/trivet)
set(TRIVET_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/trivet)

# ---------------------------------------------------------------- runtime

install(TARGETS trivet trivet-oci RUNTIME COMPONENT runtime)
# What only trivet itself starts. Some are not there when a part of the build is missing.
foreach(program trivet-monitor trivet-init trivet-keeper trivet-systemd trivet-wasm trivet-vmm trivet-krun
    trivet-vminit trivet-pod-monitor trivet-pool-filler trivet-infra trivet-probe-tls trivet-extension trivet-dns)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${TRIVET_LIBEXECDIR} COMPONENT runtime)
  endif()
endforeach()
# It is looked for as the programs are, by whether it can be executed.
install(TARGETS trivet-metrics LIBRARY DESTINATION ${TRIVET_LIBEXECDIR} COMPONENT runtime
  PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
install(PROGRAMS scripts/build-guest-kernel DESTINATION ${TRIVET_LIBEXECDIR} COMPONENT runtime)
# For editors and CI; tests hold them against `trivet config schema`.
install(FILES packaging/schema/config.schema.json packaging/schema/project.schema.json
  DESTINATION ${CMAKE_INSTALL_DATADIR}/trivet/schema COMPONENT runtime)
install(FILES vm/kernel.config DESTINATION ${CMAKE_INSTALL_DATADIR}/trivet COMPONENT runtime)

# Man pages and completions, as the built program has them.
set(documents ${CMAKE_BINARY_DIR}/documents)
file(GLOB manual CONFIGURE_DEPENDS docs/man/*.1)
add_custom_command(OUTPUT ${documents}/stamp
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/make_documents.py ${documents}
          $<TARGET_FILE:trivet> ${manual} ${CMAKE_SOURCE_DIR}/packaging/trivet-oci.8
  DEPENDS cmake/make_documents.py ${manual} packaging/trivet-oci.8 trivet
  VERBATIM)
add_custom_target(documents ALL DEPENDS ${documents}/stamp)
install(DIRECTORY ${documents}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT runtime)
install(FILES ${documents}/bash/trivet
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT runtime)
install(FILES ${documents}/zsh/_trivet
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT runtime)
install(FILES ${documents}/fish/trivet.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT runtime)

install(FILES packaging/trivet-prune.service packaging/trivet-prune.timer
  DESTINATION lib/systemd/system COMPONENT runtime)

# ---------------------------------------------------------------- library and dev

install(TARGETS libtrivet_shared EXPORT trivetTargets
  LIBRARY COMPONENT library NAMELINK_COMPONENT dev)
install(TARGETS libtrivet_static EXPORT trivetTargets ARCHIVE COMPONENT dev)
install(DIRECTORY include/trivet TYPE INCLUDE COMPONENT dev)
install(EXPORT trivetTargets NAMESPACE trivet:: DESTINATION ${TRIVET_PACKAGE_DIR} COMPONENT dev)
configure_package_config_file(cmake/trivetConfig.cmake.in ${CMAKE_BINARY_DIR}/trivetConfig.cmake
  INSTALL_DESTINATION ${TRIVET_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/trivetConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/trivetConfig.cmake ${CMAKE_BINARY_DIR}/trivetConfigVersion.cmake
  DESTINATION ${TRIVET_PACKAGE_DIR} COMPONENT dev)
file(RELATIVE_PATH TRIVET_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" TRIVET_PC_PREFIX "${TRIVET_PC_PREFIX}")
get_property(TRIVET_PRIVATE_LIBS GLOBAL PROPERTY TRIVET_PRIVATE_LIBS)
configure_file(cmake/trivet.pc.in ${CMAKE_BINARY_DIR}/trivet.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/trivet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT dev)
install(DIRECTORY examples/embed DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libtrivet-dev/examples
  COMPONENT dev)

# ---------------------------------------------------------------- doc

install(DIRECTORY ${CMAKE_BINARY_DIR}/reference/html DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT doc OPTIONAL)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT doc
  FILES_MATCHING PATTERN *.md PATTERN man EXCLUDE PATTERN reference EXCLUDE)
install(FILES LICENSE NOTICE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT doc)
