# libtrivet, of the modules in TRIVET_LIBRARY_MODULES: one archive and one shared library with the
# objects that the programs are made of. Nothing is compiled twice; see docs/decisions/019.

# The shared library links what it needs as shared libraries: an archive of Debian's is not made for one.
function(trivet_shared_links out)
  get_property(links GLOBAL PROPERTY TRIVET_LIBRARY_LINKS)
  set(names "")
  foreach(link ${links})
    get_filename_component(name "${link}" NAME_WE)
    string(REGEX REPLACE "^lib" "" name "${name}")
    find_library(TRIVET_SHARED_${name} NAMES lib${name}.so REQUIRED)
    list(APPEND names ${TRIVET_SHARED_${name}})
  endforeach()
  list(REMOVE_DUPLICATES names)
  set(${out} "${names}" PARENT_SCOPE)
endfunction()

function(trivet_library)
  set(objects "")
  foreach(module ${TRIVET_LIBRARY_MODULES})
    if(TARGET trivet_${module})
      list(APPEND objects $<TARGET_OBJECTS:trivet_${module}>)
    endif()
  endforeach()
  trivet_shared_links(links)

  add_library(libtrivet_static STATIC ${objects})
  add_library(libtrivet_shared SHARED ${objects})
  set(symbols ${CMAKE_SOURCE_DIR}/cmake/libtrivet.map)
  target_link_options(libtrivet_shared PRIVATE -Wl,--gc-sections -Wl,--no-undefined -Wl,--as-needed
    -Wl,-z,relro -Wl,-z,now -Wl,--version-script=${symbols})
  set_target_properties(libtrivet_shared PROPERTIES LINK_DEPENDS ${symbols}
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} EXPORT_NAME trivet)
  set_target_properties(libtrivet_static PROPERTIES EXPORT_NAME trivet_static)
  foreach(library static shared)
    set_target_properties(libtrivet_${library} PROPERTIES OUTPUT_NAME trivet LINKER_LANGUAGE CXX
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
      ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
    target_include_directories(libtrivet_${library} INTERFACE $<INSTALL_INTERFACE:include>)
    target_compile_features(libtrivet_${library} INTERFACE cxx_std_23)
  endforeach()
  target_link_libraries(libtrivet_shared PRIVATE ${links} INTERFACE $<INSTALL_INTERFACE:fmt::fmt>)
  # Whoever links the archive links what it calls, by name: the archive says nothing of it.
  set(names ${links})
  list(TRANSFORM names REPLACE ".*/lib(.*)\\.so$" "\\1")
  target_link_libraries(libtrivet_static INTERFACE "$<INSTALL_INTERFACE:fmt::fmt;${names};dl;pthread>")
  list(TRANSFORM names PREPEND "-l")
  list(JOIN names " " names)
  set_property(GLOBAL PROPERTY TRIVET_PRIVATE_LIBS "${names} -ldl -pthread")
endfunction()
