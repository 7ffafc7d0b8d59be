# Programs whose start is measured have the functions that a start uses side by side, in the order of
# startup-order.txt, which scripts/order-functions makes: it touches fewer pages. A name that there is
# no more is passed over. It takes LLVM's linker; without it the order is whatever comes out.
set(TRIVET_STARTUP_ORDER ${CMAKE_CURRENT_LIST_DIR}/startup-order.txt)
find_program(TRIVET_LLD NAMES ld.lld-19 ld.lld)
if(TRIVET_LLD AND NOT TRIVET_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(TRIVET_ORDERS_FUNCTIONS ON)
  # The name by which g++ finds it.
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/linker)
  file(CREATE_LINK ${TRIVET_LLD} ${CMAKE_BINARY_DIR}/linker/ld.lld SYMBOLIC)
endif()

function(trivet_order_functions target)
  if(NOT TRIVET_ORDERS_FUNCTIONS)
    return()
  endif()
  target_link_options(${target} PRIVATE -B${CMAKE_BINARY_DIR}/linker -fuse-ld=lld
    -Wl,--build-id=sha1 -Wl,--no-warn-symbol-ordering
    -Wl,--symbol-ordering-file=${TRIVET_STARTUP_ORDER})
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${TRIVET_STARTUP_ORDER})
endfunction()
