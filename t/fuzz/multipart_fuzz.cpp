// Fuzz target of forms. The first line is a content-type, the rest a body: what is found lies
// within the body between two delimiters, and a body that is cut never has more than the whole one.
#include <cstdint>
#include <string>

#include "t/fuzz/require.hpp"
#include "translators/wire/multipart.hpp"

using namespace llm;
using llm::fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    std::string_view input(reinterpret_cast<const char *>(data), size);
    std::string_view type = input.substr(0, input.find('\n'));
    std::string body(input.substr(type.size() == size ? size : type.size() + 1));
    std::string_view boundary = wire::form_boundary(type);
    auto whole = wire::find_form_field(body, boundary, "model");
    if (!whole) {
        return 0;
    }
    require(!whole->empty() && whole->data() > body.data() &&
            whole->data() + whole->size() < body.data() + body.size());
    size_t end = size_t(whole->data() + whole->size() - body.data());
    require(std::string_view(body).substr(end).starts_with("\r\n--" + std::string(boundary)));
    require(whole->find("\r\n--" + std::string(boundary)) == std::string_view::npos);
    for (size_t cut : {end, body.size() / 2, body.size() - 1}) {
        std::string part = body.substr(0, cut);
        auto found = wire::find_form_field(part, boundary, "model");
        require(!found || *found == *whole);
    }
    return 0;
}
