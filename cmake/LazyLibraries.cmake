# trivet_lazy_libraries(PROGRAM LIBRARIES name… CALLED_BY module…): PROGRAM loads the shared libraries
# when a function of theirs is first called, not when it starts. Where there are no stubs for the
# machine, and in sanitized builds, they are linked as usual.
function(trivet_lazy_libraries program)
  cmake_parse_arguments(ARG "" "" "LIBRARIES;CALLED_BY" ${ARGN})
  if(TRIVET_SANITIZE OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$")
    return()
  endif()
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  set(libraries "")
  foreach(name ${ARG_LIBRARIES})
    find_library(TRIVET_SHARED_${name} NAMES lib${name}.so REQUIRED)
    list(APPEND libraries ${TRIVET_SHARED_${name}})
  endforeach()
  set(archives "")
  foreach(module ${ARG_CALLED_BY})
    list(APPEND archives $<TARGET_FILE:trivet_${module}>)
  endforeach()
  set(stubs ${CMAKE_CURRENT_BINARY_DIR}/${program}_lazy_stubs.cc)
  add_custom_command(OUTPUT ${stubs}
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/lazy_stubs.py ${stubs}
            ${CMAKE_SYSTEM_PROCESSOR} ${libraries} -- ${archives}
    DEPENDS ${CMAKE_SOURCE_DIR}/cmake/lazy_stubs.py ${archives}
    VERBATIM)
  target_sources(${program} PRIVATE ${stubs} lazy_libraries.cc)
  # The stubs satisfy every reference, so that the libraries are not needed any more.
  target_link_options(${program} PRIVATE LINKER:--as-needed)
  target_link_libraries(${program} PRIVATE ${CMAKE_DL_LIBS})
endfunction()
