# How CUDA sources are compiled. Each .cu file is compiled by nvcc for the GPUs, when nvcc is there, and by the
# host compiler against kernels/cuda/emulation/simt, once plain and once per sanitizer. Read by the top CMakeLists.txt,
# because CUDA becomes a language of the whole project.
find_package(CUDAToolkit QUIET)
set(CAUDAL_SIMT OFF)
set(CAUDAL_NVCC OFF)
if(CUDAToolkit_FOUND)
  set(CAUDAL_SIMT ON)
  find_package(Boost 1.81 REQUIRED COMPONENTS context)
elseif(CAUDAL_CUDA)
  message(FATAL_ERROR "CAUDAL_CUDA needs the CUDA toolkit (nvcc); it was not found.")
else()
  message(STATUS "No CUDA toolkit: the CUDA kernels are neither built nor tested")
endif()

# NVIDIA's Python packages have libraries by their full names only; CMAKE_PREFIX_PATH says where they are.
if(CUDAToolkit_FOUND AND NOT TARGET CUDA::cublasLt)
  find_library(CUBLASLT_LIBRARY NAMES libcublasLt.so.13)
  find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(CUBLASLT_LIBRARY AND CUBLASLT_INCLUDE_DIR)
    add_library(CUDA::cublasLt UNKNOWN IMPORTED)
    set_target_properties(CUDA::cublasLt PROPERTIES
      IMPORTED_LOCATION ${CUBLASLT_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CUBLASLT_INCLUDE_DIR})
  elseif(CAUDAL_CUDA)
    message(FATAL_ERROR "CAUDAL_CUDA needs cuBLASLt 13: not in CUDA's folder, nor in one of CMAKE_PREFIX_PATH.")
  endif()
endif()

# The sanitizers' presets run kernels under their own sanitizer. Plain builds of g++ 12 run them under each,
# because clang's ThreadSanitizer misses races between fibers.
if(CAUDAL_SANITIZE)
  set(CAUDAL_SIMT_MODES ${CAUDAL_SANITIZE})
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CAUDAL_BUILD_TESTS)
  set(CAUDAL_SIMT_MODES plain address thread)
else()
  set(CAUDAL_SIMT_MODES plain)
endif()

# nvcc is for release builds: sanitizers have nothing to say about device code.
if(CAUDAL_SIMT AND CUDAToolkit_NVCC_EXECUTABLE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CAUDAL_SANITIZE)
  set(CAUDAL_NVCC ON)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  set(CAUDAL_CUDA_ARCHITECTURES "80-real;89-real;90a-real;90-virtual" CACHE STRING "GPUs to compile kernels for")
  set(CMAKE_CUDA_ARCHITECTURES ${CAUDAL_CUDA_ARCHITECTURES})
  if(CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  # CMake 3.25 does not know that nvcc speaks C++20.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
elseif(CAUDAL_CUDA)
  message(FATAL_ERROR "CAUDAL_CUDA needs nvcc and g++, and no sanitizer.")
endif()

# caudal_add_emulated_kernels(TARGET MODE a.cu ...): a library of kernels that run on the CPU. MODE is one of
# CAUDAL_SIMT_MODES. Not in a directory that also compiles the same files with nvcc: their language is its.
function(caudal_add_emulated_kernels target mode)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX)
  # Fresh stacks are zero, which would hide a missing initialisation: variables start as a pattern instead.
  # #pragma unroll is nvcc's; clang would take it for its own, for half of the time these files take to compile.
  # Registers that only some threads fill look uninitialised to g++; the pattern tells.
  set(options -ftrivial-auto-var-init=pattern -Wno-unknown-pragmas -Wno-psabi
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    "$<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed;SHELL:-mllvm -pragma-unroll-threshold=0>")
  if(mode STREQUAL "plain")
    list(APPEND options -O2)
  elseif(mode STREQUAL "address")
    list(APPEND options -O1 -g1 -U_FORTIFY_SOURCE -fsanitize=address,undefined -fno-sanitize-recover=all
      -fno-omit-frame-pointer)
  else()
    list(APPEND options -O1 -g1 -U_FORTIFY_SOURCE -fsanitize=thread -fno-omit-frame-pointer)
  endif()
  add_library(${target}_options INTERFACE)  # linked last, so that these win over the project's
  target_compile_options(${target}_options INTERFACE ${options})
  add_library(${target} STATIC ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)  # files of one kernel each, with names of their own
  target_link_libraries(${target} PUBLIC caudal_options caudal_simt_${mode} PRIVATE ${target}_options)
endfunction()

# caudal_add_nvcc_kernels(TARGET a.cu ...): the same for GPUs. A kernel that spills registers or uses local memory on any
# of them does not compile.
function(caudal_add_nvcc_kernels target)
  add_library(${target} STATIC ${ARGN})
  set_target_properties(${target} PROPERTIES CUDA_STANDARD 20)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE --expt-relaxed-constexpr -lineinfo
    -Xptxas=-warn-spills,-warn-lmem-usage,-Werror -Xcompiler=-Wall
    -Xcompiler=-Wno-unused-function)
  target_link_libraries(${target} PUBLIC CUDA::cudart_static)
endfunction()
