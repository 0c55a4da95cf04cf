// Fuzzes Cohere's v2 chat; see provider_fuzz.hpp.
#include "t/fuzz/provider_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return llm::fuzz::run(llm::kCohere, "command-r", "command-a-reasoning", data, size);
}
