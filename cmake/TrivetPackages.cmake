# Debian packages by CPack: trivet, libtrivet0, libtrivet-dev and trivet-doc. scripts/package runs it.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME trivet)
set(CPACK_PACKAGE_CONTACT "The trivet maintainers <trivet@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime library dev doc)
set(CPACK_COMPONENTS_GROUPING IGNORE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY "=")
set(version "${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")

# trivet_deb(COMPONENT PACKAGE SECTION): what all four have, and a description from packaging/debian.
function(trivet_deb component package section)
  string(TOUPPER ${component} upper)
  file(READ packaging/debian/${package}.description description)
  string(STRIP "${description}" description)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    ${CMAKE_SOURCE_DIR}/packaging/debian/${package}.description)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${description}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${description}" PARENT_SCOPE)
  install(FILES packaging/debian/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package}
    COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES ${CMAKE_BINARY_DIR}/changelog.Debian.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()
trivet_deb(runtime trivet admin)
trivet_deb(library libtrivet0 libs)
trivet_deb(dev libtrivet-dev libdevel)
trivet_deb(doc trivet-doc doc)

# The package that a shared library is from, as this host has it.
function(trivet_package_of library out)
  execute_process(COMMAND dpkg-query --search ${library} OUTPUT_VARIABLE found ERROR_QUIET
    OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REGEX REPLACE ":.*" "" found "${found}")
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# What `trivet` loads when it is first called is not among what its file needs: see LazyLibraries.
set(lazy "")
foreach(name curl archive)
  find_library(TRIVET_SHARED_${name} NAMES lib${name}.so REQUIRED)
  file(REAL_PATH ${TRIVET_SHARED_${name}} file)
  trivet_package_of(${file} package)
  if(package)
    list(APPEND lazy ${package})
  endif()
endforeach()
list(JOIN lazy ", " lazy)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS "${lazy}")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "passt, uidmap, ca-certificates")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS
  "qemu-system-x86, e2fsprogs, erofs-utils, criu, podman, trivet-doc")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
  "${CMAKE_SOURCE_DIR}/packaging/debian/prerm;${CMAKE_SOURCE_DIR}/packaging/debian/postrm")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_DEPENDS "trivet (= ${version})")
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libtrivet0 (= ${version}), libfmt-dev")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS
  "trivet-doc, libarchive-dev, libcurl4-openssl-dev, libssl-dev, libseccomp-dev, libyaml-dev, libnghttp2-dev")
set(CPACK_DEBIAN_DOC_PACKAGE_ARCHITECTURE all)

# The changelog that Debian wants of a package; what is new for people is in CHANGELOG.md.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/changelog.Debian CONTENT
"trivet (${version}) unstable; urgency=medium

  * Version ${PROJECT_VERSION}: see CHANGELOG.md in the package trivet-doc.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/changelog.Debian.gz
  COMMAND gzip -9nkf ${CMAKE_BINARY_DIR}/changelog.Debian
  DEPENDS ${CMAKE_BINARY_DIR}/changelog.Debian VERBATIM)
add_custom_target(debian_changelog ALL DEPENDS ${CMAKE_BINARY_DIR}/changelog.Debian.gz)

include(CPack)
