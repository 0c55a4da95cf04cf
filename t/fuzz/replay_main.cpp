// Runs one fuzz target over the files given as arguments, for compilers without libFuzzer and for
// looking at a single finding: link it with one *_fuzz.cpp.
#include <cstdint>
#include <cstdio>
#include <memory>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace {

// In memory of the file's exact size, so that a sanitizer sees a read past its end.
bool run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == nullptr) {
        fprintf(stderr, "cannot open %s\n", path);
        return false;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    size_t wanted = size > 0 ? static_cast<size_t>(size) : 0;
    std::unique_ptr<uint8_t[]> bytes(new uint8_t[wanted]);
    bool is_read = fread(bytes.get(), 1, wanted, file) == wanted;
    fclose(file);
    if (!is_read) {
        fprintf(stderr, "cannot read %s\n", path);
        return false;
    }
    LLVMFuzzerTestOneInput(bytes.get(), wanted);
    return true;
}

}  // namespace

int main(int argc, char **argv) {
    int failures = 0;
    for (int i = 1; i < argc; ++i) {
        failures += run_file(argv[i]) ? 0 : 1;
    }
    printf("%d inputs\n", argc - 1 - failures);
    return failures == 0 ? 0 : 1;
}
