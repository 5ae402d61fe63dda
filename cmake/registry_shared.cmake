# One registry in a process: two shared objects that a program links and two that it opens, all with hidden symbols.

foreach(part IN ITEMS first second third fourth)
  add_library(registry_${part} SHARED registry_shared/part.cpp)
  target_compile_definitions(registry_${part} PRIVATE PART_NAME=${part})
endforeach()
add_executable(registry_shared registry_shared/main.cpp)
target_link_libraries(registry_shared PRIVATE registry_first registry_second ${CMAKE_DL_LIBS})
foreach(target IN ITEMS registry_shared registry_first registry_second registry_third registry_fourth)
  target_link_libraries(${target} PRIVATE tokenheap_own)
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
endforeach()
add_test(NAME observe.registry_shared COMMAND registry_shared
  $<TARGET_FILE:registry_third> third $<TARGET_FILE:registry_fourth> fourth)
set_tests_properties(observe.registry_shared PROPERTIES TIMEOUT 60 LABELS observe)
