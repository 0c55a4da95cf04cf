// See answered_calls.hpp. Ids are compared as plain text; both lists are searched sorted, because
// histories may hold thousands of calls.
#include "translators/dialect/answered_calls.hpp"

#include <algorithm>
#include <utility>

namespace llm {

AnsweredCalls answered_calls(const ir::Request &request, size_t assistant, Arena &arena) {
    const std::vector<ir::Turn> &turns = request.turns;
    AnsweredCalls answered;
    std::vector<std::string_view> call_ids;
    size_t next = 0;
    if (assistant < turns.size()) {
        next = assistant + 1;
        for (const ir::Part &part : turns[assistant].parts) {
            if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
                answered.calls.push_back({call, nullptr});
                call_ids.push_back(json::unescape(call->id, arena));
            }
        }
    }

    // Sorted by id, in the order of their coming where ids are equal: the last one counts.
    using Found = std::pair<std::string_view, const ir::ToolResult *>;
    std::vector<Found> results;
    for (; next < turns.size() && turns[next].role != ir::Role::assistant; ++next) {
        for (const ir::Part &part : turns[next].parts) {
            if (const auto *result = std::get_if<ir::ToolResult>(&part.is)) {
                results.push_back({json::unescape(result->call_id, arena), result});
            }
        }
    }
    std::vector<Found> in_order = results;
    auto by_id = [](const Found &a, const Found &b) { return a.first < b.first; };
    std::stable_sort(results.begin(), results.end(), by_id);
    for (size_t i = 0; i < answered.calls.size(); ++i) {
        auto behind =
            std::upper_bound(results.begin(), results.end(), Found{call_ids[i], nullptr}, by_id);
        if (behind != results.begin() && std::prev(behind)->first == call_ids[i]) {
            answered.calls[i].result = std::prev(behind)->second;
        }
    }
    std::sort(call_ids.begin(), call_ids.end());
    for (const Found &result : in_order) {
        if (!std::binary_search(call_ids.begin(), call_ids.end(), result.first)) {
            answered.strays.push_back(result.second);
        }
    }
    return answered;
}

bool says_error(JsonText text) {
    return text.bytes.starts_with("Error") || text.bytes.starts_with("error");
}

}  // namespace llm
