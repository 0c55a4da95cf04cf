// A whole answer of Ollama's /api/chat -> ir::Response.
#include <unordered_set>

#include "translators/dialect/ollama.hpp"
#include "translators/dialect/ollama_answer.hpp"

namespace llm::ollama {

namespace {

using json::Value;

void read_calls(Value root, Arena &arena, ir::Choice &choice, bool &has_calls) {
    std::unordered_set<std::string_view> ids;
    uint32_t ordinal = 0;
    for (Value call : root["message"]["tool_calls"].items()) {
        Value function = call["function"];
        ir::ToolCall result;
        result.name = function["name"].text();
        if (result.name.empty()) {
            continue;
        }
        JsonText id = call["id"].text();
        bool is_usable = !id.empty() && ids.insert(id.bytes).second;
        result.id = is_usable ? id : make_call_id(root, call, ordinal, arena);
        result.arguments = read_arguments(function, arena);
        ++ordinal;
        has_calls = true;
        choice.parts.push_back({result});
    }
}

}  // namespace

Status parse_response(Value root, Arena &arena, ir::Response &response) {
    Value message = root["message"];
    bool is_answer = root.is_object() && root["error"].is_unset() &&
                     (message.is_object() || root["done"].is_true());
    if (!is_answer) {
        return Error{Errc::upstream_protocol, "not an answer of /api/chat", "message", 0};
    }
    response.model = root["model"].text();
    response.created = read_time(root["created_at"].text());
    ir::Choice &choice = response.choices.emplace_back();
    if (JsonText thinking = message["thinking"].text(); !thinking.empty()) {
        ir::Reasoning reasoning;
        reasoning.text = thinking;
        reasoning.origin = DialectId::ollama;
        choice.parts.push_back({reasoning});
    }
    if (JsonText content = message["content"].text(); !content.empty()) {
        choice.parts.push_back({ir::Text{content}});
    }
    bool has_calls = false;
    read_calls(root, arena, choice, has_calls);
    if (Value logprobs = root["logprobs"]; logprobs.size() > 0 && logprobs.is_array()) {
        std::string object = "{\"content\":";
        object.append(logprobs.raw().bytes).append(",\"refusal\":null}");
        choice.logprobs = {arena.copy(object)};
    }
    choice.native_finish = root["done_reason"].text();
    choice.finish = read_finish(choice.native_finish, has_calls);
    read_usage(root, response.usage);
    return {};
}

}  // namespace llm::ollama
