// See render_values.hpp.
#include "translators/dialect/render_values.hpp"

#include <charconv>

namespace llm {

std::optional<double> number_of(RawJson raw) {
    double value = 0;
    const char *end = raw.bytes.data() + raw.bytes.size();
    auto [stop, error] = std::from_chars(raw.bytes.data(), end, value);
    if (raw.empty() || error != std::errc() || stop != end) {
        return std::nullopt;
    }
    return value;
}

int64_t budget_of_effort(ir::Effort effort) {
    switch (effort) {
        case ir::Effort::none:
        case ir::Effort::minimal:
        case ir::Effort::low:
            return 1024;
        case ir::Effort::medium:
            return 2048;
        case ir::Effort::high:
            return 4096;
        case ir::Effort::xhigh:
            return 8192;
        case ir::Effort::max:
            return 16384;
    }
    return 1024;
}

ir::Effort effort_of_budget(int64_t budget) {
    return budget >= 10000  ? ir::Effort::high
           : budget >= 5000 ? ir::Effort::medium
           : budget >= 2000 ? ir::Effort::low
                            : ir::Effort::minimal;
}

}  // namespace llm
