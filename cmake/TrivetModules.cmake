# One CMake target a module. `trivet_module(NAME SOURCES … DEPENDS … LINK …)` makes the library
# trivet_NAME from src/…; DEPENDS names the modules whose headers it may include, and the target
# `layering` fails the build when a file includes another one.

add_library(trivet_options INTERFACE)
target_compile_options(trivet_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual
  -Wno-missing-field-initializers -Werror=return-type -Werror=unused-result
  -fstack-protector-strong -ffunction-sections -fdata-sections)
# std::stable_sort of libstdc++ 12 uses what it declares deprecated itself, and clang says so.
target_compile_options(trivet_options INTERFACE
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
# Quoted includes only: src/linux must not shadow the kernel's <linux/…>.
target_compile_options(trivet_options INTERFACE "SHELL:-iquote ${CMAKE_SOURCE_DIR}/src"
  "SHELL:-iquote ${CMAKE_SOURCE_DIR}/include")
target_include_directories(trivet_options INTERFACE ${CMAKE_SOURCE_DIR}/include)
target_link_options(trivet_options INTERFACE -Wl,--gc-sections)
target_compile_definitions(trivet_options INTERFACE TRIVET_VERSION="${PROJECT_VERSION}")
if(TRIVET_SANITIZE)
  target_compile_options(trivet_options INTERFACE -fsanitize=${TRIVET_SANITIZE}
    -fno-omit-frame-pointer)
  target_link_options(trivet_options INTERFACE -fsanitize=${TRIVET_SANITIZE})
endif()

set_property(GLOBAL PROPERTY TRIVET_LAYERS "")

function(trivet_module name)
  cmake_parse_arguments(ARG "" "FOLDER" "SOURCES;DEPENDS;LINK" ${ARGN})
  if(NOT ARG_FOLDER)
    set(ARG_FOLDER ${name})
  endif()
  add_library(trivet_${name} STATIC ${ARG_SOURCES})
  if(TRIVET_LIBRARY AND name IN_LIST TRIVET_LIBRARY_MODULES)
    # Compiled once, for programs and for libtrivet.so: see docs/decisions/019.
    set_target_properties(trivet_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
      CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    set_property(GLOBAL APPEND PROPERTY TRIVET_LIBRARY_LINKS ${ARG_LINK})
    foreach(dependency ${ARG_DEPENDS})
      if(NOT dependency IN_LIST TRIVET_LIBRARY_MODULES)
        message(FATAL_ERROR "${name} is in TRIVET_LIBRARY_MODULES, and needs ${dependency}, which is not")
      endif()
    endforeach()
  endif()
  target_link_libraries(trivet_${name} PUBLIC trivet_options ${ARG_LINK})
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(trivet_${name} PUBLIC trivet_${dependency})
  endforeach()
  string(REPLACE ";" "," dependencies "${ARG_DEPENDS}")
  set_property(GLOBAL APPEND PROPERTY TRIVET_LAYERS "${ARG_FOLDER}=${dependencies}")
endfunction()

# A program; STATIC ones are linked statically unless the build says otherwise.
function(trivet_program name)
  cmake_parse_arguments(ARG "STATIC" "FOLDER" "SOURCES;DEPENDS;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE trivet_options ${ARG_LINK})
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(${name} PRIVATE trivet_${dependency})
  endforeach()
  if(ARG_STATIC AND TRIVET_STATIC)
    target_link_options(${name} PRIVATE -static -no-pie)
  endif()
  string(REPLACE ";" "," dependencies "${ARG_DEPENDS}")
  set_property(GLOBAL APPEND PROPERTY TRIVET_LAYERS "${ARG_FOLDER}=${dependencies}")
endfunction()

# Call once, after all modules are declared.
function(trivet_check_layering)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  get_property(layers GLOBAL PROPERTY TRIVET_LAYERS)
  add_custom_target(layering ALL
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/check_layering.py
            ${CMAKE_SOURCE_DIR}/src ${layers}
    VERBATIM)
endfunction()
