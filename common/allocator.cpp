// How jemalloc serves a program with very many small objects that it visits in no order: from huge pages, so that the
// processor rarely has to look up where a page is. Only for programs that link caudal_allocator.
extern "C" {
extern const char* malloc_conf;  // read by jemalloc before main
const char* malloc_conf = "thp:always";
}
