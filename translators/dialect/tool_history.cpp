#include "translators/dialect/tool_history.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "translators/dialect/tool_names.hpp"

namespace llm {
namespace {

using ir::Role;
using ir::ToolCall;
using ir::ToolResult;
using ir::Turn;

bool has_call(const Turn &turn) {
    return std::any_of(turn.parts.begin(), turn.parts.end(), [](const ir::Part &part) {
        return std::holds_alternative<ToolCall>(part.is);
    });
}

void merge_turns(std::vector<Turn> &turns) {
    size_t last = 0;
    bool is_calling = false;  // the last one kept
    for (size_t i = 0; i < turns.size(); ++i) {
        if (is_calling && turns[i].role == Role::assistant) {
            std::vector<ir::Part> &parts = turns[i].parts;
            std::move(parts.begin(), parts.end(), std::back_inserter(turns[last].parts));
            continue;
        }
        is_calling = turns[i].role == Role::assistant && has_call(turns[i]);
        last = i == 0 ? 0 : last + 1;
        if (last != i) {
            turns[last] = std::move(turns[i]);
        }
    }
    turns.resize(turns.empty() ? 0 : last + 1);
}

// Nearly every history: nothing is renamed then.
bool is_in_order(const std::vector<Turn> &turns) {
    std::vector<std::string_view> ids;
    auto is_plain = [](JsonText id) { return id.bytes.find('\\') == std::string_view::npos; };
    for (const Turn &turn : turns) {
        for (const ir::Part &part : turn.parts) {
            if (const auto *call = std::get_if<ToolCall>(&part.is)) {
                if (call->id.empty() || !is_plain(call->id)) {
                    return false;
                }
                ids.push_back(call->id.bytes);
            } else if (const auto *result = std::get_if<ToolResult>(&part.is)) {
                if (!is_plain(result->call_id)) {
                    return false;
                }
            }
        }
    }
    std::sort(ids.begin(), ids.end());
    return std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

class Renamer {
  public:
    explicit Renamer(Arena &arena) : arena_(arena) {}

    void run(std::vector<Turn> &turns) {
        for (size_t i = 0; i < turns.size(); ++i) {
            if (turns[i].role == Role::assistant) {
                calls(turns[i], i);
            } else {
                results(turns[i]);
            }
        }
    }

  private:
    // The calls of a turn that have one id with the client.
    struct Calls {
        std::vector<JsonText> ids;  // the new ones
        size_t next = 0;            // whose result comes next
    };

    void calls(Turn &turn, size_t index) {
        size_t ordinal = 0;
        asked_.clear();
        for (ir::Part &part : turn.parts) {
            if (auto *call = std::get_if<ToolCall>(&part.is)) {
                std::string_view plain = json::unescape(call->id, arena_);
                call->id =
                    unique(call->id.empty() ? history_call_id(index, ordinal, call->name, arena_)
                                            : call->id);
                asked_[plain].ids.push_back(call->id);
                ++ordinal;
            }
        }
    }

    void results(Turn &turn) {
        for (ir::Part &part : turn.parts) {
            auto *result = std::get_if<ToolResult>(&part.is);
            if (result == nullptr) {
                continue;
            }
            auto found = asked_.find(json::unescape(result->call_id, arena_));
            if (found == asked_.end()) {
                continue;
            }
            Calls &calls = found->second;
            result->call_id = calls.ids[calls.next];
            // One more than there are calls is another result of the last one.
            calls.next = std::min(calls.next + 1, calls.ids.size() - 1);
        }
    }

    JsonText unique(JsonText id) {
        auto [used, is_first] = uses_.try_emplace(json::unescape(id, arena_), 1);
        if (is_first) {
            return id;
        }
        for (;;) {
            std::string made(used->first);
            made += '_';
            made += std::to_string(++used->second);
            std::string_view kept = arena_.copy(made);
            if (uses_.try_emplace(kept, 1).second) {
                return json::escape(kept, arena_);
            }
        }
    }

    Arena &arena_;
    std::map<std::string_view, size_t> uses_;  // of the whole history; what ids end in
    std::map<std::string_view, Calls> asked_;  // the latest assistant turn's, by the client's ids
};

}  // namespace

void order_tool_calls(ir::Request &request, Arena &arena) {
    merge_turns(request.turns);
    if (!is_in_order(request.turns)) {
        Renamer(arena).run(request.turns);
    }
}

}  // namespace llm
